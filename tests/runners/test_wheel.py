"""A wheel built from the repository works without the repository, and can be sent to a cluster."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raysweep import __version__
from raysweep.errors import InputError
from raysweep.runners.wheel import unpack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "-q", "-w", str(built), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def call(unpacked: Path, folder: Path, *arguments: str) -> str:
    """Run python with the unpacked wheel ahead of everything, away from the repository."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_packages_come_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import raysweep, raysweep_analysis; print(raysweep.__file__, raysweep_analysis.__file__)"
    )
    for path in call(unpacked, tmp_path, "-c", code).split():
        assert Path(path).is_relative_to(unpacked)


@pytest.mark.slow
def test_bundled_studies_are_found_by_name(unpacked: Path, tmp_path: Path) -> None:
    assert "quickstart" in call(unpacked, tmp_path, "-m", "raysweep", "studies")
    assert "a valid study" in call(unpacked, tmp_path, "-m", "raysweep", "validate", "quickstart")


def test_the_command_is_installed(unpacked: Path) -> None:
    entry = next(unpacked.glob("*.dist-info")) / "entry_points.txt"
    assert "raysweep = raysweep.cli:main" in entry.read_text()


def test_what_is_sent_of_a_wheel_is_its_packages(wheel: Path, tmp_path: Path) -> None:
    found = unpack(wheel, tmp_path)
    assert found.version == __version__
    assert {path.name for path in tmp_path.iterdir()} == {"raysweep", "raysweep_analysis"}
    assert [path.name for path in found.packages] == ["raysweep", "raysweep_analysis"]
    for source in (ROOT / "raysweep").rglob("*.py"):
        assert (tmp_path / source.relative_to(ROOT)).read_bytes() == source.read_bytes()
    assert (tmp_path / "raysweep" / "search_spaces" / "quickstart.yaml").is_file()


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


FILES = {
    "raysweep-1.0.dist-info/METADATA": "Name: raysweep\nVersion: 1.0\n",
    "raysweep/__init__.py": "",
    "raysweep_analysis/__init__.py": "",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"raysweep/../../outside.py": "x"}, "leads out of its folder"),
        ({"raysweep/a\\..\\b.py": "x"}, "leads out of its folder"),
        (
            {"raysweep_analysis/__init__.py": None},
            "not a wheel of raysweep .*no package raysweep_analysis",
        ),
        ({"raysweep-1.0.dist-info/METADATA": None}, "not a wheel of raysweep; make one with"),
    ],
)
def test_what_is_no_wheel_of_raysweep_is_refused(
    tmp_path: Path, change: dict[str, str | None], expected: str
) -> None:
    files = {name: text for name, text in {**FILES, **change}.items() if text is not None}
    target = tmp_path / "target"
    with pytest.raises(InputError, match=expected):
        unpack(zipped(tmp_path / "odd.whl", files), target)
    assert not target.exists()
    assert not (tmp_path / "outside.py").exists()


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_wheel_is_told_in_one_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "raysweep-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"raysweep-1\.0.*not a wheel.*pip wheel --no-deps"):
        unpack(path, tmp_path / "target")
