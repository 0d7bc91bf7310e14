"""What a package says of itself and what it depends on, with its section as the label.

    apt-cache dumpavail | python debian_packages.py debian.npz
    raysweep advise debian.npz

The description is the one in the package lists (a line), the dependencies are a set of names. Both
become 64 directions of their TF-IDF weights (scikit-learn). Sections of at least 300 packages stay.
The text of the descriptions is under the licences of the packages; the file holds none of it.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

LEAST_PACKAGES = 300
DIRECTIONS = 64
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")


def packages(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The fields of each stanza of a package list."""
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            if found:
                yield found
            found = {}
        elif not line[0].isspace() and ":" in line:
            key, value = line.split(":", 1)
            found[key] = value.strip()
    if found:
        yield found


def directions(weights: object) -> np.ndarray:
    return TruncatedSVD(DIRECTIONS, random_state=0).fit_transform(weights)


def main(out: str) -> None:
    # One row a description: the packages of one source often repeat it word for word.
    chosen = {
        p["Description"]: p
        for p in packages(sys.stdin)
        if p.get("Description") and p.get("Depends") and p.get("Section")
    }
    rows = list(chosen.values())
    count = Counter(p["Section"] for p in rows)
    rows = [p for p in rows if count[p["Section"]] >= LEAST_PACKAGES]
    if not rows:
        sys.exit("no package list on standard input; run `apt-get update` first")
    words = TfidfVectorizer(min_df=5, stop_words="english", sublinear_tf=True)
    needs = TfidfVectorizer(min_df=5, analyzer=set_of_names)
    x1 = directions(words.fit_transform([p["Description"] for p in rows]))
    x2 = directions(needs.fit_transform([p["Depends"] for p in rows]))
    y = np.array([p["Section"] for p in rows])
    # Packages of one source, and those that depend on the same, belong together.
    groups = np.array([p.get("Source", p["Package"]).split()[0] for p in rows])
    np.savez(out, x1=x1, x2=x2, y=y, groups=groups)
    print(f"{out}: {len(y)} packages of {len(set(y))} sections, from {len(set(groups))} sources")


def set_of_names(depends: str) -> list[str]:
    """The names of a field Depends, without versions and alternatives."""
    firsts = (part.split("|")[0].strip() for part in depends.split(","))
    return sorted({match[0] for one in firsts if (match := NAME.match(one))})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
