"""The trial table: its part files, and the one Parquet file they are compacted to.

A pack writes one part file with all its rows; the part files are the only truth. ``trials.parquet``
is made from them and can be made again at any time.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.errors import InputError
from raysweep.trials.columns import COLUMNS, CURVE_EPOCHS, REQUIRED, Role, column_of
from raysweep.trials.storage import Output
from raysweep.trials.trial import Stage, Status, Trial, TrialResult

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAME = "trials.parquet"
PARTS = "parts"
PART_SUFFIX = ".arrow"
_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size


_MADE_OF = b"raysweep.parts"
_NO_ROWS = pa.table({"key": pa.nulls(0, pa.string())})  # a list would import pandas
_NUMBERS = {pa.int64(), pa.float64()}
_LOOKED_AT = ("key", "status", "stage")
_MANY_ROWS = 50_000
_TOGETHER = 128
"""Part files whose tables are joined before more are read, where few columns are wanted."""

Row = Mapping[str, int | float | str | Sequence[float | None] | None]


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
        stamps: part files that were read -> their last change in ns, where all were asked for.
    """

    table: pa.Table
    damaged: tuple[str, ...]
    stamps: Mapping[str, int] = field(default_factory=dict)

    def results(self, confirmed: Collection[str] = ()) -> dict[str, TrialResult]:
        """Key -> result, with the columns that a search reads; of confirm rows those named."""
        if self.table.num_rows == 0:
            return {}
        statuses = {status.value: status for status in Status}
        wanted = [name for name in self.table.column_names if _is_searched(name)]
        stages = self.table.column("stage").to_pylist()
        searched = np.flatnonzero([stage != Stage.CONFIRM.value for stage in stages])
        # From a list or an array Arrow would import pandas, half a second, to find out what it is.
        at = pa.Array.from_buffers(pa.int64(), len(searched), [None, pa.py_buffer(searched)])
        values = self.table.select(wanted).take(at).to_pylist()
        known = dict(zip(searched.tolist(), values, strict=bool(wanted)))
        if confirmed:
            names = [name for name in self.table.column_names if name in confirmed]
            rows_of = self.table.select(names).to_pylist()
            known |= {row: v for row, v in enumerate(rows_of) if row not in known}
        rows = zip(
            self.table.column("key").to_pylist(),
            self.table.column("status").to_pylist(),
            strict=True,
        )
        nothing: dict[str, Any] = {}
        return {
            key: TrialResult(key, statuses[status], known.get(row, nothing))
            for row, (key, status) in enumerate(rows)
        }


def read_parts(
    output: Output,
    names: Iterable[str] | None = None,
    curves: bool = False,
    searched: Collection[str] | None = None,
) -> Parts:
    """Read part files (all of them by default), with their learning curves or without.

    With ``searched`` only the columns of `Parts.results` and those that it names: a fraction of the
    memory.

    A damaged part file is named in the answer rather than raised: its pack is run again.
    """
    tables, damaged = [], []
    # Before they are read: a file that is replaced meanwhile is then known to have changed.
    stamps = output.stamps(PARTS, PART_SUFFIX) if names is None else {}
    for name in sorted(stamps) if names is None else names:
        table = _part_table(output.read(name))
        if table is None:
            damaged.append(name)
        else:
            kept = [n for n in table.column_names if curves or not _is_curve(n)]
            tables.append(table.select(kept if searched is None else _looked_at(kept, searched)))
            if searched is not None and len(tables) == _TOGETHER:
                # Copied, as a column that was read holds on to its whole file.
                tables = [_concatenated(tables).combine_chunks()]
    if not tables:
        return Parts(_NO_ROWS, tuple(damaged))
    table = _concatenated(tables)
    keys = table.column("key").to_pylist()
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    if len(first) < len(keys):
        table = table.take(pa.array(sorted(first.values())))
    return Parts(table, tuple(damaged), {n: at for n, at in stamps.items() if n not in damaged})


def read_searched(output: Output, beside: Collection[str] = ()) -> Parts:
    """All rows with the columns of `Parts.results`, from the trial table where it has them.

    Only these columns are read and those named ``beside`` them.

    A table that `compact` made of part files that are all there unchanged stands for them, and
    only the others are read: a look at a large run takes a fraction of the time. Unlike
    `read_parts` it does not notice damage that left a file's time of change as it was.
    """
    stamps = output.stamps(PARTS, PART_SUFFIX)
    tabled, made_of = _tabled(output.read(TABLE_NAME), beside)
    if any(stamps.get(name) != at for name, at in made_of.items()):
        tabled, made_of = _NO_ROWS, {}
    new = sorted(name for name in stamps if name not in made_of)
    parts = read_parts(output, new, searched=beside)
    table = _concatenated([tabled, parts.table]) if tabled.num_rows else parts.table
    return Parts(table, parts.damaged)


def suspicious(table: pa.Table) -> list[Row]:
    """The rows that may be at fault (`raysweep.folder.causes.at_fault`): none that is is left out.

    Args:
        table: of trials, with what columns of faults it has.
    """
    # Column by column: of most rows nothing is made, and `pyarrow.compute` would import pandas.
    found: set[int] = set()
    for name in table.column_names:
        values = table.column(name).to_pylist() if _tells_faults(name) else []
        fine = (None, Status.OK.value) if name == "status" else (None, "", 0)
        found.update(row for row, value in enumerate(values) if value not in fine)
    return [table.slice(row, 1).to_pylist()[0] for row in sorted(found)]


def _tells_faults(name: str) -> bool:
    return name in ("status", "unforced_steps") or column_of(name).family == "undefined"


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
    cells = {trial.cell.id: trial.cell for trial in planned}.values()
    axes = {name for cell in cells for name, _ in cell.parameters}
    data = [n for n in others if n in axes or column_of(n).role is Role.CHARACTERISTIC]
    measured = [n for n in others if n not in data]
    table = table.select([*known[:anchor], *sorted(data), *known[anchor:], *sorted(measured)])
    if len(rows) == parts.table.num_rows:
        # Only a table without rows left out can stand for the part files (`read_searched`).
        made_of = json.dumps(dict(parts.stamps)).encode()
        table = table.replace_schema_metadata({_MADE_OF: made_of})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    output.write(TABLE_NAME, buffer.getvalue())
    return len(rows)


def tabled_keys(output: Output) -> set[str]:
    """The keys of the rows in ``trials.parquet``; none where there is no readable table."""
    content = output.read(TABLE_NAME)
    try:
        table = pq.read_table(_reader(content or b""), columns=["key"])
    except (pa.ArrowException, KeyError, OSError):
        return set()
    return set(table.column("key").to_pylist())


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a trial table: a Parquet file, or a run's output folder that holds ``trials.parquet``.

    Returns:
        One row per trial, columns as documented in `raysweep.trials.columns.COLUMNS`.

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
        table = pq.read_table(_reader(content))
        # Of many rows a column at a time, each let go of once it is copied: not the whole table
        # twice. Of fewer the columns lie together, as pandas wants them where there are many.
        frame = table.to_pandas(split_blocks=table.num_rows > _MANY_ROWS, self_destruct=True)
        del table
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error
    missing = [column for column in REQUIRED if column not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: not a trial table, columns missing: {', '.join(missing)}; "
            f"required are {', '.join(REQUIRED)}"
        )
    return frame


def _reader(content: bytes) -> pa.BufferReader:
    """A file's content for Arrow, in memory of Arrow's own.

    Of Python's memory its threads would ask the interpreter to let go, and one that does so while a
    short command ends has the process aborted ("terminate called without an active exception").
    """
    memory = pa.allocate_buffer(len(content))
    pa.FixedSizeBufferWriter(memory).write(content)
    return pa.BufferReader(memory)


def _is_searched(name: str) -> bool:
    """Whether a search may go by the column, or says what it has saved by it."""
    column = column_of(name)
    return name == "began_after" or (column.is_number and column.split in ("", "validation"))


def _is_curve(name: str) -> bool:
    """Whether the column is a learning curve, which lies in part files beside the others.

    It is a list: one entry per epoch that was kept, in single precision, null where nothing was
    seen.
    """
    return column_of(name).role is Role.CURVE


def _looked_at(names: Sequence[str], beside: Collection[str]) -> list[str]:
    return [n for n in names if n in _LOOKED_AT or n in beside or _is_searched(n)]


def _tabled(content: bytes | None, beside: Collection[str]) -> tuple[pa.Table, dict[str, int]]:
    """A trial table's columns that a search reads, and the stamps of the parts it is made of."""
    if content is None:
        return _NO_ROWS, {}
    try:
        file = pq.ParquetFile(_reader(content))
        made_of = (file.schema_arrow.metadata or {}).get(_MADE_OF)
        if made_of is None:
            return _NO_ROWS, {}
        names = _looked_at(file.schema_arrow.names, beside)
        return file.read(columns=names), json.loads(made_of)
    except (pa.ArrowException, OSError):
        return _NO_ROWS, {}


def _part_table(content: bytes | None) -> pa.Table | None:
    """The rows in a part file; None where it is missing, damaged or something else."""
    if content is None:
        return None
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if _DIGEST(body).digest() != digest:
        return None
    try:
        table = pa.ipc.open_stream(_reader(body)).read_all()
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
    kind = column_of(name).kind
    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    if kind in types:
        return pa.array(values, types[kind])
    if kind == "list":
        of = pa.int32() if name == CURVE_EPOCHS else pa.float32()
        return pa.array(values, pa.list_(of))
    if len({type(v) for v in values if v is not None}) > 1 and any(
        isinstance(v, str) for v in values
    ):
        values = [v if v is None else str(v) for v in values]
    return pa.array(values)
