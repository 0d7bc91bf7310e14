"""What running trials logged last, for who watches: seldom written, and gone when they end."""

from pathlib import Path

import pytest
from trial_runs import study

from raysweep.folder import running
from raysweep.folder.run_folder import RunFolder
from raysweep.study.cells import expand
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Stage, Trial


def trial(seed: int = 3) -> Trial:
    cell = expand(study())[0]
    options = (("temperature", 0.1),)
    return Trial(cell, 1, seed, 0.316, Arm.FORCED, Stage.SEARCH, "s", options=options)


class Clock:
    """Time that a test makes pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(running.time, "monotonic", found.monotonic)
    return found


@pytest.mark.parametrize("far", [False, True])
def test_it_is_written_now_and_then_and_gone_at_the_end(
    tmp_path: Path, clock: Clock, far: bool
) -> None:
    output = Output(tmp_path)
    if far:
        output.local = None  # as a store on another machine
    every_s = 20 if far else 1
    teller = running.Teller(output, trial(), 60)
    written = 0
    for epoch in range(1, 10 * every_s + 1):
        clock.now += 0.5
        before = (tmp_path / "running").exists() and running.running(output)
        teller.tell(epoch, {"loss": 1 / epoch, "f1": 0.5, "a": 1.0, "b": 2.0, "c": 3.0})
        after = (tmp_path / "running").exists() and running.running(output)
        written += before != after
    assert written == 5
    [seen] = running.running(output)
    assert seen.epoch == 10 * every_s
    line = f"horror, forced 0.316 temperature=0.1, draw 1, seed 3: epoch {seen.epoch} of 60, loss"
    assert seen.line("horror").startswith(line)
    assert seen.line("horror").endswith("b 2, …")
    teller.end()
    assert running.running(output) == []
    assert list((tmp_path / "running").iterdir()) == []


def test_a_short_trial_writes_nothing(tmp_path: Path, clock: Clock) -> None:
    teller = running.Teller(Output(tmp_path), trial(), None)
    for epoch in range(1, 100):
        clock.now += 0.009
        teller.tell(epoch, {})
    teller.end()
    assert list(tmp_path.iterdir()) == []


def test_a_new_driver_forgets_what_a_killed_one_has_left(tmp_path: Path, clock: Clock) -> None:
    output = Output(tmp_path)
    for seed in (1, 2):
        teller = running.Teller(output, trial(seed), None)
        clock.now += 5
        teller.tell(4, {"loss": float("nan")})
    (tmp_path / "running" / "half.123").write_text("{")
    (tmp_path / "running" / "other.json").write_text("[1]")
    assert {one.about for one in running.running(output)} == {
        f"forced 0.316 temperature=0.1, draw 1, seed {seed}" for seed in (1, 2)
    }
    with RunFolder(output).driver_lock():
        assert list((tmp_path / "running").iterdir()) == []
