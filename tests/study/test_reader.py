import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from file_faults import faults_of, parse, plainly
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_two_cells import TINY, StudyFactory
from write_golden import BROKEN_MESSAGE, broken_message

from raysweep.errors import InputError
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study.bundled import find_study
from raysweep.study.reader import StudyFileError, dump_study, load_study

QUICKSTART = find_study("quickstart").read_text()


def test_all_faults_are_listed_at_once_with_line_value_and_choices() -> None:
    assert broken_message() == BROKEN_MESSAGE.read_text(), (
        "if this was meant, run python tests/support/write_golden.py and read the difference"
    )


def test_the_message_names_the_file_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: x\ndata: []\n")
    with pytest.raises(StudyFileError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"{path}: 1 fault\n  line 2: data: the list is empty; give at least one value"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: found an empty file; a study is a mapping of keys"),
        ("# nothing\n", "line 1: found an empty file; a study is a mapping of keys"),
        ("- a\n- b", "line 1: found a list; a study is a mapping of keys"),
        ("hello", "line 1: found a single value; a study is a mapping of keys"),
        ("a: 1\nb: [1, 2\nc: 3", "line 3: not valid YAML"),
        ("a: 1\n\tb: 2", "line 2: not valid YAML"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
        ("name: *nowhere", "line 1: not valid YAML"),
        ("name: \a", "line 1: not valid YAML: the character '\\x07' is not allowed"),
        ("name: &a [*a]", "line 1: not valid YAML: nested too deeply"),
        ("name: " + "[" * 1200, "line 1: not valid YAML: nested too deeply"),
        ("name: " + "9" * 5000, "line 1: name: cannot be read as a value (Exceeds the limit"),
        ("name: 2001-99-99", "line 1: name: cannot be read as a value (month must be in"),
        ("name: !!python/object:os.system x", "line 1: name: cannot be read as a value (could"),
        ("? [a, b]\n: 1", "line 1: a key is a list; write plain names"),
    ],
)
def test_what_is_not_a_study_is_said_in_a_line(text: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults_of(text)), faults_of(text)


def test_aliases_cannot_grow_without_end() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    [fault] = faults_of(laughs)
    assert "nested too deeply" in fault


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.yaml: cannot be read \(No such file"):
        load_study(tmp_path / "gone.yaml")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        load_study(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml: cannot be read .*utf-8"):
        load_study(tmp_path / "latin.yaml")


def test_a_key_that_stands_twice_is_a_fault_wherever_it_is() -> None:
    text = TINY.replace("U: [2, 6]", "U: [2, 6]\n  U: [4]") + "name: again\n"
    [first, second] = faults_of(text)
    assert first == "line 2: name: this key stands twice (again at line 15); keep one"
    assert second == "line 5: data.U: this key stands twice (again at line 6); keep one"


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 1e-3), ("1E-3", 1e-3), ("2e1", 20.0), (".5e-2", 5e-3), ("1.e-2", 1e-2), ("1", 1.0)],
)
def test_numbers_are_read_as_people_write_them(written: str, value: float) -> None:
    study = plainly(f"name: x\ndata: {{dataset: a}}\ntraining: {{learning_rate: {written}}}")
    assert study.training.learning_rate == value


# Faults that only show when all values are valid by themselves must not wait for those to be fixed.


def test_clashes_are_found_beside_other_faults() -> None:
    text = TINY.replace("confirm: {seeds: 2}", "confirm: {seeds: [0, 5]}").replace(
        "search: {trials: 3,", "search: {trials: 0, strength: {low: 3, high: 2}, sede: 1,"
    )
    faults = faults_of(text)
    assert len(faults) == 4
    assert all(
        any(part in fault for fault in faults)
        for part in ("seeds used twice: 0", "upside down", "search.trials", "'sede'")
    )


def test_faults_within_one_list_hide_none_of_the_others() -> None:
    text = TINY.replace("confirm: {seeds: 2}", "confirm: {seeds: [0, -5, 7, 7, x]}")
    faults = faults_of(text)
    starts = [
        "line 13: confirm.seeds.1: must be greater",
        "line 13: confirm.seeds.4: expected a whole number, found 'x'",
        "line 13: confirm.seeds: seeds used twice: 0 in both",
        "line 13: confirm.seeds: values used twice: 7",
    ]
    assert all(f.startswith(s) for f, s in zip(sorted(faults), starts, strict=True))


def test_a_fault_is_no_reason_for_a_clash() -> None:
    [fault] = faults_of(TINY.replace("search: {", "search: {strength: {low: -1, high: 0.001}, "))
    assert fault.startswith("line 12: search.strength.low:")


def test_a_clash_points_at_the_key_that_is_there() -> None:
    [fault] = faults_of(TINY.replace("seeds: 1}", "seeds: [1000]}").replace("confirm", "#"))
    assert fault.startswith("line 12: search.seeds: seeds used twice: 1000")


def test_draws_of_the_search_are_not_those_of_the_data() -> None:
    [fault] = faults_of(TINY.replace("seeds: 1}", "seeds: 1, draws: [0, 7]}"))
    assert fault.startswith("line 12: search.draws: draws used twice: 0 in both search.draws and")
    assert parse(TINY.replace("seeds: 1}", "seeds: 1, draws: 2}")).search.draws == (1000, 1001)


def test_single_blocks_and_lists_are_the_same(study_of: StudyFactory) -> None:
    block = TINY.replace("  dataset:", "- dataset:").replace("  train", "  train")
    assert parse(block) == study_of()


# --set


def test_overrides_change_the_document() -> None:
    study = plainly(
        QUICKSTART,
        "data.0.U=[1, 2]",
        "data.1.overlap.1=7",
        "search.trials=3",
        "evaluation.metrics.cka={}",
        "evaluation.rows=99",
        "verdict.margin=1e-2",
        "resources.members_per_pack = 5",
        "alignment.options.temperature=0.5",
        "description=",
        "description=a = b",
    )
    assert study.data[0].axes["U"] == (1, 2)
    assert study.data[1].axes["overlap"] == (0, 7)
    assert study.search.trials == 3
    assert list(study.evaluation.metrics) == ["unbiased_cka", "mutual_knn", "cka"]
    assert study.evaluation.rows == 99
    assert study.verdict.margin == 0.01
    assert study.resources.members_per_pack == 5
    assert study.alignment.options == {"temperature": 0.5}
    assert study.description == "a = b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.trials", "expected KEY=VALUE"),
        ("=5", "expected KEY=VALUE"),
        ("search..trials=5", "expected KEY=VALUE"),
        ("search.trials=[1", "is not a YAML value"),
        ("search.trials=\a", "is not a YAML value"),
        ("search.trials=&a [*a]", "is not a YAML value"),
        ("data.7.U=1", "the study has no data.7; data is a list with the entries 0..1"),
        ("data.-1.U=1", "the study has no data.-1; data is a list"),
        ("data.first.U=1", "the study has no data.first; data is a list"),
        ("data.²=1", "the study has no data.²"),
        ("search.trials.x=1", "search.trials is 12, which has no parts"),
        ("name.x.y=1", "name is 'quickstart', which has no parts"),
    ],
)
def test_an_override_that_fits_nowhere_is_refused(override: str, message: str) -> None:
    [fault] = faults_of(QUICKSTART, override)
    assert fault.startswith(f"--set {override}: ")
    assert message in fault


def test_all_faulty_overrides_are_told_and_what_is_wrong_besides() -> None:
    found = faults_of(
        QUICKSTART.replace("name:", "nam:"), "search", "search.trials=0", "data.7.U=1"
    )
    assert [fault.split(": ")[0] for fault in found[:2]] == ["--set search", "--set data.7.U=1"]
    assert [fault.split(": ")[1] for fault in found[2:]] == ["nam", "name", "search.trials"]


def test_a_faulty_override_is_blamed_and_not_the_line() -> None:
    [first, second] = faults_of(QUICKSTART, "search.trials=many", "verdict.alfa=0.1")
    assert first == "--set search.trials=many: search.trials: expected a whole number, found 'many'"
    assert second.startswith(
        "--set verdict.alfa=0.1: verdict.alfa: unknown key 'alfa' (did you mea"
    )
    [third] = faults_of(QUICKSTART, "data.0.U=[1, 99]")
    assert third.startswith("--set data.0.U=[1, 99]: data.0.U.1: expected an integer in 0..8")


@pytest.mark.parametrize("key", ["[red]", "[list]", "[range]", "[", "<b>", "a\nb", "", "%s {0}"])
def test_an_unknown_key_may_be_called_anything(key: str) -> None:
    quoted = json.dumps(key)
    [fault] = faults_of(f"{QUICKSTART}\n{quoted}: 1\n")
    assert f"unknown key {key!r}" in fault
    [inner] = faults_of(QUICKSTART.replace("trials: 12", f"trials: 12\n  {quoted}: 1"))
    assert f"unknown key {key!r}" in inner


def test_an_override_repairs_a_fault() -> None:
    broken = QUICKSTART.replace("trials: 12", "trials: 12\n  trials: no")
    assert len(faults_of(broken)) == 2
    assert parse(broken, "search.trials=5").search.trials == 5


# Round trip


metrics = st.dictionaries(
    st.sampled_from(["cka", "rsa", "unbiased_cka"]), st.just({}), min_size=1, max_size=3
)
studies = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
        "data": st.lists(
            st.fixed_dictionaries(
                {"dataset": st.just("synthetic")},
                optional={
                    "U": st.lists(st.integers(0, 8), min_size=1, max_size=3, unique=True),
                    "temperature": st.floats(0.01, 5),
                    "transform": st.sampled_from(["depth", "width"]),
                    "draws": st.integers(1, 4),
                    "U1": st.none(),
                },
            ),
            min_size=1,
            max_size=3,
        ),
    },
    optional={
        "description": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
        "evaluation": st.fixed_dictionaries({"metrics": metrics}),
        "training": st.fixed_dictionaries(
            {}, optional={"learning_rate": st.floats(1e-12, 1e6), "epochs": st.integers(1, 10**6)}
        ),
        "search": st.fixed_dictionaries(
            {}, optional={"seeds": st.lists(st.integers(0, 900), min_size=1, unique=True)}
        ),
        "model": st.fixed_dictionaries({}, optional={"depth": st.integers(1, 9)}),
    },
)


@settings(max_examples=60)
@given(studies)
def test_a_study_that_is_written_out_is_read_back(document: dict) -> None:
    study = Study.model_validate(document)
    again = plainly(dump_study(study))
    assert again == study
    assert again.science() == study.science()
    assert dump_study(again) == dump_study(study)


def test_a_resolved_study_resolves_to_itself(study_of: StudyFactory) -> None:
    for study in (
        study_of(),
        study_of("evaluation.metrics.svcca.dimensions=null"),
        parse(QUICKSTART),
    ):
        text = dump_study(study)
        assert plainly(text) == study
        assert parse(text) == study


# Whatever is written, a fault or a study comes out.

JUNK: list[Any] = [
    None, True, -1, 0, 1, 3, 2.5, 10**30, 1e300, float("nan"), float("inf"), "", "x", "1e-3", "~",
    "a:b", ":", "os:getcwd", "~nobody/x", "..", [], [1, 1], [None], ["a", 2], {}, {"a": 1},
    {"topk": 5}, [[1]], [{}], {"": None},
]  # fmt: skip


def places(value: Any, at: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at]
    for key, part in inner:
        found += places(part, (*at, key)) if isinstance(part, dict | list) else [(*at, key)]
    return found


def only_faults(text: str) -> None:
    try:
        study = parse(text)
    except InputError:
        return
    assert parse(dump_study(study)) == study


@settings(max_examples=80)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_mutated_study_is_faulty_or_a_study(seed: int, changes: int) -> None:
    choice = random.Random(seed)
    document = yaml.safe_load(QUICKSTART)
    for _ in range(changes):
        *above, last = choice.choice([p for p in places(document) if p])
        target = document
        for step in above:
            target = target[step]
        action = choice.randrange(3)
        if action == 0:
            target[last] = copy.deepcopy(choice.choice(JUNK))
        elif action == 1:
            del target[last]
        elif isinstance(target, dict):
            target[str(last)[:-1] + choice.choice("xy_")] = target.pop(last)
    only_faults(yaml.safe_dump(document))


@settings(max_examples=80)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_mistyped_study_is_faulty_or_a_study(seed: int, slips: int) -> None:
    choice = random.Random(seed)
    text = QUICKSTART
    for _ in range(slips):
        at = choice.randrange(len(text))
        action = choice.randrange(3)
        typed = choice.choice("\n\t :-[]{},#&*!|>'\"%@`.eE0x~?=<ä\0\x85\ufeff")
        text = text[:at] + (typed if action else "") + text[at + (action < 2) :]
    only_faults(text)
