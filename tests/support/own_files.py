"""The same data of a user's own in every format that is read."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}
WHICH = {"modality_1": "img_*", "modality_2": "txt_*"}
"""Which columns of `table` are which modality."""


def arrays(rows: int = 120, **changes: Any) -> dict[str, Any]:
    """Two modalities and a label; None leaves one out."""
    rng = np.random.default_rng(0)
    good = {
        "x1": rng.normal(3, 2, size=(rows, 5)),
        "x2": rng.normal(size=(rows, 3)),
        "y": np.arange(rows) % 3,
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def table(**changes: Any) -> pd.DataFrame:
    """`arrays` with a column for each feature; an array of any other name is a column."""
    of = arrays(**changes)
    columns: dict[str, Any] = {}
    for name, prefix in (("x1", "img"), ("x2", "txt")):
        columns |= {f"{prefix}_{k}": x for k, x in enumerate(of.pop(name, np.zeros((0, 0))).T)}
    return pd.DataFrame({**columns, **of})


def save_safetensors(path: Path, tensors: Mapping[str, Any], **codes: str) -> None:
    """A file as the format is described; ``codes`` say of tensors that they are of another type."""
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    content, at = b"", 0
    for name, array in tensors.items():
        held = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": codes.get(name) or CODES[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(held)],
        }
        content, at = content + held, at + len(held)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def save_dataset(folder: Path, rows: pa.Table, features: Mapping[str, Any] | None = None) -> None:
    """A folder as datasets 5.2 writes it with save_to_disk, in two parts."""
    folder.mkdir(parents=True)
    names = []
    for number, part in enumerate((rows.slice(0, 50), rows.slice(50))):
        names.append(f"data-{number:05d}-of-00002.arrow")
        with pa.ipc.new_stream(str(folder / names[-1]), part.schema) as stream:
            stream.write_table(part, max_chunksize=16)
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0123456789abcdef",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))


def as_lists(of: Mapping[str, Any]) -> pa.Table:
    """A table with a list of features in a column for each modality."""
    return pa.table({k: pa.array(v.tolist() if v.ndim > 1 else v) for k, v in of.items()})
