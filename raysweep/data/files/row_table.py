"""A table whose rows name things, such as texts, images or models, read as its suffix says."""

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from raysweep.errors import InputError

_CSV = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")


def read_row_table(path: Path, wanted: str, texts: Sequence[str] | None = None) -> Any:
    r"""Read CSV, Parquet or JSON lines, with one row at least.

    Args:
        path: the file.
        wanted: what the table is expected to have, for the message.
        texts: columns of a CSV whose values are texts as they stand: `None` or `NA` is one, and
            `007` no number; None: all of them.

    Returns:
        A `pyarrow.Table`.

    Raises:
        InputError: it cannot be read as what its suffix says, or has no rows.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "captions.csv"
        >>> _ = path.write_text("caption,likes\n007,3\n")
        >>> read_row_table(path, "captions", texts=["caption"]).to_pylist()
        [{'caption': '007', 'likes': 3}]
    """
    try:
        table = _read(path, texts)
    except (pa.ArrowException, OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read ({words}); expected a table with {wanted}, as .csv, .tsv, "
            ".parquet or .jsonl"
        ) from error
    if table.num_rows == 0:
        raise InputError(f"{path}: has no rows")
    return table


def _read(path: Path, texts: Sequence[str] | None) -> Any:
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return pa.parquet.read_table(path)
    if suffix in _JSON:
        return pa.json.read_json(path)
    if suffix not in _CSV:
        raise ValueError(f"a file that ends with {suffix or 'nothing'}")
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError("text in UTF-16; save it as CSV UTF-8")
    lines = pa.csv.ParseOptions(delimiter=_CSV[suffix], newlines_in_values=True)
    if texts is None:
        with pa.input_stream(path) as stream:
            texts = pa.csv.open_csv(stream, parse_options=lines).schema.names
    types = pa.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    return pa.csv.read_csv(path, parse_options=lines, convert_options=types)
