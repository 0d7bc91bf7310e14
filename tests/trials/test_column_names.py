"""Names of columns are made and taken apart in one module, and each says what it was made of."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_runs import drawn_row, opened, study
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from simulate_trials import simulate_forcing

import raysweep
import raysweep_analysis
from raysweep.data.chosen import PLACES
from raysweep.data.registry import DATASETS
from raysweep.metrics import REGISTRY
from raysweep.tracking import sync
from raysweep.trials import column_entries, columns
from raysweep.trials.columns import MEASURED_SPLITS, SPLITS, Role, beside, column_of, named
from raysweep.trials.outcomes import scale_of
from raysweep.trials.table import results_of, write_part
from raysweep_analysis.load import alignment_column, descriptors

ROOTS = [Path(module.__file__ or "").parent for module in (raysweep, raysweep_analysis)]
OWNERS = {Path(module.__file__) for module in (columns, column_entries)}
HEADS = ("1", "2", "3", "4", "fused")
OF_METRIC = ("alignment", "alignment_layers", "chance", "chance_p", "corrected")
# Family -> the field that each part of its names fills, and what may stand there.
FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    **{family: {"metric": tuple(REGISTRY), "split": MEASURED_SPLITS} for family in OF_METRIC},
    "pair": {
        "modality": ("1-2", "3-4"),
        "metric": tuple(REGISTRY),
        "split": MEASURED_SPLITS,
    },
    **{
        family: {"modality": HEADS, "split": SPLITS} for family in ("performance", "loss", "regret")
    },
    "undefined": {"split": SPLITS},
    "distinct_rows": {"modality": HEADS[:4], "split": MEASURED_SPLITS},
    "estimated": {"metric": ("I1", "I12", "pid_R", "bayes_fused")},
    **{family: {"option": ("temperature", "x_test")} for family in ("option", "encoder_option")},
    "curve": {"metric": ("epoch", "task_loss", "performance_fused")},
    **{
        family: {"modality": ("1", "2")}
        for family in ("learning_rate", "weight_decay", "epochs", "best_epoch", "depth", "width")
    },
    "bayes": {"modality": HEADS},
}


def test_every_name_says_what_it_was_made_of_and_no_two_are_alike() -> None:
    made = []
    for family, fields in FIELDS.items():
        for values in itertools.product(*fields.values()):
            name = named(family, *values)
            column = column_of(name)
            assert column.name == name
            assert column.meaning
            said = {"metric": "", "split": "", "modality": "", "option": "", "family": family}
            said |= dict(zip(fields, values, strict=True))
            assert {field: getattr(column, field) for field in said} == said
            made.append(name)
    assert len(set(made)) == len(made) > 400


@given(
    family=st.sampled_from([*OF_METRIC, "option", "encoder_option", "curve"]),
    word=st.text(min_size=1),
    split=st.sampled_from(["", *SPLITS]),
)
def test_a_name_is_taken_apart_as_it_was_made_or_not_made(
    family: str, word: str, split: str
) -> None:
    split = split if family in OF_METRIC else ""
    try:
        column = column_of(named(family, word, *([split] if split else [])))
    except ValueError:
        # Another family, or a split, would be read into it.
        assert word.startswith(("layers_", "p_")) or word.endswith(tuple(f"_{s}" for s in SPLITS))
        return
    assert (column.family, column.metric or column.option, column.split) == (family, word, split)


@given(st.text())
def test_any_name_is_of_one_column(name: str) -> None:
    column = column_of(name)
    assert column.name == name
    assert column.stem == name if not column.split else column.on(column.split) == name


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("alignment", ()),
        ("performance", ("5", "test")),
        ("performance", ("1", "train")),
        ("performance", ("1", "test", "test")),
        ("width", ("3",)),
        ("no_such", ("1",)),
    ],
)
def test_what_no_column_is_called_is_refused(family: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no column of"):
        named(family, *fields)


def test_what_is_about_the_same_is_found_beside() -> None:
    assert beside("alignment_cka_test", "chance_p") == "chance_p_cka_test"
    assert beside("regret_fused_population", "performance") == ("performance_fused_population")
    assert beside("regret_2_test", "bayes") == "bayes_2"
    assert column_of("performance_fused").on("validation") == "performance_fused_validation"
    assert column_of("mine_validation").on("test") == "mine_test"


def test_a_column_that_nothing_describes_is_an_outcome() -> None:
    column = column_of("f1_test")
    assert (column.role, column.unit, column.meaning) == (Role.OUTCOME, "", "")
    assert (column.metric, column.split) == ("f1", "test")
    assert column.is_number
    assert column_of("wall_seconds").role is Role.TIMING


def test_all_characteristics_of_datasets_are_known() -> None:
    for dataset in DATASETS.values():
        for parameter in dataset.parameters:
            if parameter.name not in ("train", "validation", "test", "path", *PLACES):
                assert column_of(parameter.name).role.describes_cells, parameter.name


@pytest.fixture
def mine() -> pd.DataFrame:
    """A table of somebody's own training: free axes, and outcomes of any name."""
    trials = simulate_forcing(
        effects=[0.05, -0.05],
        rng=np.random.default_rng(0),
        characteristics={"genre": ["horror", "war"], "noise_s": [1.0, 2.0]},
    )
    return trials.rename(
        columns={"performance_fused_test": "f1_test", "alignment_cka_test": "closeness"}
    )


def test_tables_of_any_outcome_are_analysed(mine: pd.DataFrame) -> None:
    assert "genre" in descriptors(mine)
    assert {"f1_test", "closeness"}.isdisjoint(descriptors(mine))
    assert alignment_column(mine, "test") is None
    effects = raysweep_analysis.forcing_effects(mine, "f1_test", alignment="closeness")
    assert list(effects["label"]) == ["simulated genre=horror", "simulated genre=war"]
    assert list(effects["verdict"]) == ["helps", "hurts"]
    assert (effects["alignment_gain"] > 0.1).all()


@pytest.mark.mlflow
def test_mlflow_shows_any_outcome_and_no_words(tmp_path: Path, uri: str) -> None:
    small = study(search={"trials": 1, "generation": 1, "seeds": 1}, confirm={"seeds": 2})
    folder = opened(tmp_path / "out", small)
    sweep = folder.open_sweep(small)
    while (pack := sweep.next_pack()) is not None:
        rows = [{**drawn_row(small, t), "f1": 0.25 * t.seed, "note": "x"} for t in pack.trials]
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
    sync(folder, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("drawn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'confirm'")
    assert runs
    for run in runs:
        assert run.data.metrics["f1"] == pytest.approx(0.25 * 1000.5)
        assert run.data.metrics["f1_sd"] > 0
        assert not {"note", "U", "n_train"} & run.data.metrics.keys()


def test_names_of_columns_are_known_in_their_module_alone() -> None:
    found = [
        f"{path}:{line} {text}"
        for root in ROOTS
        for path in root.rglob("*.py")
        if path not in OWNERS
        for line, text in _literals(ast.parse(path.read_text()), path.parent.name == "examples")
    ]
    assert found == []


def _literals(tree: ast.AST, as_users_write: bool) -> Iterator[tuple[int, str]]:
    """Names of columns that vary, parts of them, and what takes them apart."""
    begins = tuple(f"{family}_" for family in FIELDS)
    ends = tuple(f"_{end}" for end in (*SPLITS, "estimated"))
    nodes = list(ast.walk(tree))
    docs = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
    inside = {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            first, last = (getattr(node.values[at], "value", None) for at in (0, -1))
            if str(first).startswith(begins) or str(last).endswith(ends):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docs or id(node) in inside:
                continue
            column = column_of(node.value)
            varies = bool(column.family and column.split) and not as_users_write
            if varies or node.value in (*begins, *ends):
                yield node.lineno, node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parted = node.func.attr in ("split", "rsplit", "partition", "rpartition")
            if parted and node.args and ast.unparse(node.args[0]) == "'_'":
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize(
    ("name", "unit", "less"),
    [
        ("performance_fused_test", "points", False),
        ("performance_test", "points", False),
        ("performance_dev_test", "points", False),
        ("regret_1_test", "points", True),
        ("loss_2_validation", "nats", True),
        ("loss_mine_test", "units of loss_mine_test", True),
        ("loss_test", "units of loss_test", True),
        ("lossless_test", "units of lossless_test", False),
        ("performances_test", "units of performances_test", False),
    ],
)
def test_outcomes_of_ones_own_are_read_by_their_names(name: str, unit: str, less: bool) -> None:
    assert scale_of(name) == (100.0 if unit == "points" else 1.0, unit)
    assert column_of(name).better_is_less is less
