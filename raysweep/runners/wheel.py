"""A wheel of this package, unpacked to be sent to a cluster.

Ray would install a wheel with pip on every node, and with it all that it depends on, in versions
that nobody chose. A job needs its code alone: the nodes have the rest.
"""

import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from raysweep.errors import InputError

PACKAGES = ("raysweep", "raysweep_analysis")


@dataclass(frozen=True)
class Wheel:
    """What was unpacked.

    Attributes:
        version: of the package, from the wheel's metadata.
        packages: folders of its packages.
    """

    version: str
    packages: tuple[Path, ...]


def unpack(path: Path, folder: Path) -> Wheel:
    """Unpack the packages of a wheel of raysweep.

    Args:
        path: the wheel.
        folder: where its packages are put, each in a folder of its name.

    Raises:
        InputError: the file is no wheel of raysweep; nothing is unpacked then.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            version = _version(archive, names)
            lost = [package for package in PACKAGES if f"{package}/__init__.py" not in names]
            if version is None or lost:
                raise InputError(f"{path}: not a wheel of raysweep{_without(lost)}; {_HOW}")
            members = [name for name in names if PurePosixPath(name).parts[:1] in _WANTED]
            odd = [name for name in members if ".." in PurePosixPath(name).parts or "\\" in name]
            if odd:
                raise InputError(f"{path}: has a name that leads out of its folder: {odd[0]!r}")
            archive.extractall(folder, members)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: not a wheel ({error}); {_HOW}") from error
    return Wheel(version, tuple(folder / package for package in PACKAGES))


_HOW = "make one with: pip wheel --no-deps -w dist ."
_WANTED = {(package,) for package in PACKAGES}


def _version(archive: zipfile.ZipFile, names: list[str]) -> str | None:
    for name in names:
        folder, _, file = name.partition("/")
        if file == "METADATA" and folder.endswith(".dist-info") and folder.startswith("raysweep-"):
            text = archive.read(name).decode(errors="replace")
            return HeaderParser().parsestr(text).get("Version")
    return None


def _without(packages: list[str]) -> str:
    return f" (it has no package {' and no package '.join(packages)})" if packages else ""
