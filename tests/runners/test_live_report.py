"""The report of a run while it goes on, and what is left of it afterwards."""

import re
from pathlib import Path

import pytest
from drawn_runs import drawn_row, opened, study

from raysweep.api.run import Run
from raysweep.folder.conclusion import REPORT_NAME, conclude
from raysweep.folder.run_folder import RunFolder
from raysweep.folder.stored_progress import (
    PROGRESS_NAME,
    is_so_far,
    store_seconds_left,
    stored_seconds_left,
)
from raysweep.kinds.outlook import Outlook
from raysweep.kinds.so_far import of_folder
from raysweep.kinds.sweep import Sweep
from raysweep.runners import live_report
from raysweep.runners.live_report import LiveReport
from raysweep.runners.observer import Several
from raysweep.study.spec import StudyBase
from raysweep.text import visible
from raysweep.trials.table import results_of, write_part

REFRESH = 'http-equiv="refresh"'


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_report, "EVERY_S", 0.0)
    monkeypatch.setattr(live_report, "_SHARE", 0)


def go_on(
    folder: RunFolder, planned: StudyBase, sweep: Sweep, observer: Several, most: int
) -> None:
    for _ in range(most):
        pack = sweep.next_pack()
        if pack is None:
            return
        sweep.begin(pack)
        observer.tick(sweep)
        rows = [
            {**drawn_row(planned, t), "chosen_by": t.chosen_by, "data": "synthetic"}
            for t in pack.trials
        ]  # type: ignore[arg-type]
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
        observer.pack_finished(sweep, pack, rows)


def page(folder: RunFolder) -> str:
    return (folder.output.read(REPORT_NAME) or b"").decode()


@pytest.mark.slow
def test_a_page_shows_the_run_until_the_report_takes_its_place(tmp_path: Path) -> None:
    planned = study()
    folder = opened(tmp_path / "out", planned)
    sweep, outlook = folder.open_sweep(planned), Outlook(of_folder(folder, planned))
    with folder.driver_lock(), LiveReport(folder.output, outlook) as report:
        observer = Several((outlook, report))
        observer.started(sweep, "here")
        assert not page(folder)
        sweep.labels = {cell: f"<b>{label}</b>" for cell, label in sweep.labels.items()}
        go_on(folder, planned, sweep, observer, most=8)
        during = page(folder)
        driver = folder.driver()
        assert driver is not None
        assert stored_seconds_left(folder.output, driver.since_ns) is not None
        go_on(folder, planned, sweep, observer, most=100)
        last = page(folder)
    assert REFRESH in during
    assert is_so_far(during.encode())
    assert "No answer yet" in during
    assert "&lt;b&gt;synthetic U=0&lt;/b&gt;" in during
    assert "<b>synthetic" not in during
    assert not re.search(r"(src|href)=(?!['\"]#)|url\(", during)  # it fetches nothing
    for cell in sweep.cells:
        for effect in outlook.so_far.of(cell.id):
            assert str(effect).replace("-", "\N{MINUS SIGN}") in last
    assert folder.output.read(PROGRESS_NAME) is None
    folder.compact(sweep)
    conclude(folder, planned)
    assert not is_so_far(page(folder).encode())
    assert REFRESH not in page(folder)


def test_a_run_that_ends_early_leaves_a_page_that_stands_still(tmp_path: Path) -> None:
    planned = study()
    folder = opened(tmp_path / "out", planned)
    sweep, outlook = folder.open_sweep(planned), Outlook(of_folder(folder, planned))
    with pytest.raises(KeyboardInterrupt), LiveReport(folder.output, outlook) as report:  # noqa: PT012
        observer = Several((outlook, report))
        go_on(folder, planned, sweep, observer, most=8)
        pack = sweep.next_pack()
        assert pack is not None
        sweep.fail(pack, "Traceback\nValueError: <i>too</i> bad\x1b")
        observer.pack_failed(sweep, pack, "")
        raise KeyboardInterrupt
    left = page(folder)
    assert REFRESH not in left
    assert f"raysweep resume {folder.output.argument}" in visible(left)
    assert "ValueError: &lt;i&gt;too&lt;/i&gt; bad\\x1b" in left
    assert folder.output.read(PROGRESS_NAME) is None
    folder.compact(sweep)
    # Who asks for the report of such a run gets one.
    assert Run(folder, planned).report == folder.output.place(REPORT_NAME)
    assert not is_so_far(page(folder).encode())


def test_an_interrupt_before_any_result_leaves_an_earlier_report(tmp_path: Path) -> None:
    planned = study()
    folder = opened(tmp_path / "out", planned)
    folder.output.write(REPORT_NAME, b"an earlier report")
    sweep, outlook = folder.open_sweep(planned), Outlook(of_folder(folder, planned))
    with pytest.raises(KeyboardInterrupt), LiveReport(folder.output, outlook) as report:  # noqa: PT012
        report.started(sweep, "here")
        report.tick(sweep)
        raise KeyboardInterrupt
    assert page(folder) == "an earlier report"


def test_only_what_the_driver_told_itself_counts(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", study())
    assert stored_seconds_left(folder.output, 0) is None
    store_seconds_left(folder.output, 100.0)
    left = stored_seconds_left(folder.output, 0)
    assert left is not None
    assert 90 < left <= 100
    later = 2**62
    assert stored_seconds_left(folder.output, later) is None
    folder.output.write(PROGRESS_NAME, b"{damaged")
    assert stored_seconds_left(folder.output, 0) is None
