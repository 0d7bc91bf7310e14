"""What a run's output folder accepts, refuses and keeps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import assert_equal_numbers, assert_same_table, begun, opened, parts, study, table

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder, extends
from raysweep.runners import local
from raysweep.trials.storage import Output
from raysweep.trials.table import read_parts


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    local.run(study(), opened(folder, study()))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"search__trials": 6},
        {"search__seeds": 3},
        {"confirm__seeds": 6},
        {"data__U": [0, 4]},
        {"data__draws": 2, "search__draws": "confirmed"},
        {"model__width": [8, 16]},
        {"verdict": {"margin": 0.01}},
        {"description": "more words"},
        {"resources": {"cpus_per_pack": 2}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_study_may_grow(change: dict[str, object]) -> None:
    assert extends(study(), study(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"search__trials": 2},
        {"search__seeds": 1},
        {"confirm__seeds": 3},
        {"data__U": [4]},
        {"data__train": 128},
        {"model__width": 16},
        {"training__epochs": 3},
        {"training__dtype": "float32"},
        {"alignment": {"loss": "cka"}},
        {"evaluation__rows": 16},
        {"search__objective": "performance"},
        {"search__draws": 2},
        {"search__strength": {"low": 0.1, "high": 10}},
        {"search__generation": 4},
        {"seed": 1},
        {"name": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_study_may_not_change_otherwise(change: dict[str, object]) -> None:
    assert not extends(study(), study(**change))


def test_a_grid_of_strengths_may_only_be_refined() -> None:
    coarse = study(search__sampler="grid", search__trials=4)
    assert extends(coarse, study(search__sampler="grid", search__trials=7))
    assert not extends(coarse, study(search__sampler="grid", search__trials=6))


def test_a_refined_grid_reuses_the_coarse_one(tmp_path: Path) -> None:
    coarse = study(search__sampler="grid", search__trials=4)
    fine = study(search__sampler="grid", search__trials=7)
    local.run(coarse, opened(tmp_path, coarse))
    before = {name: (tmp_path / "parts" / name).read_bytes() for name in parts(tmp_path)}
    local.run(fine, opened(tmp_path, fine))
    fresh = RunFolder(Output(tmp_path / "fresh"))
    fresh.adopt(fine)
    local.run(fine, fresh)
    assert (
        before.items()
        <= {n: (tmp_path / "parts" / n).read_bytes() for n in parts(tmp_path)}.items()
    )
    # The rows of the coarse grid now carry their numbers in the fine one.
    assert_equal_numbers(table(tmp_path), table(tmp_path / "fresh"))


def test_another_study_is_refused_with_the_change(tmp_path: Path) -> None:
    begun(opened(tmp_path, study()).output)
    with pytest.raises(InputError) as caught:
        opened(tmp_path, study(training__epochs=3))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "-  epochs: 2" in message
    assert "+  epochs: 3" in message
    assert "name" not in message.replace("another --out", "")
    assert RunFolder(Output(tmp_path)).existing_study() == study()


def test_a_folder_without_a_study_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study\.yaml"):
        RunFolder(Output(tmp_path)).existing_study()


HOLD = """
import sys
from raysweep.folder.run_folder import RunFolder
from raysweep.trials.storage import Output
with RunFolder(Output(sys.argv[1])).driver_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_driver_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = RunFolder(Output(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InputError) as caught, folder.driver_lock():
            pass
        assert f"host {os.uname().nodename}, process {first.pid}" in str(caught.value)
        first.kill()
    with folder.driver_lock():
        pass


@pytest.mark.parametrize("damage", ["short", "empty", "garbage", "another file"])
def test_a_damaged_part_file_is_run_again(complete: Path, tmp_path: Path, damage: str) -> None:
    folder = opened(tmp_path, study())
    for name in parts(complete):
        folder.output.write(f"parts/{name}", (complete / "parts" / name).read_bytes())
    victim = tmp_path / "parts" / parts(tmp_path)[1]
    content = victim.read_bytes()
    victim.write_bytes(
        {
            "short": content[: len(content) // 2],
            "empty": b"",
            "garbage": os.urandom(len(content)),
            "another file": (complete / "trials.parquet").read_bytes(),
        }[damage]
    )
    assert read_parts(folder.output).damaged == (f"parts/{victim.name}",)
    sweep = local.run(study(), folder)
    assert sweep.finished_packs >= 1
    assert_same_table(table(tmp_path), table(complete))


def test_temporary_files_of_a_killed_writer_do_no_harm(complete: Path, tmp_path: Path) -> None:
    folder = opened(tmp_path, study())
    for name in parts(complete):
        folder.output.write(f"parts/{name}", (complete / "parts" / name).read_bytes())
    (tmp_path / "parts" / f"{parts(complete)[0]}.0123abcd.tmp").write_bytes(b"half a fi")
    assert local.run(study(), folder).finished_packs == 0
    assert_same_table(table(tmp_path), table(complete))


def test_a_failure_is_kept_until_its_pack_has_run(tmp_path: Path) -> None:
    folder = opened(tmp_path, study())
    pack = folder.open_sweep(study()).next_pack()
    assert pack is not None
    assert folder.failure(pack) is None
    folder.record_failure(pack, "Traceback\nValueError: too bad")
    assert folder.failure(pack) == "Traceback\nValueError: too bad"
    local.run(study(), folder)
    assert folder.failure(pack) is None


def test_an_analysis_never_loses_rows_of_the_table(complete: Path, tmp_path: Path) -> None:
    shutil.copytree(complete, tmp_path / "out")
    out = tmp_path / "out"
    folder, whole = RunFolder(Output(out)), table(out)
    assert folder.renew_table(study()) == ""
    assert_same_table(table(out), whole)
    (out / "trials.parquet").unlink()
    assert folder.renew_table(study()) == ""
    assert_same_table(table(out), whole)
    first = out / "parts" / parts(out)[0]
    first.write_bytes(first.read_bytes()[:300])
    said = folder.renew_table(study())
    assert f"parts/{first.name} damaged" in said
    assert f"of the {len(whole)} rows of the trial table have no part file any more" in said
    assert_same_table(table(out), whole)
    shutil.rmtree(out / "parts")
    assert f"{len(whole)} of the {len(whole)} rows" in folder.renew_table(study())
    assert_same_table(table(out), whole)
    (out / "trials.parquet").write_bytes(b"junk")
    assert folder.renew_table(study()) == ""
