"""What all models have in common, as the loop over rows sees them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.features.recipe import Dtype, FinalNorm, Pooling


@dataclass(frozen=True)
class Manner:
    """How features are taken.

    Attributes:
        pooling: None leaves it to the modality: the mean over a text's tokens, an image's class
            token or, where there is none, the mean over its patches.
        final_norm: what the last layer is.
        dtype: what a model computes in.
        device: such as ``cpu`` or ``cuda``.
        batch_size: samples at once; of no consequence for the numbers.
        max_tokens: longer texts are cut; None: what the model can take.
    """

    pooling: Pooling | None = None
    final_norm: FinalNorm = FinalNorm.AS_IS
    dtype: Dtype = Dtype.FLOAT32
    device: str = "cpu"
    batch_size: int = 32
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: expected 1 or more")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"--max-tokens {self.max_tokens}: expected 1 or more")
        if self.dtype is not Dtype.FLOAT32 and self.device == "cpu":
            raise InputError(
                f"--dtype {self.dtype}: is for a GPU, and {self.device} is none; leave it at "
                "float32"
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch has it."""
        found: torch.dtype = getattr(torch, self.dtype.value)
        return found


@dataclass(frozen=True)
class Batch:
    """The features of some rows.

    Attributes:
        rows: which ones.
        layers: of each layer [b, d] float32, on the CPU.
    """

    rows: list[int]
    layers: list[Tensor]


class Encoder(Protocol):
    """A loaded model that takes one modality."""

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """The features of all items, in batches of rows in any order.

        Args:
            items: texts or files of images.
            place: the column, for messages.
        """
        ...

    def facts(self) -> dict[str, str]:
        """What was found, for the file's header; after the last batch."""
        ...
