"""What is written lands in its folder, whole or not at all, and never through a link."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate_trials import simulate_forcing

from raysweep.errors import InputError
from raysweep.study.bundled import find_study
from raysweep.trials.storage import Output, unlinked
from raysweep_analysis.__main__ import main
from raysweep_analysis.report import write_report

LONG = "x" * 300
DEEP = "/tmp" + "/y" * 3000


def trials(effect: float = 0.03) -> pd.DataFrame:
    return simulate_forcing(effects=[effect, 0.0], seeds=4, rng=np.random.default_rng(0))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_link_in_a_files_place_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    names = ("report.html", "figures/effects.png", "figures/effects.svg", "tables/effects.csv")
    outside.mkdir()
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / Path(name).name).write_text("precious")
        (out / name).symlink_to(outside / Path(name).name)
    before = contents(outside)
    write_report(trials(), out)
    assert contents(outside) == before
    for name in names:
        assert not (out / name).is_symlink()
        assert (out / name).stat().st_size > 100


@pytest.mark.slow
@pytest.mark.parametrize("part", ["figures", "tables"])
def test_a_link_in_a_folders_place_is_refused(
    tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    for folder in (out, outside):
        folder.mkdir()
    (out / part).symlink_to(outside)
    with pytest.raises(InputError, match=rf"{part}: is a link to .*outside, and nothing is"):
        write_report(trials(), out)
    trials().to_parquet(tmp_path / "t.parquet")
    assert main([str(tmp_path / "t.parquet"), "--out", str(out)]) == 2
    assert "nothing is written through a link" in capsys.readouterr().err
    assert contents(outside) == {}


def test_an_output_writes_and_deletes_through_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "parts").symlink_to(outside)
    (tmp_path / "out" / "lock").symlink_to(outside / "x")
    output = Output(tmp_path / "out")
    for act in (lambda: output.write("parts/x", b"new"), lambda: output.delete("parts/x")):
        with pytest.raises(InputError, match="is a link"):
            act()
    with pytest.raises(OSError, match="symbolic links"):
        unlinked(str(tmp_path / "out" / "lock"), os.O_RDWR | os.O_CREAT)
    output.delete("lock")
    assert contents(outside) == {"x": b"precious"}
    # The folder itself may be reached by a link: it is the one that was asked for.
    (tmp_path / "linked").symlink_to(outside)
    Output(tmp_path / "linked").write("y", b"1")
    assert (outside / "y").read_bytes() == b"1"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of two reports on different trials."""
    folder = tmp_path_factory.mktemp("reports")
    write_report(trials(), folder / "old")
    write_report(trials(-0.02), folder / "new")
    return folder / "old", folder / "new"


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 2, 4, 8])
def test_a_full_disk_leaves_every_file_whole(
    reports: tuple[Path, Path],
    tmp_path: Path,
    at: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, new = map(contents, reports)
    shutil.copytree(reports[0], tmp_path / "out")
    trials(-0.02).to_parquet(tmp_path / "t.parquet")
    seen = []
    sync = os.fsync

    def full(descriptor: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{descriptor}"):
            seen.append(descriptor)
            if len(seen) > at:
                raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert main([str(tmp_path / "t.parquet"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == f"--out {tmp_path / 'out'}: cannot be written (No space left on device)\n"
    found = contents(tmp_path / "out")
    assert found.keys() == old.keys()
    assert all(content in (old[name], new[name]) for name, content in found.items())
    assert sum(found[name] != old[name] for name in found) <= at


@pytest.mark.parametrize("location", [LONG, DEEP, f"a/{LONG}/b"])
def test_a_path_that_is_too_long_is_one_clear_sentence(
    location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"not a location that can be opened \(File name too lon"):
        Output(location)
    with pytest.raises(InputError, match=r"File name too long|neither a study file nor"):
        find_study(location)
    trials().to_parquet(tmp_path / "t.parquet")
    for arguments in ([location, "--out", "o"], [str(tmp_path / "t.parquet"), "--out", location]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert "File name too long" in said
        assert len(said.splitlines()) == 1


def test_a_path_with_bytes_that_are_no_utf8_or_a_nul_is_one_clear_sentence(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    with pytest.raises(InputError, match="not a name in UTF-8"):
        Output(tmp_path / odd)
    done = subprocess.run(
        [sys.executable, "-m", "raysweep_analysis", "nothing", "--out", os.fsencode(odd)],
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == rb"caf\udce9: not a name in UTF-8; give a folder with another name" b"\n"


def test_a_name_almost_too_long_can_be_written(tmp_path: Path) -> None:
    Output(tmp_path).write("n" * 255, b"1")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"1"
