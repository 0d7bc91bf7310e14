"""A table of emoji, a picture and a name a row, for `raysweep features`.

    npm pack emoji-datasource-google@16.0.0
    python emoji_table.py emoji-datasource-google-16.0.0.tgz emoji

writes `emoji/emoji.csv` (1,024 rows at random, by seed 0) and the pictures that it names. Pictures:
Noto Emoji, Apache-2.0; the package, MIT. Skin tones are left out: they are near copies of one
picture with one name.
"""

import csv
import json
import sys
import tarfile
from pathlib import Path

import numpy as np

ROWS = 1024


def write_table(package: Path, folder: Path) -> None:
    """Write the table and its pictures.

    Args:
        package: the package, as npm packs it.
        folder: where to write; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package) as archive:
        listed = archive.extractfile("package/emoji.json")
        assert listed is not None
        known = [e for e in json.load(listed) if e["has_img_google"]]
        known = [e for e in known if e["category"] != "Component"]
        known.sort(key=lambda e: e["sort_order"])
        order = np.sort(np.random.default_rng(0).choice(len(known), ROWS, replace=False))
        chosen = [known[i] for i in order]
        wanted = {f"package/img/google/64/{entry['image']}" for entry in chosen}
        # In the order of the archive: going back in it would unpack it anew.
        for member in archive:
            if member.name in wanted:
                picture = archive.extractfile(member)
                assert picture is not None
                (folder / Path(member.name).name).write_bytes(picture.read())
    with (folder / "emoji.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "picture", "category"])
        table.writerows([e["name"].lower(), e["image"], e["category"]] for e in chosen)


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), Path(sys.argv[2]))
