"""A user's own data from Python: tables, arrays or tensors as one file that a study can name."""

import zipfile
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysweep.data.dtypes import Array, Role

_OTHERS = ("y", "split", "groups")


def save_data(
    path: str | Path,
    modalities: Mapping[str, Any],
    y: Any,
    split: Any = None,
    groups: Any = None,
    lengths: Mapping[str, Any] | None = None,
    present: Mapping[str, Any] | None = None,
) -> Path:
    """Write one ``.npz`` file of the ``arrays`` dataset, checked as a study checks it.

    Everything may be a NumPy array, a torch tensor, a DataFrame or Series of pandas, an Arrow table
    or a list. bfloat16 and float8 are widened to float32. The file appears whole or not at all.

    Args:
        path: where to, ending with ``.npz``.
        modalities: name -> [n, d], or [n, T, d] of sequences, or [n, c, h, w] of images, floats or
            integers; two to four, row i of all the same sample.
        y: [n] labels in any usual form, or one-hot [n, c].
        split: [n] of the words train, validation and test; None lets raysweep split the rows.
        groups: [n] ids, equal for rows that belong together; None: every row is alone.
        lengths: name of a modality that is a sequence -> [n], how many of the T tokens of a row are
            real, which stand in front; where left out all are.
        present: name of a modality -> [n], 1 or true for rows that have it. Where left out, rows
            that are all NaN, or all missing, lack it.

    Returns:
        The path, absolute.

    Raises:
        InputError: all that is wrong with the data, each with its name.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> import raysweep
        >>> rng = np.random.default_rng(0)
        >>> text, image = rng.normal(size=(200, 16)), rng.normal(size=(200, 32))
        >>> label = np.where(text[:, 0] + image[:, 0] > 0, "up", "down")
        >>> path = os.path.join(tempfile.mkdtemp(), "mine.npz")
        >>> path = raysweep.save_data(path, {"text": text, "image": image}, y=label)
        >>> raysweep.Study(
        ...     name="mine",
        ...     data={"dataset": "arrays", "path": path},
        ...     training={"batch_size": 32},
        ... )
        Study(name='mine', kind='forcing', cells=1)
    """
    from raysweep.data.arrays import unusable
    from raysweep.data.content import Content
    from raysweep.data.dtypes import Role, check_modality, noted
    from raysweep.data.pixels import read_images
    from raysweep.data.presence import PRESENT, without_lacking
    from raysweep.data.sequences import LENGTH, read_sequence
    from raysweep.data.views import Layout
    from raysweep.errors import InputError
    from raysweep.trials.storage import Output

    faults: list[str] = []
    place = Path(path).expanduser().absolute()
    if place.suffix != ".npz":
        faults.append(f"the name ends with {place.suffix or 'nothing'}, expected .npz")
    names = [str(name) for name in modalities]
    faults += _bad_names(names)
    given: dict[str, Any] = dict(zip(names, modalities.values(), strict=True))
    roles = dict.fromkeys(names, Role.FEATURES) | {
        "y": Role.LABEL,
        "split": Role.TEXT,
        "groups": Role.LABEL,
    }
    given |= {k: v for k, v in zip(_OTHERS, (y, split, groups), strict=True) if v is not None}
    beside = {f"{name}{LENGTH}": name for name in lengths or {}}
    given |= {f"{name}{LENGTH}": value for name, value in (lengths or {}).items()}
    given |= {f"{name}{PRESENT}": value for name, value in (present or {}).items()}
    roles |= {name: Role.LABEL for name in given if name not in roles}
    faults += [
        f"present of {name}, expected names of modalities"
        for name in present or {}
        if name not in names
    ]
    faults += _other_index(given)
    arrays: dict[str, Array] = {}
    for name, value in given.items():
        with noted(faults):
            arrays[name] = _as_array(name, value, roles[name], faults)
    sequences = [name for name in names if name in arrays and arrays[name].ndim == 3]
    faults += [
        f"lengths of {name}, expected names of modalities [n, T, d]"
        for name in beside.values()
        if name not in sequences
    ]
    checked: dict[str, Any] = {}
    layouts: dict[str, Layout] = {}
    having: dict[str, Any] = {}
    for name in names:
        if name in arrays:
            with noted(faults):
                there = {k: arrays[k] for k in (f"{name}{PRESENT}",) if k in arrays}
                array, having[name] = without_lacking(name, arrays[name], there)
                if name in sequences:
                    told = {k: arrays[k] for k, of in beside.items() if of == name and k in arrays}
                    checked[name], layouts[name] = read_sequence(name, array, told)
                elif array.ndim == 4:
                    checked[name], layouts[name] = read_images(name, array)
                else:
                    checked[name] = check_modality(name, array)
    if not faults:
        content = Content(
            names=tuple(names),
            modalities=checked,
            lengths={name: len(x) for name, x in checked.items()},
            label=arrays["y"],
            split=arrays.get("split"),
            groups=arrays.get("groups"),
            has_split="split" in arrays,
            layouts=layouts,
            present={name: there for name, there in having.items() if there is not None},
        )
        faults += unusable(content)
    if faults:
        raise InputError(f"{place}: {'; '.join(faults)}")
    Output(place.parent).write(place.name, _archive(arrays))
    return place


def _bad_names(names: list[str]) -> list[str]:
    """What is wrong with the names of modalities."""
    faults = []
    if not 2 <= len(names) <= 4:
        faults.append(f"{len(names)} modalities, expected 2 to 4")
    taken = [name for name in names if name in (*_OTHERS, "label")]
    if taken:
        faults.append(f"a modality is called {taken[0]}, which means something else in a file")
    odd = [name for name in names if not name or "/" in name or "\\" in name or "\0" in name]
    if odd:
        faults.append(f"a modality is called {odd[0]!r}, expected a name without / or \\")
    usual = [f"x{k}" for k in range(1, len(names) + 1)]
    if set(names) & {"x1", "x2"} and names != usual:
        faults.append(
            f"modalities are called {', '.join(names)}, expected {', '.join(usual)} or no x1"
        )
    return faults


def _other_index(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with pandas objects whose rows are in different orders."""
    indexed = {name: v.index for name, v in given.items() if hasattr(v, "iloc")}
    first = next(iter(indexed), "")
    return [
        f"{name} has another index than {first}, so that their rows may be in another order; "
        f"give {name}.loc[{first}.index], or reset_index(drop=True) of both"
        for name, index in indexed.items()
        if not index.equals(indexed[first])
    ]


def _as_array(name: str, value: Any, role: "Role", faults: list[str]) -> "Array":
    """The value as an array of NumPy.

    Raises:
        InputError: it is none; faults of columns are noted, too.
    """
    import numpy as np

    from raysweep.errors import InputError

    if hasattr(value, "iloc") or hasattr(value, "to_arrow") or hasattr(value, "column_names"):
        return _from_table(name, value, role, faults)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.dtype.is_floating_point and value.element_size() < 4:
            value = value.float()
        value = value.numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is no array ({error}), expected rows of one length") from error
    if array.dtype == object:
        dtype = "float" if role.name == "FEATURES" else "str"
        way = f"numpy.array(list({name}), dtype={dtype})"
        raise InputError(f"{name} is an object array, expected {role.expected}; give {way}")
    return np.ascontiguousarray(array) if array.ndim else array


def _from_table(name: str, value: Any, role: "Role", faults: list[str]) -> "Array":
    """The columns of a table side by side, or those of a Series as one."""
    import numpy as np
    import pyarrow as pa

    from raysweep.data.dtypes import Role, check_dtype
    from raysweep.data.files.arrow import read_columns
    from raysweep.data.presence import read_with_gaps
    from raysweep.errors import InputError

    flat = hasattr(value, "iloc") and value.ndim == 1
    try:
        if flat:
            table = pa.table({name: pa.Array.from_pandas(value)})
        elif hasattr(value, "iloc"):
            renamed = value.set_axis([f"{name}.{column}" for column in value.columns], axis=1)
            table = pa.Table.from_pandas(renamed, preserve_index=False)
        else:
            table = value.to_arrow() if hasattr(value, "to_arrow") else value
            table = table.rename_columns([f"{name}.{column}" for column in table.column_names])
    except (pa.ArrowException, TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{name} has columns of mixed types ({words})") from error
    names = table.column_names
    found: list[str] = []
    if role is Role.FEATURES:
        columns, found = read_with_gaps(partial(read_columns, table, names), len(names))
    else:
        columns = read_columns(table, names, role, found)
    for column, array in columns.items():
        if role is Role.FEATURES:
            check_dtype(column, array, "fiub")
    if found:
        faults += found[1:]
        raise InputError(found[0])
    arrays = list(columns.values())
    if flat:
        return arrays[0]
    return np.concatenate([a[:, None] if a.ndim == 1 else a for a in arrays], axis=1)


def _archive(arrays: "Mapping[str, Array]") -> bytes:
    """The arrays as ``numpy.savez`` writes them; equal arrays, equal bytes."""
    import numpy as np

    written = BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return written.getvalue()
