"""Which reader a file is for."""

from collections.abc import Callable
from pathlib import Path

from raysweep.data.files.hdf5 import Hdf5
from raysweep.data.files.huggingface import DatasetFolder, is_dataset_folder
from raysweep.data.files.npz import NpyFolder, Npz
from raysweep.data.files.safetensors import Safetensors
from raysweep.data.files.source import Source
from raysweep.data.files.tables import COMPRESSED, CSV_SUFFIXES, Csv, Parquet
from raysweep.errors import InputError

FORMATS = (
    "an .npz file, a folder of .npy files, .csv or .tsv (also .gz, .bz2, .zst), .parquet, "
    ".safetensors, .h5ad, .h5mu, or a folder that datasets' save_to_disk wrote"
)

_BY_SUFFIX: dict[str, Callable[[str], Source]] = {
    ".npz": Npz.open,
    ".parquet": Parquet.open,
    ".pq": Parquet.open,
    ".safetensors": Safetensors.open,
    ".h5ad": Hdf5.open,
    ".h5mu": Hdf5.open,
    **dict.fromkeys(CSV_SUFFIXES, Csv.open),
}
_BY_MAGIC: dict[bytes, Callable[[str], Source]] = {b"PK\x03\x04": Npz.open, b"PAR1": Parquet.open}


def open_source(path: str) -> Source:
    """The reader of a file or folder: by its name, else by its first bytes.

    Raises:
        InputError: there is none at the path, or none for it.
    """
    try:
        return _opened(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})") from error


def _opened(path: str) -> Source:
    """`open_source`, without what the system says of the path."""
    place = Path(path)
    if place.is_dir():
        if is_dataset_folder(place):
            return DatasetFolder.open(path)
        if any(place.glob("*.npy")):
            return NpyFolder.open(path)
    suffixes = [suffix.lower() for suffix in place.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix == ".npz":
        return Npz.open(path)
    if place.is_dir():
        raise InputError(f"a folder without .npy files, expected {FORMATS}")
    if not place.is_file():
        raise InputError(f"no such file, expected {FORMATS}")
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix](path)
    with place.open("rb") as file:
        start = file.read(4)
    if start in _BY_MAGIC and suffix not in _WAYS:
        return _BY_MAGIC[start](path)
    what = f"an unknown kind of file ({suffix})" if suffix else "an unknown kind of file"
    way = _WAYS.get(suffix, "")
    raise InputError(f"{what}, expected {FORMATS}{way}")


_PICKLED = "; pickles are refused, as reading one runs its code: save it with raysweep.save_data"
_WAYS = {
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib", ".ckpt"), _PICKLED),
    ".npy": "; save several arrays with numpy.savez, or put the .npy files into a folder",
    **dict.fromkeys((".xlsx", ".xls"), "; save it with pandas.read_excel(...).to_parquet(...)"),
    ".json": "; save it with pandas.read_json(...).to_parquet(...)",
    ".jsonl": "; save it with pandas.read_json(..., lines=True).to_parquet(...)",
    ".feather": "; save it with pandas.read_feather(...).to_parquet(...)",
    ".arrow": "; save it with pandas.read_feather(...).to_parquet(...)",
    ".mat": "; save it with numpy.savez('data.npz', **scipy.io.loadmat(...))",
}
