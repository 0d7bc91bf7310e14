"""Vision models of timm: a folder that timm saved, or a name on the hub."""

import inspect
from typing import Any

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.features.encoder import Manner
from raysweep.features.intermediate import Blocks, IntermediateImages, with_torchvision
from raysweep.features.source import Source

MODEL_TYPE = "timm_wrapper"
"""What transformers takes the settings of such a model for."""


def timm_images(source: Source, manner: Manner) -> IntermediateImages:
    """The encoder of such a model.

    Raises:
        InputError: timm is missing, its files cannot be read, or it gives no states.
    """
    timm = with_torchvision("timm", "timm")
    try:
        module = timm.create_model(_name(source), pretrained=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        words = " ".join(str(error).split())[:300]
        raise InputError(f"{source.given}: timm cannot load it ({words})") from error
    if not hasattr(module, "forward_intermediates"):
        raise InputError(
            f"{source.given}: {type(module).__name__} gives no states of its blocks in timm "
            f"{timm.__version__}; a model of your own code can, by package.module:function"
        )
    module = module.to(manner.device, manner.torch_dtype).eval()
    settings = timm.data.resolve_model_data_config(module)
    has_tokens = (
        "return_prefix_tokens" in inspect.signature(module.forward_intermediates).parameters
    )

    def blocks(pixels: Tensor, norm: bool) -> Blocks:
        options: dict[str, Any] = {"intermediates_only": True, "norm": norm}
        if has_tokens:
            options |= {"return_prefix_tokens": True, "output_fmt": "NLC"}
        return with_prefix(module.forward_intermediates(pixels, **options))

    return IntermediateImages(
        module,
        timm.data.create_transform(**settings, is_training=False),
        blocks,
        getattr(module, "cls_token", None) is not None,
        source.given,
        manner,
    )


def with_prefix(found: list[Any]) -> Blocks:
    """States as timm gives them: pairs of patches and what stands before, or patches alone."""
    if isinstance(found[0], Tensor):
        return Blocks(found, 0)
    states = [torch.cat([prefix, patches], dim=1) for patches, prefix in found]
    return Blocks(states, found[0][1].shape[1])


def _name(source: Source) -> str:
    if source.path is not None:
        return f"local-dir:{source.path}"
    return f"hf-hub:{source.repository}@{source.revision}"
