from pathlib import Path

import pytest

from raysweep.errors import InputError
from raysweep.study import checks
from raysweep.study.bundled import bundled_studies, find_study, studies_folder
from raysweep.study.reader import load_study


def test_every_bundled_study_is_found_by_name_and_valid() -> None:
    studies = bundled_studies()
    assert "quickstart" in studies
    for name, description in studies.items():
        path = find_study(name)
        assert path.is_relative_to(studies_folder())
        study = load_study(path, (), checks.check, checks.resolve_files)
        assert description == study.description != ""
        assert len(description) <= 100


def test_a_file_goes_before_a_bundled_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_study("quickstart").is_relative_to(studies_folder())
    (tmp_path / "quickstart").write_text("name: mine")
    assert find_study("quickstart") == Path("quickstart")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: is not a file; give a study file"):
        find_study("folder")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "no such", "../search_spaces/quickstart", "/", "a\0b", "quickstart/"]
)
def test_another_name_lists_the_bundled_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"the bundled ones are .*quickstart"):
        find_study(name)


def test_a_name_out_of_the_folder_is_no_bundled_study(tmp_path: Path) -> None:
    absolute = studies_folder() / "quickstart"
    with pytest.raises(InputError):
        find_study(str(absolute))


def test_a_slip_in_a_name_is_recognized() -> None:
    with pytest.raises(InputError, match=r"did you mean quickstart\?"):
        find_study("quikstart")
