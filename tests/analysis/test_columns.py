"""Tables whose columns are stored in other ways say the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulate_trials import simulate_forcing, simulate_search

from raysweep_analysis import forcing_effects, moderators
from raysweep_analysis.load import cell_labels
from raysweep_analysis.report import Findings, find

TEXTS = ("key", "study", "cell", "arm", "stage", "status", "chosen_by", "data", "kind", "objective")


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    shape = {"U": [0, 4, 8], "kind": ["a", "b", "c"]}
    confirm = simulate_forcing(
        effects=[0.03, 0.0, -0.03],
        draws=3,
        seeds=4,
        rng=rng,
        characteristics=shape,
        criteria=["alignment", "performance"],
    )
    search = simulate_search(
        curves=[np.zeros(3)] * 3,
        strengths=np.array([0.01, 0.1, 10.0]),
        draws=3,
        seeds=2,
        rng=rng,
        characteristics=shape,
    )
    return pd.concat([confirm, search], ignore_index=True)


@pytest.fixture(scope="module")
def said(trials: pd.DataFrame) -> Findings:
    return find(trials)


def texts_as(kind: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda t: t.assign(**{name: t[name].astype(kind) for name in TEXTS})  # type: ignore[call-overload]


STORED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "categories": texts_as("category"),
    "categories of numbers, too": lambda t: texts_as("category")(t).assign(
        **{name: t[name].astype("category") for name in ("U", "draw", "seed")}
    ),
    "categories that nothing has": lambda t: t.assign(
        **{name: t[name].astype("category").cat.add_categories(["none such"]) for name in TEXTS}
    ),
    "objects": texts_as(object),
    "Python's strings": texts_as("string[python]"),
    "Arrow's strings": texts_as("string[pyarrow]"),
    "large strings": texts_as(pd.ArrowDtype(pa.large_string())),
    "dictionaries": texts_as(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    "all Arrow's": lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
    "bytes": lambda t: t.assign(
        **{n: [v if pd.isna(v) else v.encode() for v in t[n]] for n in TEXTS}
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("stored", STORED)
def test_a_table_says_the_same_however_it_is_stored(
    trials: pd.DataFrame, said: Findings, stored: str
) -> None:
    changed = STORED[stored](trials)
    before = changed.copy()
    found = find(changed)
    assert found.answer == said.answer
    assert found.tables.keys() == said.tables.keys()
    for name, table in said.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table, check_dtype=False)
    pd.testing.assert_frame_equal(forcing_effects(changed), said.effects, check_dtype=False)
    pd.testing.assert_frame_equal(moderators(changed), said.moderators, check_dtype=False)
    pd.testing.assert_frame_equal(changed, before)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), "dictionary"])
def test_a_file_says_the_same_however_it_is_stored(
    trials: pd.DataFrame, said: Findings, kind: object, tmp_path: Path
) -> None:
    table = pa.Table.from_pandas(trials, preserve_index=False)
    for at, name in enumerate(table.column_names):
        if name in TEXTS:
            texts = table[name].cast(pa.string())
            stored = texts.dictionary_encode() if kind == "dictionary" else texts.cast(kind)
            table = table.set_column(at, name, stored)
    pq.write_table(table, tmp_path / "table.parquet")
    assert find(tmp_path / "table.parquet").answer == said.answer


def test_cells_of_own_data_go_by_their_file() -> None:
    cells = pd.DataFrame(
        {
            "study": "s",
            "cell": ["c1", "c2", "c3", "c4"],
            "data": ["arrays", "arrays", "arrays", "synthetic"],
            "file": ["a/wine.npz", "a/wine.npz", "b/wine.npz", None],
            "width_1": [8, 16, 8, 8],
            "width_2": [8, 16, 8, 8],
        }
    )
    wine = ["a/wine.npz width=8", "a/wine.npz width=16", "b/wine.npz width=8"]
    assert cell_labels(cells).tolist() == [*wine, "synthetic"]
    assert cell_labels(cells.iloc[:1]).tolist() == ["a/wine.npz"]
