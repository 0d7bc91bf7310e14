"""The code that a trial consists of: what the user's own file imports, and files named besides."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from trial_runs import KNOWN, document, ran

from raysweep.errors import InputError
from raysweep.kinds.trial.study import TrialStudy
from raysweep.plugins import import_path
from raysweep.plugins.own_imports import imported_beside, imported_modules
from raysweep.study import checks
from raysweep.study.files import check_code
from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import StudyFileError, dump_study, parse_study

FILES = {
    "own_train.py": (
        "import numpy, os\n"
        "import own_first\n"
        "from own_package import layers\n"
        "import raysweep\n"
        "def run(trial):\n"
        "    from own_space.late import VALUE\n"
        "    return {'f1_validation': VALUE, 'f1_test': VALUE + trial.seed / 1e9}\n"
    ),
    "own_first.py": "import own_second, no_such_module_anywhere_at_all\n",
    "own_second.py": "import own_first\nfrom own_train import run\n",
    "own_package/__init__.py": "from .blocks import *\n",
    "own_package/blocks.py": "from .. import beyond\n",
    "own_package/layers.py": "from . import blocks as b, deep\nimport own_package.deep.inner\n",
    "own_package/deep/__init__.py": "",
    "own_package/deep/inner.py": "def broken(:\n",
    "own_package/unused.py": "",
    "own_space/late.py": "VALUE = 0.5\n",
    "random.py": "raise ImportError('this is not the one')\n",
    "unused.py": "",
}
MODULES = {
    "own_first",
    "own_second",
    "own_package",
    "own_package.blocks",
    "own_package.layers",
    "own_package.deep",
    "own_package.deep.inner",
    "own_space.late",
}


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    import_path.for_studies[:] = [p for p in import_path.for_studies if p != str(tmp_path)]
    for name in [name for name in sys.modules if name.startswith("own_") and _of(name, tmp_path)]:
        del sys.modules[name]


def _of(module: str, folder: Path) -> bool:
    return str(getattr(sys.modules[module], "__file__", "") or "").startswith(str(folder))


def study(folder: Path, trial: Any, **changes: Any) -> TrialStudy:
    few = {"search": {"trials": 1, "seeds": 1, "generation": 1}, "confirm": {"seeds": 2}}
    text = yaml.safe_dump(document(**{"grid": None, **few, **changes, "trial": trial}))
    found = parse_study(text, "mine", folder, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


def test_all_own_modules_are_found_and_nothing_that_is_installed(files: Path) -> None:
    """By other statements, also in functions and of packages without a file, as Python has them."""
    found = imported_modules("own_train:run", [files])
    assert set(found) == MODULES
    assert {str(path.relative_to(files)) for path in found.values()} == {
        path for path in FILES if path.startswith("own_") and "unused" not in path
    } - {"own_train.py"}
    assert set(imported_beside(files / "own_train.py")) == MODULES | {"own_train"}
    inner = files / "own_package" / "layers.py"
    assert set(imported_beside(inner, "own_package.layers")) == {
        name for name in MODULES if name.startswith("own_package") and not name.endswith("layers")
    }


def test_they_are_those_that_python_imports(files: Path) -> None:
    """An independent list: of what is in sys.modules once a program has run."""
    (files / "own_package/blocks.py").write_text("")
    (files / "own_package/deep/inner.py").write_text("")
    (files / "own_first.py").write_text("import own_second\n")
    import subprocess

    code = (
        f"import sys; sys.path.insert(0, {str(files)!r})\nbefore = set(sys.modules)\n"
        "import own_package.layers, own_first, own_space.late\n"
        "print(*[n for n, m in sys.modules.items() if n not in before"
        f" and (getattr(m, '__file__', None) or '').startswith({str(files)!r})])"
    )
    (files / "raysweep.py").write_text("")  # need not be the real one for that
    (files / "numpy.py").write_text("")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = set(done.stdout.split()) - {"own_train", "raysweep", "numpy"}
    assert set(imported_modules("own_train:run", [files])) == expected


@pytest.fixture
def sound(files: Path) -> Path:
    """As `files`, without what cannot be imported."""
    (files / "own_first.py").write_text("import own_second\n")
    (files / "own_second.py").write_text("")
    (files / "own_package/blocks.py").write_text("")
    (files / "own_package/deep/inner.py").write_text("")
    return files


def test_a_changed_import_is_another_study_and_is_named(sound: Path) -> None:
    before = study(sound, "own_train:run")
    assert set(before.files) == {"own_train:run", *MODULES}
    folder = sound / "out"
    assert not ran(before, folder).failures
    (sound / "unused.py").write_text("x = 1\n")
    assert science_digest(study(sound, "own_train:run")) == science_digest(before)
    longer = study(sound, "own_train:run", confirm={"seeds": 3})
    for changed in (
        "own_train.py",
        "own_second.py",
        "own_package/deep/inner.py",
        "own_space/late.py",
    ):
        check_code(before)
        text = (sound / changed).read_text()
        (sound / changed).write_text(f"{text}\n# another\n")
        assert science_digest(study(sound, "own_train:run")) != science_digest(before)
        with pytest.raises(InputError, match=f"{changed}: has changed since this run was planned"):
            ran(longer, folder)  # as `resume` does: with the digests of before
        (sound / changed).write_text(text)
    assert not ran(longer, folder).failures
    (sound / changed).write_text("VALUE = 0.4\n")
    with pytest.raises(InputError, match=r"(?s)results of another study.*\+  own_space\.late: "):
        ran(study(sound, "own_train:run", confirm={"seeds": 3}), folder)


def test_a_study_that_was_moved_is_the_same(sound: Path, tmp_path_factory: Any) -> None:
    import shutil

    code = {"function": "own_train:run", "code": ["own_package", "unused.py"]}
    before = study(sound, code)
    assert parse_study(dump_study(before), "again", sound) == before
    assert str(sound / "own_package/unused.py") in before.files
    moved = tmp_path_factory.mktemp("moved") / "there"
    shutil.copytree(sound, moved)
    shutil.rmtree(sound / "own_package")
    for name in [name for name in sys.modules if name.startswith("own_") and _of(name, sound)]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if place != str(sound)]
    after = study(moved, code)
    assert str(moved / "unused.py") in after.files
    assert science_digest(after) == science_digest(before)
    (moved / "own_package/unused.py").write_text("x = 1\n")
    assert science_digest(study(moved, code)) != science_digest(before)
    sys.path[:] = [place for place in sys.path if place != str(moved)]


@pytest.mark.parametrize(
    "words",
    [["python", "own_train.py"], ["python", "-m", "own_train"], ["python3", "own_train.py"]],
)
def test_a_command_of_python_is_all_that_it_imports(sound: Path, words: list[str]) -> None:
    code = {"command": words, "code": ["random.py"]}
    before = study(sound, code)
    expected = {"own_train.py", "random.py", *(name for name in FILES if name.startswith("own_"))}
    expected -= {"own_package/unused.py"}
    assert set(before.files) == {str(sound / name) for name in expected}
    for changed in ("own_space/late.py", "random.py"):
        (sound / changed).write_text("VALUE = 0.25\n")
        with pytest.raises(InputError, match=f"{changed}: has changed"):
            check_code(before)
        after = study(sound, code)
        assert science_digest(after) != science_digest(before)
        before = after


def test_a_folder_of_code_leaves_out_what_is_none(tmp_path: Path) -> None:
    from raysweep.kinds.trial.code import folder_files

    made = [".git/x", "__pycache__/a.pyc", "out/.adopted.json", "out/parts/a", "a.jl", "b/c.toml"]
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert folder_files(tmp_path) == [tmp_path / "a.jl", tmp_path / "b" / "c.toml"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("nowhere", r"trial\.code.*there is no file or folder .*nowhere"),
        (["a.jl", "nowhere"], r"trial\.code\.1: there is no file or folder .*nowhere"),
        ([5], r"trial\.code\.0: expected text, found 5"),
        ("many", r"many has more than 1000 files; name those of them that are code"),
    ],
)
def test_faults_of_code(tmp_path: Path, code: object, message: str) -> None:
    (tmp_path / "a.jl").touch()
    (tmp_path / "many").mkdir()
    for number in range(1001):
        (tmp_path / "many" / str(number)).touch()
    with pytest.raises(StudyFileError, match=message):
        study(tmp_path, {"command": ["awk", "x"], "code": code}, **{"search": KNOWN["search"]})
