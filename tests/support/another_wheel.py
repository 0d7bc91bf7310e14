"""A wheel of the package with another version, so that a test knows which of both runs."""

import zipfile
from pathlib import Path

from raysweep import __version__

ANOTHER = f"{__version__}+another"
_LEFT_OUT = (".pyc", ".parquet")


def wheel_of_another_version(folder: Path) -> Path:
    """The package as it is here, but for tables, as a wheel in a folder."""
    root, path = Path(__file__).parents[2], folder / "raysweep-9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        sources = [(root, file) for file in root.glob("raysweep/**/*")]
        sources += [(root / "analysis", file) for file in root.glob("analysis/**/*")]
        for base, source in sorted(sources):
            if source.is_dir() or source.suffix in _LEFT_OUT:
                continue
            name, content = source.relative_to(base).as_posix(), source.read_bytes()
            if name == "raysweep/__init__.py":
                own, other = f'"{__version__}"'.encode(), f'"{ANOTHER}"'.encode()
                assert content.count(own) == 1
                content = content.replace(own, other)
            archive.writestr(name, content)
        archive.writestr("raysweep-9.dist-info/METADATA", f"Name: raysweep\nVersion: {ANOTHER}\n")
    return path
