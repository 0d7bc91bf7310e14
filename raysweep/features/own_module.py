"""A vision model of the user's own code: any module of torch, by the dotted path of a function."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raysweep.errors import InputError
from raysweep.features.encoder import Batch, Manner
from raysweep.features.images import opened_image
from raysweep.features.pooling import pooled_patches
from raysweep.features.recipe import FinalNorm, Pooling
from raysweep.features.source import Source
from raysweep.plugins.user_code import imported, make_importable, said

_FORM = "expected a pair: a torch.nn.Module, and a function from an image of Pillow to a tensor"


class OwnModule:
    """A module that takes a batch of prepared images, and gives the features of its layers.

    Its output is one tensor or several, a layer each: [b, d] as it is, [b, d, height, width] and
    [b, tokens, d] as means over places.
    """

    def __init__(self, source: Source, manner: Manner) -> None:
        if manner.pooling not in (None, Pooling.MEAN) or manner.final_norm is not FinalNorm.AS_IS:
            raise InputError(
                f"{source.given}: --pooling {manner.pooling or 'mean'} and --final-norm "
                f"{manner.final_norm}: code of your own pools and norms by itself; leave them out"
            )
        module, self._prepare = _made(source)
        self._module = module.to(manner.device, manner.torch_dtype).eval()
        self._source, self._manner = source, manner

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """See `Encoder.batches`."""
        size = self._manner.batch_size
        for start in range(0, len(items), size):
            rows = list(range(start, min(start + size, len(items))))
            images = [opened_image(Path(items[row]), place, row) for row in rows]
            yield Batch(rows, self._layers(images))

    @torch.inference_mode()
    def _layers(self, images: Sequence[Any]) -> list[Tensor]:
        try:
            pixels = torch.stack([self._prepare(image) for image in images])
            output = self._module(pixels.to(self._manner.device, self._manner.torch_dtype))
        except Exception as error:
            raise InputError(f"{self._source.given}: {said(error, self._source.code)}") from error
        layers = [output] if isinstance(output, Tensor) else list(output)
        for layer in layers:
            if not isinstance(layer, Tensor) or not 2 <= layer.ndim <= 4:
                found = list(layer.shape) if isinstance(layer, Tensor) else type(layer).__name__
                raise InputError(
                    f"{self._source.given}: a layer is {found}, expected a tensor [b, d], "
                    "[b, d, height, width] or [b, tokens, d]"
                )
        return [
            layer.float().cpu() if layer.ndim == 2 else pooled_patches(layer, 0, Pooling.MEAN).cpu()
            for layer in layers
        ]

    def facts(self) -> dict[str, str]:
        """See `Encoder.facts`."""
        return {
            "architecture": type(self._module).__name__,
            "pooled": "mean over places where there are any",
            "first_layer": "as the module gives it",
            "last_layer": "as the module gives it",
        }


def own_weights(source: Source) -> str:
    """The digest of all numbers of a user's module, and of their names."""
    module, _ = _made(source)
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return f"sha256:{digest.hexdigest()}"


def _made(source: Source) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """What the user's function returns.

    Raises:
        InputError: it cannot be imported, raises, or returns something else.
    """
    make_importable([str(source.folder)])
    function = imported(source.code, f"model {source.given}")
    try:
        made = function()
    except Exception as error:
        raise InputError(f"{source.given}: {said(error, source.code)}") from error
    if (
        not isinstance(made, tuple)
        or len(made) != 2
        or not isinstance(made[0], nn.Module)
        or not callable(made[1])
    ):
        raise InputError(f"{source.given}: returned {type(made).__name__}; {_FORM}")
    return made
