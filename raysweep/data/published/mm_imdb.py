"""MM-IMDb (Arevalo et al., 2017) as a table: the plot, the poster and the genres of every film.

A folder with ``split.json``, {train, dev, test} of ids, and ``dataset/``, with ``ID.json`` of
{plot, genres} and ``ID.jpeg`` of each. The plot is the first of several. Genres are columns of 0
and 1 that go by their names. The code of arXiv 2502.16282 names them by their place in a list of
its own, while scikit-learn's MultiLabelBinarizer, which makes its columns, has them by the
alphabet: no place of the two agrees, and a result that is said to be of one genre is of another.
"""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raysweep.errors import InputError
from raysweep.study.spec.fields import listed
from raysweep.text import counted

GENRES = (
    *("Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama"),
    *("Family", "Fantasy", "Film-Noir", "History", "Horror", "Music", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Short", "Sport", "Thriller", "War", "Western"),
)
"""Those that the data set's own task has, by the alphabet."""
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_MOST_FAULTS = 5


@dataclass(frozen=True)
class MmImdb:
    """What came of a folder.

    Attributes:
        table: a row a film, with id, plot, image (the poster's file), split and a column of 0 and 1
            for each of `GENRES`.
        told: what people should know, a line each.
    """

    table: pd.DataFrame
    told: tuple[str, ...]


def mm_imdb(folder: Path) -> MmImdb:
    """Make a table of a folder's films, in the order of its split.

    Raises:
        InputError: the folder is not of this form; the first faults of its films.
    """
    ids = _split(folder / "split.json")
    faults, rows, others = list[str](), list[dict[str, Any]](), Counter[str]()
    for part, names in ids.items():
        for name in names:
            try:
                rows.append(_film(folder / "dataset", name, _SPLITS[part], others))
            except InputError as error:
                faults.append(str(error))
    if faults:
        more = len(faults) - _MOST_FAULTS
        shown = [*faults[:_MOST_FAULTS], *([f"and {more} more films"] if more > 0 else [])]
        raise InputError("; ".join(shown))
    table = pd.DataFrame(rows)
    told = [f"{part}: {counted(len(ids[part]), 'film')}" for part in _SPLITS]
    told.append(f"films of each genre: {', '.join(f'{g} {table[g].sum()}' for g in GENRES)}")
    if others:
        told.append(f"genres left out: {listed(sorted(others))}")
    without = int((table[list(GENRES)].sum(axis=1) == 0).sum())
    if without:
        told.append(f"{counted(without, 'film')} of none of the {len(GENRES)} genres kept")
    return MmImdb(table, tuple(told))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as JSON ({words})") from error


def _split(path: Path) -> dict[str, list[str]]:
    """The ids of each part, no id in two of them."""
    found = _json(path)
    if not isinstance(found, Mapping) or not all(isinstance(found.get(p), list) for p in _SPLITS):
        raise InputError(f"{path}: expected lists of ids called {', '.join(_SPLITS)}")
    ids = {part: [str(name) for name in found[part]] for part in _SPLITS}
    twice = [name for name, times in Counter(itertools.chain(*ids.values())).items() if times > 1]
    if twice:
        raise InputError(f"{path}: {listed(twice, 5)} more than once, expected every id once")
    lacking = [part for part, names in ids.items() if not names]
    if lacking:
        raise InputError(f"{path}: {listed(lacking)} without ids")
    bad = [name for names in ids.values() for name in names if Path(name).name != name or not name]
    if bad:
        raise InputError(f"{path}: {listed(bad, 5)}, expected ids that name files of dataset/")
    return ids


def _film(folder: Path, name: str, split: str, others: Counter[str]) -> dict[str, Any]:
    path, poster = folder / f"{name}.json", folder / f"{name}.jpeg"
    film = _json(path)
    plot = film.get("plot") if isinstance(film, Mapping) else None
    first = plot[0] if isinstance(plot, list) and plot else plot
    genres = film.get("genres") if isinstance(film, Mapping) else None
    if not isinstance(first, str) or not isinstance(genres, list):
        raise InputError(f"{path}: expected a plot, or a list of plots, and a list of genres")
    if not poster.is_file():
        raise InputError(f"{poster}: there is no such file")
    others.update(str(genre) for genre in genres if genre not in GENRES)
    facts = {"id": name, "plot": first, "image": str(poster.resolve()), "split": split}
    return facts | {genre: int(genre in genres) for genre in GENRES}
