"""Studies of a user's own files in all formats: their cells, and what is wrong with them."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked import load
from own_files import arrays, as_lists, save_dataset, table

from raysweep.data.own_notes import own_notes
from raysweep.errors import InputError
from raysweep.study.cells import expand, varying
from raysweep.study.files import check_files, file_digest
from raysweep.study.reader import StudyFileError

REST = "training: {batch_size: 16}\nevaluation: {metrics: {unbiased_cka: {}}}\n"


def study_file(folder: Path, data: str, kind: str = "") -> Path:
    path = folder / "study.yaml"
    path.write_text(f"name: mine\n{kind}data: {data}\n{REST}")
    return path


def folder_of(at: Path, **changes: Any) -> Path:
    at.mkdir()
    for name, array in arrays(**changes).items():
        np.save(at / f"{name}.npy", array)
    return at


def test_what_is_told_of_files_needs_no_code_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `analyze` has none of it on its path, and may find it changed."""
    folder_of(tmp_path / "mine")
    code = tmp_path / "forgetful.py"
    code.write_text("def apart(h1, h2):\n    return ((h1 - h2) ** 2).mean()\n")
    file = study_file(tmp_path, "{dataset: arrays, path: mine}")
    file.write_text(f"{file.read_text()}alignment: {{loss: 'forgetful:apart'}}\n")
    with monkeypatch.context() as within:
        within.setattr(sys, "path", [*sys.path, str(tmp_path)])
        study = load(file)
    del sys.modules["forgetful"]
    code.write_text("raise SystemExit('imported')")
    [told] = own_notes(study, closely=True)
    assert told.startswith("mine: modality 1 = x1")
    assert "forgetful" not in sys.modules


def test_cells_of_an_npz_file_are_called_as_before(tmp_path: Path) -> None:
    n = 120
    np.savez(
        tmp_path / "mine.npz",
        x1=np.arange(n * 3.0).reshape(n, 3) % 7,
        x2=np.arange(n * 2.0).reshape(n, 2) % 5,
        y=np.arange(n) % 3,
    )
    [cell] = expand(load(study_file(tmp_path, "{dataset: arrays, path: mine.npz}")))
    # The digest of the file, and the id that version 0.1.0 made of it.
    assert cell.contents == ((str(tmp_path / "mine.npz"), "a7edacd418a2e5f967c4"),)
    assert cell.id == "arrays-c51801e1c2"
    assert cell.modalities == 2


@pytest.mark.parametrize("kind", ["npy", "saved"])
def test_a_folder_is_known_by_what_it_holds(tmp_path: Path, kind: str) -> None:
    if kind == "npy":
        folder_of(tmp_path / "mine")
    else:
        save_dataset(tmp_path / "mine", as_lists(arrays()))
    file = study_file(tmp_path, "{dataset: arrays, path: mine}")
    study = load(file)
    [before] = expand(study)
    check_files(study, before)
    assert own_notes(study, closely=True) == [
        "mine: modality 1 = x1 (5 features), modality 2 = x2 (3 features), 120 rows, 3 classes"
    ]
    # A file that is no data, and another place, make no other data.
    (tmp_path / "mine" / "notes.txt").write_text("seen")
    (tmp_path / "mine" / ".DS_Store").write_text("seen")
    if kind == "saved":
        (tmp_path / "mine" / "cache-0123456789abcdef.arrow").write_bytes(b"of a map")
        state = tmp_path / "mine" / "state.json"
        state.write_text(state.read_text().replace("0123456789abcdef", "fedcba9876543210"))
    check_files(study, before)
    (tmp_path / "mine").rename(tmp_path / "moved")
    [same] = expand(load(file, "data.path=moved"))
    assert same.id == before.id
    (tmp_path / "moved").rename(tmp_path / "mine")
    member = min((tmp_path / "mine").glob("x1.npy" if kind == "npy" else "data-*.arrow"))
    content, stamp = bytearray(member.read_bytes()), member.stat().st_mtime_ns
    content[content.index(arrays()["x1"][3].tobytes())] ^= 1
    member.write_bytes(content)
    os.utime(member, ns=(stamp + 1, stamp + 1))
    with pytest.raises(InputError, match=r"mine: has changed since this run was planned"):
        check_files(study, before)
    [other] = expand(load(file))
    assert other.id != before.id


def test_the_name_of_an_array_is_part_of_a_folders_content(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one")
    other = folder_of(tmp_path / "other", x1=arrays()["x2"], x2=arrays()["x1"])
    assert file_digest(one) != file_digest(other)
    assert file_digest(one) == file_digest(folder_of(tmp_path / "again"))


def test_the_same_data_in_two_folders_are_a_fault(tmp_path: Path) -> None:
    folder_of(tmp_path / "one")
    folder_of(tmp_path / "two")
    with pytest.raises(StudyFileError, match="two holds the same data as one; give each once"):
        load(study_file(tmp_path, "{dataset: arrays, path: [one, two]}"))


def test_how_many_modalities_is_said_where_a_study_is_resolved(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "two.npz", **arrays())
    for name in ("three", "other"):
        x3 = rng.normal(size=(120, 2))
        np.savez(tmp_path / f"{name}.npz", **arrays(), x3=x3)
    file = study_file(tmp_path, "{dataset: arrays, path: [three.npz, other.npz, two.npz]}")
    study = load(file)
    assert [cell.modalities for cell in expand(study)] == [3, 3, 2]
    assert [dict(block.axes).get("modalities") for block in study.data] == [(3,), None]
    one, two = (
        expand(load(file, "data.path=three.npz", f"data.modalities={count}"))[0] for count in (2, 3)
    )
    assert one.id != two.id == expand(study)[0].id
    named = "{dataset: arrays, path: three.npz, modality_1: x1, modality_2: x3}"
    assert [c.modalities for c in expand(load(study_file(tmp_path, named)))] == [2]
    axis = (
        "{dataset: arrays, path: three.npz, modality_1: x1, modality_2: x2, modality_3: [null, x3]}"
    )
    assert [c.modalities for c in expand(load(study_file(tmp_path, axis)))] == [2, 3]


def test_what_is_named_may_be_an_axis(tmp_path: Path) -> None:
    frame = table()
    frame["other"] = np.arange(120) % 2
    frame.to_csv(tmp_path / "mine.csv")
    data = (
        "{dataset: arrays, path: mine.csv, modality_1: img_*, modality_2: [txt_*, 'txt_0, txt_1']"
    )
    study = load(study_file(tmp_path, f"{data}, label: [y, other], scale: [standard, robust]}}"))
    cells = expand(study)
    assert len({cell.id for cell in cells}) == 8
    first = next(iter(varying(cells).values()))
    assert first == "mine.csv target=y modality_2=txt_* scale=standard"
    assert (
        "mine.csv: modality 1 = img_* (5 features), modality 2 = txt_0, txt_1 (2 features), "
        "label = other, 120 rows, 2 classes"
    ) in own_notes(study, closely=True)
    with pytest.raises(StudyFileError, match=r"data\.path: .*label: no column is called third"):
        load(study_file(tmp_path, f"{data}, label: [y, third]}}"))


def test_columns_in_a_list_are_told_from_an_axis(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "mine.csv")
    data = "{dataset: arrays, path: mine.csv, modality_2: txt_*, modality_1: [%s]}"
    with pytest.raises(StudyFileError) as caught:
        load(study_file(tmp_path, data % "img_0, img_3"))
    [fault] = caught.value.faults
    assert "data.modality_1: a list is an axis, here of 2 cells with one feature each;" in fault
    assert fault.endswith('go into one text, modality_1: "img_0, img_3"')
    for axis in ('"img_0, img_3"', '"img_0, img_3", img_1', "img_0*, img_3*"):
        load(study_file(tmp_path, data % axis))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (
            "{dataset: arrays, path: mine.csv}",
            "which is which, such as modality_1: img_*; modality_2",
        ),
        (
            "{dataset: arrays, path: mine.csv, modality_5: a}",
            "unknown characteristic of arrays 'mod",
        ),
        ("{dataset: arrays, path: mine.csv, modality_1: 3}", "modality_1: expected text, found 3"),
        (
            "{dataset: arrays, path: mine.csv, scale: max}",
            "scale: expected one of standard, robust",
        ),
        (
            "{dataset: arrays, path: empty}",
            "is not a file; give the path of one, or of a folder of",
        ),
    ],
)
def test_faults_stand_at_their_places(tmp_path: Path, data: str, fault: str) -> None:
    table().to_csv(tmp_path / "mine.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyFileError) as caught:
        load(study_file(tmp_path, data))
    assert any(fault in found for found in caught.value.faults), caught.value.faults


def test_emergence_is_of_two(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays(), x3=arrays()["x1"] ** 2)
    data = "{dataset: arrays, path: mine.npz%s}"
    file = study_file(tmp_path, data % "", "kind: emergence\n")
    with pytest.raises(StudyFileError) as caught:
        load(file)
    [fault] = caught.value.faults
    assert "the data have 3 modalities; give modality_1 and modality_2, or modalities: 2" in fault
    load(study_file(tmp_path, data % ", modalities: 2", "kind: emergence\n"))
