"""Where the module of a dotted path lies: found without importing it, and as Python finds it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.plugins import import_path, user_code

RAISES = "raise AssertionError('imported')"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules that must not be imported, and a path and modules that are as before afterwards."""
    files = ("lone_module.py", "whole/__init__.py", "whole/inner.py", "without/inner.py", "json.py")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(RAISES)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("path", "file", "top"),
    [
        ("lone_module:f", "lone_module.py", "lone_module.py"),
        ("whole:f", "whole/__init__.py", "whole"),
        ("whole.inner:f", "whole/inner.py", "whole"),
        ("without.inner:f", "without/inner.py", "without"),
    ],
)
def test_a_module_of_the_users_is_found_without_importing_it(
    folder: Path, path: str, file: str, top: str
) -> None:
    assert user_code.find(path) is None
    found = user_code.find(path, [folder])
    assert found is not None
    assert (found.file, found.top) == (folder / file, folder / top)
    assert found.exists
    assert not found.installed
    assert found.folder == folder
    # And it is what Python imports then.
    (folder / file).write_text("def f(): return __file__")
    if "." in path and top == "whole":
        (folder / "whole/__init__.py").write_text("")
    user_code.make_importable([str(found.folder)])
    assert user_code.imported(path, path)() == str(folder / file)
    assert user_code.source_of(path) == folder / file


def test_what_is_installed_goes_first(folder: Path) -> None:
    found = user_code.find("json:f", [folder])
    assert found is not None
    assert found.file == Path(json.__file__)
    assert found.installed
    assert found.folder is None
    assert user_code.namesake("json:f", [folder]) == folder / "json.py"
    assert user_code.namesake("lone_module:f", [folder]) is None


@pytest.mark.parametrize(
    ("path", "exists"), [("math:dist", True), ("builtins:print", True), ("json.nope:f", False)]
)
def test_modules_of_python_need_no_folder(path: str, exists: bool) -> None:
    found = user_code.find(path)
    assert found is not None
    assert found.exists == exists
    assert found.folder is None


def test_nothing_is_found_where_nothing_is(folder: Path) -> None:
    assert user_code.find("nowhere_at_all:f", [folder]) is None
    found = user_code.find("whole.nope:f", [folder])
    assert found is not None
    assert not found.exists


def test_the_study_s_folder_goes_before_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "lone_module.py").write_text(RAISES)
    (here / "only_here.py").write_text(RAISES)
    monkeypatch.chdir(here)
    monkeypatch.setattr(import_path, "put_aside", [])  # what this process was started with
    places = user_code.search_folders(folder, ["relative", "/no/such/folder", str(here)])
    assert places == [folder, here]
    found = [user_code.find(path, places) for path in ("lone_module:f", "only_here:f")]
    assert [one and one.folder for one in found] == [folder, here]


def test_what_own_code_raised_is_said_with_its_last_line(folder: Path) -> None:
    (folder / "lone_module.py").write_text("import json\n\ndef f(x):\n    return json.loads(x)\n")
    user_code.make_importable([str(folder)])
    function = importlib.import_module("lone_module").f
    with pytest.raises(ValueError, match="Expecting") as caught:
        function("{")
    told = user_code.said(caught.value, "lone_module:f")
    assert told.startswith("JSONDecodeError: Expecting property name")
    assert told.endswith("; lone_module.py, line 4: return json.loads(x)")
