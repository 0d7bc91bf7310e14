"""The columns of the trial table are those documented, in name and type."""

from pathlib import Path

import pytest
from tiny_two_cells import StudyFactory
from write_golden import SCHEMA, schema_text

from raysweep.data.registry import DATASETS, load
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.trials.columns import COLUMNS, columns_markdown
from raysweep.trials.packing import Pack
from raysweep.trials.table import (
    CURVE,
)


def test_every_column_name_is_described_once() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    names = [column.name for column in COLUMNS if column.pattern is None] + [
        f"{what}_{head}_{split}"
        for what in ("performance", "loss")
        for head in ("1", "2", "fused")
        for split in ("validation", "test", "population")
    ]
    names += ["alignment_mutual_knn_test", "alignment_layers_mutual_knn_test"]
    for name in names:
        assert len([column for column in COLUMNS if column.describes(name)]) == 1, name
    layers = next(c for c in COLUMNS if c.describes("alignment_layers_cka_validation"))
    assert layers.kind == "string"


def test_the_columns_make_a_markdown_table() -> None:
    lines = columns_markdown().splitlines()
    assert len(lines) == len(COLUMNS) + 2
    assert all(line.replace("\\|", "").count("|") == 5 for line in lines)


def test_the_guide_lists_exactly_the_documented_columns() -> None:
    guide = (Path(__file__).parents[2] / "search_spaces" / "README.md").read_text()
    _, _, rest = guide.partition("<!-- columns -->\n")
    listed, marker, _ = rest.partition("\n<!-- /columns -->")
    assert marker
    assert listed.strip() == columns_markdown(), "run `make guide`"


@pytest.mark.parametrize(
    "data",
    [
        "{dataset: synthetic, U: 3, train: 64, validation: 32, test: 32}",
        "{dataset: channels, pid_R: 0.3, train: 64, validation: 32, test: 32}",
        "{dataset: digits, overlap: 1, train: 64, validation: 32, test: 32}",
    ],
)
def test_every_column_that_a_run_fills_is_documented(study_of: StudyFactory, data: str) -> None:
    study = study_of(f"data={data}", "evaluation.layers=best", "training.epochs=1")
    sweep = Sweep(study)
    pack = sweep.next_pack()
    assert pack is not None
    [filled] = run_pack(study, Pack(pack.trials[:1]))
    [cell] = sweep.cells
    parameters = {parameter.name for parameter in DATASETS[cell.dataset].parameters}
    described = [name for name in filled if any(c.describes(name) for c in COLUMNS)]
    columns = {name for name in filled if not name.startswith(CURVE)}
    assert columns - set(described) <= parameters
    assert set(load(cell.dataset, dict(cell.parameters)).characteristics) <= set(filled)
    python = {"string": str, "int64": int, "float64": float}
    for name in described:
        kind = next(c.kind for c in COLUMNS if c.describes(name))
        assert filled[name] is None or isinstance(filled[name], python[kind]), name


def test_the_schema_is_what_it_was() -> None:
    assert schema_text() == SCHEMA.read_text(), (
        "if this was meant, run python tests/support/write_golden.py"
    )


def test_types_are_those_documented(tmp_path: Path) -> None:
    types = dict(line.split(": ") for line in SCHEMA.read_text().splitlines())
    arrow = {"string": "string", "int64": "int64", "float64": "double"}
    for name, found in types.items():
        known = next((c for c in COLUMNS if c.describes(name)), None)
        assert known is None or arrow.get(known.kind, found) == found, name
