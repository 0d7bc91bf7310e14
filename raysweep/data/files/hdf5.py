"""Files of anndata (``.h5ad``) and mudata (``.h5mu``), read by h5py as their format is described.

X of a modality is dense, also where the file has it sparse. Links and data that lead to other files
are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raysweep.data.dtypes import Array, Role, noted
from raysweep.errors import InputError
from raysweep.text import counted

if TYPE_CHECKING:
    import h5py

_DERIVED = "X_"
"""What names of embeddings begin with that were made from X."""


@dataclass(frozen=True)
class _Place:
    """Where an array lies in a file.

    Attributes:
        at: the path of its group or dataset.
        axes: how many; None for what is no modality unless a study names it.
        modality: whose rows these are; empty for rows of the whole.
    """

    at: str
    axes: int | None
    modality: str = ""


@dataclass(frozen=True)
class Hdf5:
    """A ``.h5ad`` file: X, ``obsm/...``, ``layers/...`` and the columns of obs by their names.

    Of a ``.h5mu`` file X of each modality has the modality's name, what else belongs to it begins
    with that (``rna/obsm/...``, ``rna:column``), and rows are in the order of the whole.
    """

    path: str
    places: Mapping[str, _Place]
    noun: str = "array"

    @classmethod
    def open(cls, path: str) -> "Hdf5":
        """The file at a path.

        Raises:
            InputError: it is none, or h5py is not installed.
        """
        with _opened(path) as file:
            try:
                multiple = "mod" in file
                if multiple and file.attrs.get("axis", 0) != 0:
                    raise InputError(
                        "its modalities share variables, expected shared rows (axis 0)"
                    )
                places = dict(_of_many(file) if multiple else _of_one(file, "", ""))
            except (KeyError, ValueError, AttributeError, TypeError, OSError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError("not a file of anndata 0.8 or later; write it anew") from error
        return cls(path, places)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return tuple(self.places)

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        return self.places[name].axes

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        found: dict[str, Array] = {}
        with _opened(self.path) as file:
            for name in names:
                with noted(faults):
                    found[name] = self._rows(file, name, role)
        return found

    def _rows(self, file: "h5py.File", name: str, role: Role) -> Array:
        place = self.places[name]
        try:
            array = _array(name, _inside(file, place.at), role)
            order = _order(file, place.modality) if place.modality else None
        except (KeyError, OSError, RuntimeError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{name} is unreadable, expected {role.expected}") from error
        if order is None:
            return array
        lacking = np.flatnonzero(order < 0)
        if lacking.size and role is Role.GAPS and array.dtype.kind in "fiub":
            found = np.full((len(order), *array.shape[1:]), np.nan)
            found[order >= 0] = array[order[order >= 0]]
            return found
        if lacking.size:
            raise InputError(
                f"{name} lacks {counted(lacking.size, 'row')} of {len(order)}, first row "
                f"{lacking[0]}; expected all rows in every modality; save "
                "muon.pp.intersect_obs(mdata)"
            )
        return array[order]


def _opened(path: str) -> "h5py.File":
    try:
        import h5py
    except ImportError as error:
        raise InputError("needs the package h5py: pip install 'raysweep[h5ad]'") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError("not an HDF5 file, expected one that anndata or mudata wrote") from error


def _of_one(group: "h5py.Group", at: str, modality: str) -> Iterator[tuple[str, _Place]]:
    """The arrays of an AnnData by the names they have here."""
    within = f"{modality}/" if modality else ""
    if "X" in group:
        yield modality or "X", _Place(f"{at}X", 2, modality)
    for part in ("obsm", "layers"):
        for key in group.get(part, {}):
            made = modality or part == "layers" or key.startswith(_DERIVED)
            yield (
                f"{within}{part}/{key}",
                _Place(f"{at}{part}/{key}", None if made else 2, modality),
            )
    yield from _columns(group["obs"], f"{at}obs", modality)


def _of_many(file: "h5py.File") -> Iterator[tuple[str, _Place]]:
    """The arrays of a MuData: those of its modalities in their order, then those of the whole."""
    modalities = file["mod"]
    order = [str(name) for name in modalities.attrs.get("mod-order", list(modalities))]
    for modality in order:
        yield from _of_one(modalities[modality], f"mod/{modality}/", modality)
    yield from _columns(file["obs"], "obs", "")


def _columns(frame: "h5py.Group", at: str, modality: str) -> Iterator[tuple[str, _Place]]:
    for column in map(str, frame.attrs["column-order"]):
        name = f"{modality}:{column}" if modality else column
        yield name, _Place(f"{at}/{column}", 1, modality)


def _inside(file: "h5py.File", at: str) -> Any:
    """What lies at a path of the file, and in no other file.

    Raises:
        InputError: a link is on the way, or the data lie elsewhere.
    """
    import h5py

    found: Any = file
    for part in at.split("/"):
        link = found.get(part, getlink=True)
        if link is None:
            raise KeyError(at)
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{at} is a link, expected the data themselves")
        found = found[part]
    return found


def _array(name: str, found: Any, role: Role) -> Array:
    import h5py

    if isinstance(found, h5py.Dataset):
        return _plain(name, found)
    encoding = found.attrs.get("encoding-type", "")
    if encoding in ("csr_matrix", "csc_matrix"):
        return _dense(name, found, encoding)
    if encoding == "categorical":
        codes = _plain(name, _inside(found, "codes"))
        _check_there(name, codes < 0, role)
        categories: Array = _array(name, _inside(found, "categories"), Role.LABEL)
        return categories[codes]
    if encoding.startswith("nullable"):
        _check_there(name, _plain(name, _inside(found, "mask")), role)
        return _plain(name, _inside(found, "values"))
    if encoding == "dataframe":
        columns = map(str, found.attrs["column-order"])
        parts = [_array(f"{name}.{c}", _inside(found, c), role) for c in columns]
        return np.stack(parts, axis=1)
    raise InputError(f"{name} is a {encoding or 'group'}, expected an array")


def _plain(name: str, found: "h5py.Dataset") -> Array:
    import h5py

    if found.external or found.is_virtual:
        raise InputError(f"{name} lies in another file, expected the data themselves")
    if h5py.check_string_dtype(found.dtype) is not None:
        texts: Array = np.array(found.asstr()[...].tolist(), dtype=str)
        return texts
    array: Array = found[...]
    return array


def _dense(name: str, found: "h5py.Group", encoding: str) -> Array:
    from scipy import sparse

    kind = sparse.csr_array if encoding == "csr_matrix" else sparse.csc_array
    parts = tuple(_plain(name, _inside(found, part)) for part in ("data", "indices", "indptr"))
    matrix = kind(parts, shape=tuple(int(length) for length in found.attrs["shape"]))
    matrix.check_format()  # indices that lead out of it would be written to
    array: Array = matrix.toarray()
    return array


def _check_there(name: str, gone: Array, role: Role) -> None:
    rows = np.flatnonzero(gone)
    if rows.size:
        what = "a label" if role is Role.LABEL else "a value"
        raise InputError(
            f"{name} has {counted(rows.size, 'missing value')} in {counted(len(gone), 'row')}, "
            f"first in row {rows[0]}; expected {what} in every row; save "
            f"adata[adata.obs[{name!r}].notna()]"
        )


def _order(file: "h5py.File", modality: str) -> Array | None:
    """The row of a modality for each row of the whole, -1 for one that it lacks."""
    if "obsmap" not in file or modality not in file["obsmap"]:
        return None
    return _plain(modality, _inside(file, f"obsmap/{modality}")).reshape(-1).astype(np.int64) - 1
