"""What was asked for, which is in the file that was made: it tells what is done already."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_SETTINGS = (".json", ".txt", ".model", ".jinja")
_CHUNK = 2**20


class Pooling(StrEnum):
    """How the states of a sample's tokens become one vector."""

    MEAN = "mean"
    LAST = "last"
    CLASS = "class"


class FinalNorm(StrEnum):
    """Whether the last layer is taken after the norm that follows the last block."""

    AS_IS = "as_is"
    WITH = "with"
    WITHOUT = "without"


class Dtype(StrEnum):
    """What a model computes in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Recipe:
    """What was asked for; a file that was made so is done, one that was made otherwise is not.

    Attributes:
        model: as it was given, a folder by its name alone.
        weights: ``sha256:...`` of a folder's files, or ``commit:...`` of a hub's.
        column: the column of the table.
        modality: ``text`` or ``image``.
        content: ``sha256:...`` of the column's texts, or of its images' bytes, in order.
        rows: how many rows the table has.
        pooling: mean, last or class; ``default`` where it was left to the modality and the model.
        final_norm: as_is, with or without.
        dtype: what the model computes in; what is stored is float32.
        max_tokens: longer texts are cut there; ``default`` is what the model can take.
    """

    model: str
    weights: str
    column: str
    modality: str
    content: str
    rows: int
    pooling: str
    final_norm: str
    dtype: str
    max_tokens: str

    def as_metadata(self) -> dict[str, str]:
        """The recipe as text alone, which a header of safetensors holds."""
        return {key: str(value) for key, value in dataclasses.asdict(self).items()}

    def differs_from(self, metadata: Mapping[str, str]) -> list[str]:
        """Where a file was made otherwise, each as ``name is A there, B now``."""
        return [
            f"{key} is {metadata.get(key, 'not given')} there, {value} now"
            for key, value in self.as_metadata().items()
            if metadata.get(key) != value
        ]


def digest_of_texts(texts: Iterable[str]) -> str:
    """The digest of texts in order, each with its length before it."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return f"sha256:{digest.hexdigest()}"


def digest_of_files(paths: Sequence[Path]) -> str:
    """The digest of the bytes of files in order, their names left out."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        _add(digest, path)
    return f"sha256:{digest.hexdigest()}"


def digest_of_model(folder: Path) -> str:
    """The digest of a model's weights and settings, by their places in its folder."""
    suffixes = (*_WEIGHTS, *_SETTINGS)
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.startswith("."):
            continue
        digest.update(json.dumps([name, path.stat().st_size]).encode())
        _add(digest, path)
    return f"sha256:{digest.hexdigest()}"


def _add(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
