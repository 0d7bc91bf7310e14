"""From the states of a sample's tokens to one vector."""

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.features.recipe import Pooling


def pooled_tokens(states: Tensor, lengths: Tensor, pooling: Pooling) -> Tensor:
    """Texts, padded on the right: [b, tokens, d] to float32 [b, d].

    Args:
        states: of one layer.
        lengths: int64 [b], how many tokens of a text are its own, at least 1.
        pooling: the mean over these, the last or the first of them.
    """
    if pooling is Pooling.CLASS:
        return states[:, 0].float()
    if pooling is Pooling.LAST:
        return states[torch.arange(len(states), device=states.device), lengths - 1].float()
    own = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    total = torch.where(own[..., None], states.float(), 0.0).sum(dim=1)
    return total / lengths[:, None]


def pooled_patches(states: Tensor, prefix: int, pooling: Pooling) -> Tensor:
    """Images: [b, prefix + patches, d] or [b, d, height, width] to float32 [b, d].

    Args:
        states: of one layer.
        prefix: how many tokens stand before the patches: a class token, registers.
        pooling: the mean over the patches, or the class token, which is the first of the prefix.
    """
    if states.ndim == 4:
        return states.float().mean(dim=(2, 3))
    if pooling is Pooling.CLASS:
        return states[:, 0].float()
    return states[:, prefix:].float().mean(dim=1)


def pooling_of_images(asked: Pooling | None, prefix: int, place: str) -> Pooling:
    """How images are pooled: by the class token where there is one, unless something is asked for.

    Raises:
        InputError: the model has no class token, or the last token is asked for.
    """
    if asked is Pooling.LAST:
        raise InputError(
            f"{place}: --pooling last is for texts; of an image the last token is a corner. Give "
            "class or mean"
        )
    if asked is Pooling.CLASS and not prefix:
        raise InputError(f"{place}: has no class token; give --pooling mean")
    return asked or (Pooling.CLASS if prefix else Pooling.MEAN)
