"""A run on a real Ray, watched from another terminal."""

import re
from pathlib import Path

from tiny_runs import kill, misbehaving, parts, started, words, write_study
from waiting import in_a_terminal, wait_until

from raysweep.folder.run_folder import RunFolder
from raysweep.trials.storage import Output

SUMMARY = re.compile(
    r"\d of 2 cells, \d+ of \d+ trials, \d+ packs done, 1 failed, "
    r"[\w ]+ gone, about [\w ]+ left, [\d.]+ encoders/s"
)
BEST = re.compile(r"synthetic U=\d (searching|confirming) \d/4 \d+/12 [\d.e+-]+ ")


def test_a_live_run_is_watched_from_another_terminal(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    write_study(tmp_path / "tiny.yaml", **misbehaving(switch, "stumble", 0.2, data__U=[0, 8]))
    (switch / "armed").touch()
    out = tmp_path / "out"
    run = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")

    def speed_up(terminal: int) -> None:
        if len(parts(out)) >= 5:
            (switch / "armed").unlink(missing_ok=True)

    try:
        wait_until(lambda: len(parts(out)) >= 1, run, 240)
        folder = RunFolder(Output(out))
        assert folder.driver() is not None
        text, code = in_a_terminal(tmp_path, "status", out, "--watch", act=speed_up)
        assert run.wait(120) == 1  # a pack failed
    finally:
        kill(run)
    seen = words(text)
    assert code == 0, text
    assert "run by host" in seen
    assert f"process {run.pid}" in seen
    assert "failed: ArithmeticError: the loss was told to stumble" in seen
    assert SUMMARY.search(seen), seen
    assert BEST.search(seen), seen
    assert "1 pack failed; see why with: raysweep failures" in seen
    assert "Traceback" not in seen
