"""What is to be made of one model, and the making of it."""

import importlib.metadata
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from raysweep import __version__
from raysweep.errors import InputError
from raysweep.features.encoder import Encoder, Manner
from raysweep.features.opening import IMAGE, opened, weights_of
from raysweep.features.recipe import Recipe
from raysweep.features.source import Source
from raysweep.features.store import FeatureFile, metadata_of
from raysweep.text import counted, raised

_LIBRARIES = (
    *("torch", "torchvision", "transformers", "tokenizers", "sentence-transformers"),
    *("timm", "open-clip-torch", "pillow"),
)
_WIDER = {"float16": "; give --dtype bfloat16 or float32", "bfloat16": "; give --dtype float32"}


@dataclass(frozen=True)
class Column:
    """A column of the table, read.

    Attributes:
        name: of the column.
        modality: text or image.
        items: texts, or files of images.
        content: the digest of all of them.
    """

    name: str
    modality: str
    items: list[str] | list[Path]
    content: str


@dataclass(frozen=True)
class Job:
    """One file to be made: a model on a column.

    Attributes:
        source: of the model.
        column: what it is given.
        recipe: what the file says of itself.
        path: of the file.
    """

    source: Source
    column: Column
    recipe: Recipe
    path: Path

    def is_done(self) -> bool:
        """Whether the file is there, made by the same recipe.

        Raises:
            InputError: there is a file that was made otherwise.
        """
        if not self.path.exists():
            return False
        differences = self.recipe.differs_from(metadata_of(self.path))
        if differences:
            raise InputError(
                f"{self.path}: was made otherwise: {'; '.join(differences)}. Move it, or give "
                "another folder with --out"
            )
        return True


def planned(source: Source, column: Column, manner: Manner, folder: Path) -> Job:
    """The job of a model on a column."""
    if not re.fullmatch(r"[\w.@ -]+", column.name) or column.name.startswith("."):
        raise InputError(
            f"the column {column.name!r} gives its name to a file; rename it to letters, digits, _ "
            "and -"
        )
    recipe = Recipe(
        model=source.label if source.path is not None else source.given,
        weights=weights_of(source),
        column=column.name,
        modality=column.modality,
        content=column.content,
        rows=len(column.items),
        pooling=manner.pooling or "default",
        final_norm=manner.final_norm,
        dtype=manner.dtype,
        max_tokens=str(manner.max_tokens or "default") if column.modality != IMAGE else "none",
    )
    return Job(source, column, recipe, folder / f"{source.label}.{column.name}.safetensors")


def attempt(jobs: Sequence[Job], manner: Manner, tell: Callable[[str], None]) -> str:
    """Make the files of one model, and say why that failed; empty where it did not."""
    try:
        make(jobs, manner, tell)
    except InputError as error:
        return str(error)
    except Exception:  # memory, a disk, a model's own code: other models may do
        return f"{jobs[0].source.given}: {raised(traceback.format_exc())}"
    return ""


def make(jobs: Sequence[Job], manner: Manner, tell: Callable[[str], None]) -> None:
    """Make the files of one model, which is loaded once for each modality.

    Args:
        jobs: of the same model.
        manner: how.
        tell: given a line when something has got on.

    Raises:
        InputError: the model cannot be loaded, or cannot take an item.
    """
    encoders: dict[str, Encoder] = {}
    for job in jobs:
        modality = job.column.modality
        if modality not in encoders:
            encoders.clear()  # one of them in memory at a time
            encoders[modality] = opened(job.source, modality, manner)
        _make(job, encoders[modality], tell)


def _make(job: Job, encoder: Encoder, tell: Callable[[str], None]) -> None:
    rows, done, told = job.recipe.rows, 0, 0
    file: FeatureFile | None = None
    label = f"{job.source.label}, {job.column.name}"
    try:
        # TensorFloat-32 keeps 10 bits, and algorithms chosen by timing differ from run to run.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            for batch in encoder.batches(job.column.items, job.column.name):
                if file is None:
                    shapes = {
                        f"layer_{place:03d}": (rows, layer.shape[1])
                        for place, layer in enumerate(batch.layers)
                    }
                    file = FeatureFile(job.path, shapes, job.recipe.as_metadata())
                for stored, layer in zip(file.layers.values(), batch.layers, strict=True):
                    if not bool(torch.isfinite(layer).all()):
                        raise InputError(
                            f"{label}: features of row {batch.rows[0]} or one beside it are not "
                            f"finite in {job.recipe.dtype}{_WIDER.get(job.recipe.dtype, '')}"
                        )
                    stored[batch.rows] = layer.numpy()
                done += len(batch.rows)
                if done == rows or done - told >= rows / 10:
                    told = done
                    tell(f"{label}: {done} of {counted(rows, 'row')}")
        assert file is not None  # a table has rows
        file.finish({**encoder.facts(), "libraries": libraries()})
    finally:
        if file is not None:
            file.abandon()


def libraries() -> str:
    """The versions of what computes features, one a word."""
    found = [f"raysweep=={__version__}"]
    for name in _LIBRARIES:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return " ".join(found)
