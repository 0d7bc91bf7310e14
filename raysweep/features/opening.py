"""Which modalities a model takes, and the encoder that takes one of them."""

from raysweep.errors import InputError
from raysweep.features.encoder import Encoder, Manner
from raysweep.features.image_model import ImageModel
from raysweep.features.open_clip_model import OpenClipTexts, open_clip_images
from raysweep.features.own_module import OwnModule, own_weights
from raysweep.features.source import Source
from raysweep.features.text_model import TextModel
from raysweep.features.timm_model import MODEL_TYPE as TIMM
from raysweep.features.timm_model import timm_images

TEXT, IMAGE = "text", "image"
_TWO_TOWERS = {
    "clip": ("CLIPTextModel", "CLIPVisionModel"),
    "siglip": ("SiglipTextModel", "SiglipVisionModel"),
}
"""Models of two towers, each of which is a class of its own."""


def modalities_of(source: Source) -> tuple[str, ...]:
    """What a model takes: text, image or both.

    Raises:
        InputError: neither, as transformers describes it.
    """
    if source.code:
        return (IMAGE,)
    if "gguf_file" in source.place:
        return (TEXT,)
    if source.is_open_clip:
        return (TEXT, IMAGE)
    config = source.config
    if config.model_type == TIMM:
        return (IMAGE,)
    if config.model_type in _TWO_TOWERS:
        return (TEXT, IMAGE)
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        raise InputError(
            f"{source.given}: a model of text and images together ({config.model_type}); "
            "features are taken of models of one of them, and of CLIP and SigLIP"
        )
    if getattr(config, "vocab_size", None):
        return (TEXT,)
    if getattr(config, "num_channels", None):
        return (IMAGE,)
    raise InputError(
        f"{source.given}: {config.model_type} takes neither texts nor images, as far as its "
        "config.json says"
    )


def weights_of(source: Source) -> str:
    """What tells a model's weights from others."""
    return own_weights(source) if source.code else source.weights


def opened(source: Source, modality: str, manner: Manner) -> Encoder:
    """The encoder of one modality.

    Raises:
        InputError: it cannot be loaded, or not in this manner.
    """
    if source.code:
        return OwnModule(source, manner)
    if source.is_open_clip:
        return (OpenClipTexts if modality == TEXT else open_clip_images)(source, manner)
    if "gguf_file" not in source.place and source.config.model_type == TIMM:
        return timm_images(source, manner)
    towers = _TWO_TOWERS.get(source.config.model_type) if "gguf_file" not in source.place else None
    if modality == TEXT:
        return TextModel(source, towers[0] if towers else "", manner)
    return ImageModel(source, towers[1] if towers else "", manner)
