"""Vision models of transformers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from raysweep.errors import InputError
from raysweep.features.encoder import Batch, Manner
from raysweep.features.images import opened_image
from raysweep.features.pooling import pooled_patches, pooling_of_images
from raysweep.features.recipe import Pooling
from raysweep.features.source import Source, transformers
from raysweep.features.states import LayerStates


class ImageModel:
    """A model whose samples are images, each read once.

    How many tokens stand before the patches (a class token, registers) is counted: all tokens less
    the patches that the image has.
    """

    def __init__(self, source: Source, tower: str, manner: Manner) -> None:
        library = transformers()
        self._model = source.loaded_model(
            getattr(library, tower or "AutoModel"), manner.torch_dtype
        ).to(manner.device)
        # Pillow's resampling is at hand everywhere; torchvision's gives slightly other pixels.
        self._processor = source.loaded(
            library.AutoImageProcessor, "image processor", backend="pil"
        )
        config = self._model.config
        self._masks = hasattr(config, "mask_ratio")
        if self._masks:
            config.mask_ratio = 0.0
        self._patch = getattr(config, "patch_size", None)
        self._manner, self._source = manner, source
        self._states = LayerStates(self._model, manner.final_norm, source.given)
        self._prefix: int | None = None
        self._pooling = Pooling.MEAN

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """See `Encoder.batches`."""
        size = self._manner.batch_size
        for start in range(0, len(items), size):
            rows = list(range(start, min(start + size, len(items))))
            images = [opened_image(Path(items[row]), place, row) for row in rows]
            pixels = self._processor(images=images, return_tensors="pt")["pixel_values"]
            yield Batch(rows, self._layers(pixels))

    @torch.inference_mode()
    def _layers(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        inputs = {"pixel_values": pixels.to(self._manner.device, self._manner.torch_dtype)}
        if self._masks:
            # Masked autoencoders shuffle patches by this noise, and would at random: leave them.
            count = self._patches(pixels)
            order = torch.arange(count, dtype=torch.float32, device=self._manner.device)
            inputs["noise"] = order.expand(len(pixels), -1)
        states, _ = self._states(inputs)
        if self._prefix is None:
            self._prefix = self._counted_prefix(states[0], pixels)
            self._pooling = pooling_of_images(
                self._manner.pooling, self._prefix, self._source.given
            )
        return [pooled_patches(state, self._prefix, self._pooling).cpu() for state in states]

    def _patches(self, pixels: torch.Tensor) -> int:
        sides: Any = self._patch
        height, width = sides if isinstance(sides, list | tuple) else (sides, sides)
        return (pixels.shape[-2] // height) * (pixels.shape[-1] // width)

    def _counted_prefix(self, first: torch.Tensor, pixels: torch.Tensor) -> int:
        if first.ndim == 4:
            return 0
        if self._patch is None:
            raise InputError(
                f"{self._source.given}: {type(self._model).__name__} says no patch_size, so that "
                "its patches cannot be told from other tokens; it is not supported"
            )
        prefix = first.shape[1] - self._patches(pixels)
        if prefix < 0:
            raise InputError(
                f"{self._source.given}: has {first.shape[1]} tokens for {self._patches(pixels)} "
                "patches; it is not supported"
            )
        return prefix

    def facts(self) -> dict[str, str]:
        """See `Encoder.facts`."""
        patches = "patches" if self._pooling is Pooling.MEAN else "token"
        return {
            "architecture": type(self._model).__name__,
            "pooled": f"mean of {patches}" if patches == "patches" else "class token",
            "prefix_tokens": str(self._prefix or 0),
            "first_layer": "embedding",
            "last_layer": self._states.last_state,
            "final_norm_module": self._states.norm_name,
            "image_processor": type(self._processor).__name__,
        }
