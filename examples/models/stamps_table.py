"""A table of the stamps of Tux Paint, a picture and a description a row, for `raysweep features`.

    apt-get download tuxpaint-stamps-default
    dpkg-deb -x tuxpaint-stamps-default_*.deb package
    python stamps_table.py package stamps

writes `stamps/stamps.csv` and the pictures that it names: those that are PNG, of several with one
description the first. The package is GPL-2.
"""

import csv
import shutil
import sys
from pathlib import Path


def write_table(package: Path, folder: Path) -> int:
    """Write the table and its pictures, and return how many rows it has.

    Args:
        package: the package, unpacked.
        folder: where to write; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = package / "usr" / "share" / "tuxpaint" / "stamps"
    rows: dict[str, list[str]] = {}
    for picture in sorted(root.rglob("*.png")):
        described = picture.with_suffix(".txt")
        if not described.is_file():
            continue
        text = described.read_text(encoding="utf-8").splitlines()[0].strip()
        if text and text not in rows:
            place = picture.relative_to(root)
            name = "-".join(place.parts)
            shutil.copyfile(picture, folder / name)
            rows[text] = [text, name, place.parts[0]]
    with (folder / "stamps.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["name", "picture", "category"])
        table.writerows(rows.values())
    return len(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{write_table(Path(sys.argv[1]), Path(sys.argv[2]))} rows\n")
