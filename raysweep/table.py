"""The trial table: its columns, its part files, and the one Parquet file they are compacted to.

A pack writes one part file with all its rows; the part files are the only truth. ``trials.parquet``
is made from them and can be made again at any time.
"""

import hashlib
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.errors import InputError
from raysweep.storage import Output
from raysweep.trials import Stage, Status, Trial, TrialResult

TABLE_NAME = "trials.parquet"
PARTS = "parts"
PART_SUFFIX = ".arrow"
_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size


@dataclass(frozen=True)
class Column:
    """A column of the trial table; ``pattern`` is a regular expression where names vary.

    ``kind`` is a type of Arrow; columns of any other kind have the type of their values.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    pattern: str | None = None

    def describes(self, name: str) -> bool:
        """Whether this entry documents the column ``name``."""
        return name == self.name if self.pattern is None else bool(re.fullmatch(self.pattern, name))


_SPLITS = "(validation|test|population)"
COLUMNS: tuple[Column, ...] = (
    Column("key", "string", "", "name of the trial, made from all that its numbers depend on"),
    Column("study", "string", "", "name of the study"),
    Column("cell", "string", "", "data characteristics x model scale; equal content, equal id"),
    Column("draw", "int64", "", "which draw of the dataset"),
    Column("seed", "int64", "", "initial weights and batch order; equal seeds pair the arms"),
    Column("strength", "float64", "", "regularization strength: weight of the alignment loss"),
    Column("arm", "string", "none, forced, placebo", "placebo: the loss sees shuffled pairs"),
    Column(
        "stage",
        "string",
        "search, confirm; tune, measure",
        "of a forcing study (only confirm rows are tested); of an emergence study",
    ),
    Column("status", "string", "ok, diverged", "diverged: a NaN or infinity in training"),
    Column("reason", "string", "", "why a trial is not ok; empty otherwise"),
    Column(
        "chosen_by",
        "string",
        "alignment, performance",
        "confirm: criterion that chose the strength; joined by + where both chose it",
    ),
    Column("generation", "int64", "", "generation of the search; -1 for strength 0 and confirm"),
    Column("number", "int64", "", "number of the proposal in its cell; -1 as above"),
    Column("modality", "int64", "1, 2", "tune: whose encoder is trained; 0: both"),
    Column("objective", "string", "alignment, performance, both", "what the search maximized"),
    Column("data", "string", "", "dataset"),
    Column("R", "int64", "features", "redundant task features: shared by both modalities"),
    Column("U", "int64", "features", "unique task features: seen by one modality only"),
    Column("U1", "int64", "features", "unique task features of modality 1"),
    Column("U2", "int64", "features", "unique task features of modality 2"),
    Column("D_phi", "int64", "layers", "heterogeneity depth"),
    Column("file", "string", "", "the user's own data: name of the file"),
    Column("n_train", "int64", "rows", "training rows"),
    Column("n_validation", "int64", "rows", "validation rows"),
    Column("n_test", "int64", "rows", "test rows"),
    Column("classes", "int64", "", "number of classes"),
    Column("I1", "float64", "nats", "I(X1;Y), exact"),
    Column("I2", "float64", "nats", "I(X2;Y), exact"),
    Column("I12", "float64", "nats", "I(X1,X2;Y), exact"),
    Column("I_shared", "float64", "nats", "information of the shared features about Y, exact"),
    Column("I_X1X2", "float64", "nats", "I(X1;X2), exact"),
    Column("pid_R", "float64", "nats", "redundancy (BROJA)"),
    Column("pid_U1", "float64", "nats", "uniqueness of modality 1 (BROJA)"),
    Column("pid_U2", "float64", "nats", "uniqueness of modality 2 (BROJA)"),
    Column("pid_S", "float64", "nats", "synergy (BROJA)"),
    Column("bayes_1", "float64", "0..1", "accuracy of the Bayes classifier on modality 1"),
    Column("bayes_2", "float64", "0..1", "accuracy of the Bayes classifier on modality 2"),
    Column("bayes_fused", "float64", "0..1", "accuracy of the Bayes classifier on both"),
    Column(
        "<information>_estimated",
        "float64",
        "nats or 0..1",
        "an information column where the distribution is unknown: estimated from the rows, low by "
        "up to a third where modalities are heterogeneous",
        r"(I1|I2|I12|pid_R|pid_U1|pid_U2|pid_S|bayes_1|bayes_2|bayes_fused)_estimated",
    ),
    Column("encoder", "string", "", "architecture of the encoders"),
    Column("depth_1", "int64", "layers", "hidden layers of encoder 1"),
    Column("depth_2", "int64", "layers", "hidden layers of encoder 2"),
    Column("width_1", "int64", "units", "width of encoder 1"),
    Column("width_2", "int64", "units", "width of encoder 2"),
    Column("parameters", "int64", "", "trained numbers: both encoders and their heads"),
    Column("loss", "string", "", "alignment loss"),
    Column(
        "option_<name>",
        "as the option",
        "",
        "option of the loss that the search proposed; empty at strength 0",
        r"option_\w+",
    ),
    Column("learning_rate", "float64", "", "step size of AdamW"),
    Column("weight_decay", "float64", "", "of AdamW, decoupled"),
    Column(
        "<learning_rate|weight_decay>_<1|2>",
        "float64",
        "",
        "emergence: those of one modality's encoders",
        r"(learning_rate|weight_decay)_(1|2)",
    ),
    Column("batch_size", "int64", "rows", "rows per step"),
    Column("epochs", "int64", "", "passes over the training rows"),
    Column("best_epoch", "int64", "", "epoch of the checkpoint that was measured, from 1"),
    Column(
        "<epochs|best_epoch>_<1|2>",
        "int64",
        "",
        "emergence: passes and checkpoint of one modality's encoder",
        r"(epochs|best_epoch)_(1|2)",
    ),
    Column("diverged_step", "int64", "steps", "step of the first NaN or infinity; -1 if none"),
    Column(
        "gradient_ratio", "float64", "", "gradient norm at what is aligned, alignment over task"
    ),
    Column("train_seconds", "float64", "s", "training time of the pack divided by its members"),
    Column(
        "alignment_<metric>_<split>",
        "float64",
        "see metric",
        "alignment of the two encoders",
        rf"alignment_(?!layers_)\w+_{_SPLITS}",
    ),
    Column(
        "alignment_layers_<metric>_<split>",
        "string",
        "",
        "the pair of layers (1-based, modality 1-modality 2) that was measured",
        rf"alignment_layers_\w+_{_SPLITS}",
    ),
    Column(
        "chance_<metric>_<split>",
        "float64",
        "see metric",
        "mean alignment of shuffled pairs, the best over layers taken in each shuffle too",
        rf"chance_(?!p_)\w+_{_SPLITS}",
    ),
    Column(
        "corrected_<metric>_<split>",
        "float64",
        "0: chance, 1: ideal",
        "alignment above chance, as a share of what is above chance",
        rf"corrected_\w+_{_SPLITS}",
    ),
    Column(
        "chance_p_<metric>_<split>",
        "float64",
        "0..1",
        "p-value of the permutation test against shuffled pairs",
        rf"chance_p_\w+_{_SPLITS}",
    ),
    Column(
        "distinct_rows_<1|2>_<split>",
        "int64",
        "rows",
        "different representations among the rows measured, beside metrics of neighbours: with "
        "few of them neighbours are mostly ties",
        rf"distinct_rows_(1|2)_{_SPLITS}",
    ),
    Column(
        "performance_<1|2|fused>_<split>",
        "float64",
        "0..1",
        "accuracy of modality 1, modality 2 or both together; population: exact expectation",
        rf"performance_(1|2|fused)_{_SPLITS}",
    ),
    Column(
        "loss_<1|2|fused>_<split>",
        "float64",
        "nats",
        "cross-entropy",
        rf"loss_(1|2|fused)_{_SPLITS}",
    ),
)
REQUIRED = (
    "key",
    "study",
    "cell",
    "draw",
    "seed",
    "strength",
    "arm",
    "stage",
    "status",
)
# What a table says of time differs from run to run; everything else is reproducible.
TIMING_COLUMNS = ("train_seconds",)

_NUMBERS = {pa.int64(), pa.float64()}

# Learning curves lie in the part files beside the columns of the table, as lists: one entry per
# epoch that was kept, in single precision, null where nothing was seen.
CURVE = "curve_"
CURVE_EPOCHS = f"{CURVE}epoch"

Row = Mapping[str, int | float | str | Sequence[float | None] | None]


def columns_markdown() -> str:
    """The documented columns as a Markdown table; characteristics of datasets are not listed."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    lines = ["| column | type | unit or values | meaning |", "| --- | --- | --- | --- |"]
    for column in COLUMNS:
        name = cell(column.name)
        lines.append(f"| `{name}` | {column.kind} | {cell(column.unit)} | {cell(column.meaning)} |")
    return "\n".join(lines)


def write_part(output: Output, name: str, rows: Sequence[Row]) -> None:
    """Write the rows of one pack as one file, whole or not at all.

    A part file is an Arrow IPC stream and the SHA-256 of it, so that damage is always noticed.

    Raises:
        OSError: the output cannot be written.
    """
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    table = pa.table({name: _array(name, [row.get(name) for row in rows]) for name in columns})
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    content = buffer.getvalue()
    output.write(f"{PARTS}/{name}{PART_SUFFIX}", content + _DIGEST(content).digest())


def results_of(rows: Iterable[Row]) -> list[TrialResult]:
    """The results in a pack's rows."""
    return [
        TrialResult(
            str(row["key"]),
            Status(str(row["status"])),
            {k: v for k, v in row.items() if v is None or isinstance(v, int | float | str)},
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Parts:
    """All rows that are there, and the part files that could not be read.

    Attributes:
        table: one row per trial; of rows with the same key the first one read.
        damaged: part files that are cut short or unreadable; their trials count as missing.
    """

    table: pa.Table
    damaged: tuple[str, ...]

    def results(self) -> dict[str, TrialResult]:
        """Key -> result, with the columns that a search reads; of confirm rows none."""
        if self.table.num_rows == 0:
            return {}
        statuses = {status.value: status for status in Status}
        stages = self.table.column("stage").to_pylist()
        searched = [row for row, stage in enumerate(stages) if stage != Stage.CONFIRM]
        wanted = [
            name
            for name in self.table.column_names
            if name.endswith("_validation") and not name.startswith("alignment_layers_")
        ]
        values = self.table.select(wanted).take(pa.array(searched, pa.int64())).to_pylist()
        known = dict(zip(searched, values, strict=bool(wanted)))
        rows = zip(
            self.table.column("key").to_pylist(),
            self.table.column("status").to_pylist(),
            strict=True,
        )
        return {
            key: TrialResult(key, statuses[status], known.get(row, {}))
            for row, (key, status) in enumerate(rows)
        }


def read_parts(output: Output, names: Iterable[str] | None = None, curves: bool = False) -> Parts:
    """Read part files (all of them by default), with their learning curves or without.

    A damaged part file is named in the answer rather than raised: its pack is run again.
    """
    tables, damaged = [], []
    for name in output.names(PARTS, PART_SUFFIX) if names is None else names:
        table = _part_table(output.read(name))
        if table is None:
            damaged.append(name)
        else:
            kept = [n for n in table.column_names if curves or not n.startswith(CURVE)]
            tables.append(table.select(kept))
    if not tables:
        return Parts(pa.table({"key": pa.array([], pa.string())}), tuple(damaged))
    table = _concatenated(tables)
    keys = table.column("key").to_pylist()
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    if len(first) < len(keys):
        table = table.take(pa.array(sorted(first.values())))
    return Parts(table, tuple(damaged))


def compact(output: Output, parts: Parts, order: Mapping[str, Trial]) -> int:
    """Write ``trials.parquet``: the rows whose keys are in ``order``, in that order.

    Rows that the study no longer plans (a search that was extended chose another strength, say)
    stay in their part files and out of the table. What the plan says of a trial is taken from the
    plan of now: an extended study may choose the same strength for another reason.

    Returns:
        The number of rows written.
    """
    position = {key: row for row, key in enumerate(parts.table.column("key").to_pylist())}
    planned = [trial for key, trial in order.items() if key in position]
    rows = [position[trial.key] for trial in planned]
    table = parts.table.take(pa.array(rows, pa.int64()))
    for name in ("generation", "number", "chosen_by"):
        if name in table.column_names:
            at = table.column_names.index(name)
            now = _array(name, [getattr(trial, name) for trial in planned])
            table = table.set_column(at, name, now)
    known = [c.name for c in COLUMNS if c.name in table.column_names]
    others = [name for name in table.column_names if name not in known]
    anchor = known.index("n_train") if "n_train" in known else len(known)
    measured = [n for n in others if _family(n)]
    data = [n for n in others if not _family(n)]
    table = table.select([*known[:anchor], *sorted(data), *known[anchor:], *sorted(measured)])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    output.write(TABLE_NAME, buffer.getvalue())
    return len(rows)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a trial table: a Parquet file, or a run's output folder that holds ``trials.parquet``.

    Returns:
        One row per trial, columns as documented in `COLUMNS`.

    Raises:
        InputError: there is no table, it cannot be read, or required columns are missing.
    """
    location, name = str(path), TABLE_NAME
    if location.endswith(".parquet"):
        location, _, name = location.rpartition("/")
    try:
        content = Output(location or ".").read(name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if content is None:
        raise InputError(
            f"{path}: no trial table there; give a run's output folder or its {TABLE_NAME}"
        )
    try:
        frame = pq.read_table(pa.BufferReader(content)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error
    missing = [column for column in REQUIRED if column not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: not a trial table, columns missing: {', '.join(missing)}; "
            f"required are {', '.join(REQUIRED)}"
        )
    return frame


def _family(name: str) -> bool:
    return any(column.pattern and column.describes(name) for column in COLUMNS)


def _part_table(content: bytes | None) -> pa.Table | None:
    """The rows in a part file; None where it is missing, damaged or something else."""
    if content is None:
        return None
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if _DIGEST(body).digest() != digest:
        return None
    try:
        table = pa.ipc.open_stream(pa.BufferReader(body)).read_all()
    except (pa.ArrowException, OSError):
        return None
    return table if set(REQUIRED) <= set(table.column_names) else None


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows; a column whose types do not go together (numbers and texts, say) becomes text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        types: dict[str, set[Any]] = {}
        for table in tables:
            for field in table.schema:
                if not pa.types.is_null(field.type):
                    types.setdefault(field.name, set()).add(field.type)
        mixed = {n for n, found in types.items() if len(found) > 1 and not found <= _NUMBERS}
        return pa.concat_tables([_as_text(t, mixed) for t in tables], promote_options="permissive")


def _as_text(table: pa.Table, names: Collection[str]) -> pa.Table:
    for at, name in enumerate(table.column_names):
        if name in names:
            texts = [v if v is None else str(v) for v in table.column(name).to_pylist()]
            table = table.set_column(at, name, pa.array(texts, pa.string()))
    return table


def _array(name: str, values: Sequence[object]) -> pa.Array:
    """A column in its documented type; one that is not documented in the type of its values."""
    known = next((column for column in COLUMNS if column.describes(name)), None)
    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    if known is not None and known.kind in types:
        return pa.array(values, types[known.kind])
    if name.startswith(CURVE):
        of = pa.int32() if name == CURVE_EPOCHS else pa.float32()
        return pa.array(values, pa.list_(of))
    if len({type(v) for v in values if v is not None}) > 1 and any(
        isinstance(v, str) for v in values
    ):
        values = [v if v is None else str(v) for v in values]
    return pa.array(values)
