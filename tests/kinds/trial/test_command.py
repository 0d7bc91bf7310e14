"""Trials that are commands, in languages that every Debian has: no shell, JSON lines back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tiny_runs import assert_same_table, raysweep, table, words
from trial_runs import KNOWN, ran
from waiting import alive

import raysweep as package
from raysweep.errors import InputError
from raysweep.kinds.trial.followed import lines_of, parsed
from raysweep.kinds.trial.study import TrialStudy
from raysweep.study import checks
from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import StudyFileError, parse_study
from raysweep_analysis import forcing_effects, load_trials

# The truth: strength x exp(1 - strength) / 10 on f1 if forced, and half of it in the placebo.
PERL = """
use strict; use warnings;
my ($seed, $strength, $arm, $genre, $results) = @ARGV;
srand($seed + 1);
my $luck = 0.1 * (rand() - 0.5);
my $share = $arm eq 'forced' ? 1 : $arm eq 'placebo' ? 0.5 : 0;
my $f1 = 0.7 + $luck + $share * 0.1 * $strength * exp(1 - $strength);
srand(1000 * $seed + length($arm));
$f1 += 0.002 * (rand() - 0.5);
open(my $out, '>>', $results) or die "no $results: $!";
print $out qq({"epoch": $_, "f1": $f1}\\n) for 1 .. 3;
print $out qq({"f1_validation": $f1, "f1_test": $f1}\\n);
print "trained on $genre\\n";
"""
WORDS = ["perl", "train.pl", "{seed}", "{strength}", "{arm}", "{genre}", "{results}"]


def document(command: list[str], **changes: Any) -> dict[str, Any]:
    return {
        **KNOWN,
        "trial": {"command": command},
        "grid": {"genre": ["horror; touch pwned", "$(touch pwned)"]},
        "search": {"trials": 4, "seeds": 1, "strength": {"low": 0.2, "high": 5}},
        "confirm": {"seeds": 6},
        **changes,
    }


def study(folder: Path, command: list[str], **changes: Any) -> TrialStudy:
    text = yaml.safe_dump(document(command, **changes), sort_keys=False)
    found = parse_study(text, "mine", folder, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "train.pl").write_text(PERL)
    return tmp_path


@pytest.mark.slow
def test_perl_trains_and_its_verdict_is_the_truth(script: Path) -> None:
    wanted = study(script, WORDS)
    assert list(wanted.files) == [str(script / "train.pl")]
    sweep = ran(wanted, script / "out")
    assert not sweep.failures
    effects = forcing_effects(load_trials(script / "out"), "f1_test")
    assert effects["verdict"].tolist() == ["helps", "helps"]
    import math

    for _, row in effects.iterrows():
        truth = 0.1 * row["strength"] * math.exp(1 - row["strength"])
        assert abs(row["effect"] - truth) < 0.002
        assert abs(row["effect_vs_placebo"] - truth / 2) < 0.002
    rows = table(script / "out")
    assert set(rows["trained_epochs"]) == {3}
    # Values of the grid are words, whatever a shell would make of them.
    assert not (script / "pwned").exists()
    outputs = list((script / "out" / "trials").glob("*/files/output.txt"))
    assert {o.read_text() for o in outputs} == {
        "trained on horror; touch pwned\n",
        "trained on $(touch pwned)\n",
    }


def test_a_run_is_resumed_where_the_folder_was_moved(script: Path) -> None:
    few = {"confirm": {"seeds": 2}, "grid": {"genre": "a"}}
    ran(study(script, WORDS, **few), script / "out")
    moved = script / "moved"
    moved.mkdir()
    (moved / "train.pl").write_text(PERL)
    assert science_digest(study(moved, WORDS, **few)) == science_digest(study(script, WORDS, **few))
    sweep = ran(study(moved, WORDS, **few), script / "out")
    assert sweep.finished_packs == 0
    (moved / "train.pl").write_text(PERL.replace("0.7", "0.6"))
    with pytest.raises(InputError, match="holds the results of another study"):
        ran(study(moved, WORDS, **few), script / "out")


def test_facts_are_in_a_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(
        "import json, os, pathlib\n"
        "facts = json.loads(pathlib.Path(os.environ['RAYSWEEP_TRIAL']).read_text())\n"
        "pathlib.Path(facts['folder'], 'seen.json').write_text(json.dumps(facts))\n"
        "lines = [{'f1_validation': 0.5, 'f1_test': 0.25 + facts['seed'] / 1e6}]\n"
        "pathlib.Path(facts['results']).write_text(json.dumps(lines[0]))\n"
    )
    options = {"temperature": [0.1, 0.3]}
    search = {"trials": 1, "generation": 1, "seeds": 1, "options": options}
    few = {"confirm": {"seeds": 2}, "grid": {"genre": "a", "width": 3}, "search": search}
    wanted = study(tmp_path, ["python", "facts.py"], **few)
    sweep = ran(wanted, tmp_path / "out")
    assert not sweep.failures, sweep.failures
    rows = table(tmp_path / "out").set_index("key")
    for key, row in rows.iterrows():
        facts = json.loads((tmp_path / "out/trials" / str(key) / "files/seen.json").read_text())
        assert facts["cell"] == {"genre": "a", "width": 3}
        assert {n: facts[n] for n in ("seed", "draw", "strength", "arm", "stage")} == {
            n: row[n] for n in ("seed", "draw", "strength", "arm", "stage")
        }
        assert facts["epochs"] is None
        assert facts["device"] == "cpu"
        forced = row["arm"] != "none"
        assert facts["options"].get("temperature") == (
            row["option_temperature"] if forced else None
        )
        assert row["f1_test"] == 0.25 + row["seed"] / 1e6


AWK = 'BEGIN { print "before"; %s }'


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("exit 3", "before\nawk ended with exit code 3; all that it printed is in"),
        ("", "the command wrote no results there"),
        ('print "{" > results', "results.jsonl, line 1: no JSON"),
        ('print "[1]" > results', "line 1: expected an object of metrics"),
        ('print "{\\"f1_test\\": \\"good\\"}" > results', "metric f1_test is good (str)"),
        ('print "{\\"f1_validation\\": 1}" > results', "returned no f1_test"),
        (
            'print "{\\"f1_test\\": 1" sprintf("%0400d", 0) "}" > results',
            "metric f1_test is beyond 1e308",
        ),
        ('system("kill -9 $PPID")', "ended by SIGKILL (which the system sends where memory is"),
    ],
)
def test_what_goes_wrong_with_a_command_is_told(tmp_path: Path, program: str, why: str) -> None:
    command = ["awk", "-v", "results={results}", AWK % program]
    few = {"confirm": {"seeds": 2}, "grid": {}, "search": {"trials": 1, "seeds": 1}}
    sweep = ran(study(tmp_path, command, **few), tmp_path / "out")
    [reason] = (
        set(map(words, sweep.failures.values()))
        if len(sweep.failures) == 1
        else [words(next(iter(sweep.failures.values())))]
    )
    assert words(why) in reason


@pytest.mark.parametrize("word", ["nan", "-nan", "NaN", "Inf", "-inf", "INFINITY"])
def test_what_is_no_finite_number_may_be_as_printf_has_it(tmp_path: Path, word: str) -> None:
    told = f'{{\\"epoch\\": 1, \\"loss\\": {word}}}'
    ended = f'{{\\"f1_validation\\": 0.5, \\"f1_test\\": {word}}}'
    command = ["awk", f'BEGIN {{ print "{told}\\n{ended}" > ARGV[1] }}', "{results}"]
    few = {"confirm": {"seeds": 2}, "grid": {}, "search": {"trials": 1, "seeds": 1}}
    sweep = ran(study(tmp_path, command, **few), tmp_path / "out")
    assert not sweep.failures
    rows = table(tmp_path / "out")
    assert set(rows["status"]) == {"diverged"}
    value = "nan" if "nan" in word.lower() else "-inf" if word.startswith("-") else "inf"
    assert set(rows["reason"]) == {f"f1_test is {value}"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('\ufeff{"epoch": 1.0, "loss": 2}\r\n', [{"epoch": 1, "loss": 2}]),
        ('{"what": "a\u2028b\x85c"}\n', [{"what": "a\u2028b\x85c"}]),
        ('{"f1": nan, "what": "nan"}', [{"f1": None, "what": "nan"}]),
    ],
)
def test_lines_are_json_whoever_has_written_them(
    tmp_path: Path, text: str, told: list[dict[str, Any]]
) -> None:
    """With a byte order mark, a whole number as a float, and what ends a line in Unicode alone."""
    place = tmp_path / "results.jsonl"
    place.write_bytes(text.encode())
    found = [parsed(line) for line in lines_of(place) if line.strip()]
    plain = [{n: None if v != v else v for n, v in point.items()} for point in found]
    assert plain == told


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"f1_test": 0.1, "f1_test": 0.9}', "f1_test stands there twice"),
        ("[" * 10**5 + "]" * 10**5, "nested too deep"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_no_line(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parsed(line)


def test_an_attempt_that_was_cut_short_spoils_no_later_one(tmp_path: Path) -> None:
    """It leaves half a line, metrics of a time before, and an epoch that is logged again."""
    (tmp_path / "train.pl").write_text(
        "my ($results, $seed) = @ARGV;"
        'my $first = !-e "$results.begun"; open(my $b, ">", "$results.begun"); close $b;'
        'open(my $out, ">>", $results);'
        'if ($first) { print $out qq({"epoch": 1, "loss": 9}\n{"f1_test": 9, "f2_test": 9}\n);'
        ' print $out qq({"epoch": 2, "lo); close $out; kill "KILL", $$; }'
        'print $out qq({"epoch": 2, "loss": 0.25}\n);'
        'print $out qq({"f1_validation": 0.5, "f1_test": 0.$seed}\n);'
    )
    few = {"confirm": {"seeds": 2}, "grid": {}, "search": {"trials": 1, "seeds": 1}}
    wanted = study(tmp_path, ["perl", "train.pl", "{results}", "{seed}"], **few)
    while ran(wanted, tmp_path / "out").failures:
        pass
    rows = table(tmp_path / "out")
    assert "f2_test" not in rows
    assert (rows["f1_test"] < 1).all()
    assert set(rows["trained_epochs"]) == {2}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "trial.command: the list is empty"),
        (["no-such-program"], "there is no program no-such-program on the path"),
        (["perl", "{sead}"], r"unknown placeholder '\{sead\}' \(did you mean seed"),
        (["perl", 5], "trial.command.1: expected text, found 5"),
    ],
)
def test_faults_of_a_command(tmp_path: Path, command: list[Any], message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        study(tmp_path, command)


def test_a_command_ends_with_its_worker_and_all_it_started(tmp_path: Path) -> None:
    """Python holds the pipe; the command's own child writes its id and would sleep on."""
    (tmp_path / "train.pl").write_text(
        "my $child = fork(); if (!$child) { sleep 600 } open(my $o, '>', $ARGV[0]);"
        'print $o "$$ $child"; close $o; sleep 600;'
    )
    code = (
        "import subprocess, sys\n"
        f"guard = {str(Path(package.__file__).parent / 'kinds' / 'trial' / 'guard.py')!r}\n"
        "words = [sys.executable, '-I', '-S', guard, *sys.argv[1:]]\n"
        "subprocess.Popen(words, stdin=subprocess.PIPE).wait()\n"
    )
    ids = tmp_path / "ids"
    worker = subprocess.Popen(
        [sys.executable, "-c", code, "perl", str(tmp_path / "train.pl"), str(ids)]
    )
    deadline = time.monotonic() + 30
    while not (ids.exists() and ids.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    started = [int(word) for word in ids.read_text().split()]
    assert all(psutil.pid_exists(process) for process in started)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, started))


@pytest.mark.faults
@pytest.mark.ray
def test_the_command_form_through_ray_gives_the_same_table(script: Path) -> None:
    few = {"confirm": {"seeds": 2}}
    (script / "mine.yaml").write_text(yaml.safe_dump(document(WORDS, **few)))
    done = raysweep(script, "run", "mine.yaml", "--out", "ray", "--workers", "2", "--no-mlflow")
    assert done.returncode == 0, done.stderr
    ran(study(script, WORDS, **few), script / "here")
    assert_same_table(table(script / "ray"), table(script / "here"))
