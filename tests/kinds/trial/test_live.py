"""Epochs of a trial that runs, seen while it does: here, from another terminal, of a command."""

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_runs import kill, opened, started, words
from trial_runs import document, study
from waiting import in_a_terminal, wait_until

from raysweep.folder.running import Epoch
from raysweep.kinds.display import RunDisplay, Screen
from raysweep.kinds.sweep import Sweep
from raysweep.runners import local
from raysweep.runners.observer import Silent

SLOW: dict[str, Any] = {
    "trial": "own_trials:slow",
    "grid": {"genre": "horror"},
    "search": {
        "trials": 1,
        "generation": 1,
        "seeds": 1,
        "strength": {"low": 0.5, "high": 0.6},
        "sampler": "grid",
    },
    "confirm": {"seeds": 2},
}
LINE = re.compile(r"trial, forced 0\.5\S*, draw 0, seed \d+: epoch \d+, loss [\d.]+, f1 0\.5")


class Seen(Silent):
    """Remembers which epochs it was told of."""

    def __init__(self) -> None:
        self.epochs_seen: list[Epoch] = []

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """Remember them."""
        self.epochs_seen += [one for one in running if one not in self.epochs_seen]


@pytest.mark.slow
def test_epochs_are_told_while_this_process_trains(tmp_path: Path) -> None:
    wanted, seen = study(**SLOW), Seen()
    sweep = local.run(wanted, opened(tmp_path / "out", wanted), seen)
    assert not sweep.failures
    assert {one.about for one in seen.epochs_seen} <= {
        f"{arm} 0.5, draw 0, seed {seed}" for arm, seed in _of_arms("forced")
    }
    assert seen.epochs_seen
    for one in seen.epochs_seen:
        assert one.metrics == {"loss": 1 / one.epoch, "f1": 0.5}
        assert 9 <= one.epoch <= 30
    assert not list((tmp_path / "out" / "running").iterdir())


def _of_arms(arm: str) -> list[tuple[str, int]]:
    return [(arm, 0), (arm, 1000), (arm, 1001)]


@pytest.mark.slow
def test_the_live_display_shows_them_below_its_table(tmp_path: Path) -> None:
    screen = Screen(file=io.StringIO(), force_terminal=True, width=120)
    wanted = study(**{**SLOW, "confirm": {"seeds": 1}})
    with RunDisplay(screen) as display:
        local.run(wanted, opened(tmp_path / "out", wanted), display)
    shown = screen.file.getvalue()
    assert LINE.search(words(shown))
    assert not LINE.search(words(shown[shown.rindex("5 of 5 trials") - 200 :]))  # of ended ones


@pytest.mark.slow
def test_a_command_is_followed_in_the_file_that_it_writes(tmp_path: Path) -> None:
    program = (
        "import json, os, sys, time\n"
        "facts = json.load(open(os.environ['RAYSWEEP_TRIAL']))\n"
        "with open(facts['results'], 'a', buffering=1) as out:\n"
        "    for epoch in range(1, 31 if facts['arm'] == 'forced' else 2):\n"
        "        time.sleep(0.1)\n"
        "        print(json.dumps({'epoch': epoch, 'loss': 1 / epoch, 'f1': 0.5}), file=out)\n"
        "    print(json.dumps({'f1_validation': 0.5, 'f1_test': 0.5}), file=out)\n"
    )
    (tmp_path / "train.py").write_text(program)
    changes = {**SLOW, "confirm": {"seeds": 1}, "trial": {"command": ["python", "train.py"]}}
    seen = Seen()
    wanted = study(tmp_path, **changes)
    sweep = local.run(wanted, opened(tmp_path / "out", wanted), seen)
    assert not sweep.failures, sweep.failures
    assert seen.epochs_seen
    assert all(one.metrics == {"loss": 1 / one.epoch, "f1": 0.5} for one in seen.epochs_seen)


@pytest.mark.faults
@pytest.mark.ray
def test_through_ray_they_are_seen_from_another_terminal(tmp_path: Path) -> None:
    text = yaml.safe_dump(document(**{**SLOW, "confirm": {"seeds": 6}}))
    (tmp_path / "mine.yaml").write_text(text)
    arguments = ("run", "mine.yaml", "--out", "out", "--workers", "1", "--no-mlflow")
    run = started(tmp_path, *arguments)
    try:
        wait_until(lambda: any((tmp_path / "out" / "running").glob("*.json")), run, 240)
        shown, code = in_a_terminal(tmp_path, "status", "out", "--watch")
        assert run.wait(240) == 0, (tmp_path / "log").read_text()
    finally:
        kill(run)
    assert code == 0
    assert LINE.search(words(shown)), shown


def test_what_is_shown_costs_a_trial_next_to_nothing(tmp_path: Path) -> None:
    """Of ten thousand epochs that are logged one after another, as time of this process alone."""
    from trial_contexts import maker

    trial = maker(tmp_path)()
    began = time.process_time()
    for epoch in range(1, 10_001):
        trial.log(epoch, loss=0.5, f1=0.5)
    per_epoch = (time.process_time() - began) / 10_000
    trial._leave()
    assert per_epoch < 0.002
