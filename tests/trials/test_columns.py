"""The columns of the trial table are those documented, in name and type."""

import itertools
from pathlib import Path

import pytest
from tiny_two_cells import StudyFactory
from write_golden import SCHEMA, schema_text

from raysweep.data.registry import DATASETS, load
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.trials.column_entries import COLUMNS, columns_markdown
from raysweep.trials.columns import SPLITS, Role, column_of, named
from raysweep.trials.packing import Pack


def test_every_column_name_is_described_once() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    of_name = {entry.name: entry for entry in COLUMNS}
    for name, entry in of_name.items():
        if "<" not in name:
            found = column_of(name)
            assert (found.kind, found.unit, found.role) == (entry.kind, entry.unit, entry.role)
    for family in ("performance", "loss"):
        entry = of_name[f"{family}_<1|2|3|4|fused>_<split>"]
        for head, split in itertools.product((1, 2, 3, 4, "fused"), SPLITS):
            assert column_of(named(family, head, split)).meaning == entry.meaning
    assert column_of("alignment_layers_cka_validation").kind == "string"


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
    assert all(column_of(name).meaning for name in filled)
    for parameter in DATASETS[cell.dataset].parameters:
        if parameter.name in filled:
            assert column_of(parameter.name).role.describes_cells
    assert set(load(cell.dataset, dict(cell.parameters)).characteristics) <= set(filled)
    python = {"string": str, "int64": int, "float64": float}
    for name, value in filled.items():
        kind = python.get(column_of(name).kind)
        assert value is None or kind is None or isinstance(value, kind), name
        assert column_of(name).role is not Role.CURVE or isinstance(value, list)


def test_the_schema_is_what_it_was() -> None:
    assert schema_text() == SCHEMA.read_text(), (
        "if this was meant, run python tests/support/write_golden.py"
    )


def test_types_are_those_documented(tmp_path: Path) -> None:
    types = dict(line.split(": ") for line in SCHEMA.read_text().splitlines())
    arrow = {"string": "string", "int64": "int64", "float64": "double"}
    for name, found in types.items():
        assert arrow.get(column_of(name).kind, found) == found, name
