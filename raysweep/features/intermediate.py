"""Vision models that give the states of their blocks by themselves: those of timm and open_clip."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raysweep.errors import InputError
from raysweep.features.encoder import Batch, Manner
from raysweep.features.images import opened_image
from raysweep.features.pooling import pooled_patches, pooling_of_images
from raysweep.features.recipe import FinalNorm, Pooling
from raysweep.features.states import AFTER, BEFORE, NONE


def with_torchvision(name: str, package: str) -> Any:
    """A library that imports torchvision.

    Args:
        name: of the module.
        package: what is installed.

    Raises:
        InputError: it is missing, or its torchvision was built for another torch.
    """
    try:
        return importlib.import_module(name)
    # torchvision raises a RuntimeError for operators that another build of torch does not have.
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"models of {name} need {package} and a torchvision for this torch ({error}); install "
            "them with: pip install 'raysweep[timm]'"
        ) from error


@dataclass(frozen=True)
class Blocks:
    """What the blocks of a vision model give.

    Attributes:
        states: of each block [b, prefix + patches, d], or a map [b, d, height, width].
        prefix: how many tokens stand before the patches.
    """

    states: list[Tensor]
    prefix: int


class IntermediateImages:
    """A vision model whose samples are images, each prepared as the model's own settings say.

    The first layer is the first block: the embedding before it is not given.

    Args:
        module: the model.
        prepare: from an image of Pillow to a tensor [channels, height, width].
        blocks: what the blocks give of pixels [b, channels, height, width], each behind the final
            norm or none of them.
        has_class: whether the first token before the patches is a class token, and no register.
        given: the model's name, for messages.
        manner: how features are taken.
    """

    def __init__(
        self,
        module: nn.Module,
        prepare: Callable[[Any], Tensor],
        blocks: Callable[[Tensor, bool], Blocks],
        has_class: bool,
        given: str,
        manner: Manner,
    ) -> None:
        self._module, self._prepare, self._blocks = module, prepare, blocks
        self._has_class, self._given, self._manner = has_class, given, manner
        self._pooling: Pooling | None = None
        self._prefix = 0
        self._has_norm = False

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """See `Encoder.batches`."""
        size = self._manner.batch_size
        for start in range(0, len(items), size):
            rows = list(range(start, min(start + size, len(items))))
            images = [opened_image(Path(items[row]), place, row) for row in rows]
            yield Batch(rows, self._layers(torch.stack([self._prepare(one) for one in images])))

    @torch.inference_mode()
    def _layers(self, pixels: Tensor) -> list[Tensor]:
        pixels = pixels.to(self._manner.device, self._manner.torch_dtype)
        found = self._blocks(pixels, False)
        if self._pooling is None:
            self._look(found, pixels)
        assert self._pooling is not None
        states = found.states
        if self._manner.final_norm is FinalNorm.WITH:
            states = [*states[:-1], self._blocks(pixels, True).states[-1]]
        return [pooled_patches(state, found.prefix, self._pooling).cpu() for state in states]

    def _look(self, found: Blocks, pixels: Tensor) -> None:
        """What only the states tell: whether there is a class token, and a final norm."""
        self._prefix = found.prefix
        self._pooling = pooling_of_images(
            self._manner.pooling, found.prefix if self._has_class else 0, self._given
        )
        normed = self._blocks(pixels, True).states[-1]
        self._has_norm = not torch.equal(normed, found.states[-1])
        if not self._has_norm and self._manner.final_norm is not FinalNorm.AS_IS:
            raise InputError(
                f"{self._given}: has no norm after its last block, so that its last layer is "
                f"neither with nor without one; give --final-norm as_is, not "
                f"{self._manner.final_norm}"
            )

    def facts(self) -> dict[str, str]:
        """See `Encoder.facts`."""
        after = AFTER if self._manner.final_norm is FinalNorm.WITH else BEFORE
        return {
            "architecture": type(self._module).__name__,
            "pooled": "class token" if self._pooling is Pooling.CLASS else "mean of patches",
            "prefix_tokens": str(self._prefix),
            "first_layer": "first block",
            "last_layer": after if self._has_norm else NONE,
        }
