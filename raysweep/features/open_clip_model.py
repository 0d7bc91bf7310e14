"""Both towers of a model of open_clip: a folder with an ``open_clip_config.json``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.features.encoder import Batch, Manner
from raysweep.features.intermediate import Blocks, IntermediateImages, with_torchvision
from raysweep.features.pooling import pooled_tokens
from raysweep.features.recipe import FinalNorm, Pooling
from raysweep.features.source import Source
from raysweep.features.states import AFTER, BEFORE


def open_clip_images(source: Source, manner: Manner) -> IntermediateImages:
    """The encoder of images.

    Raises:
        InputError: open_clip is missing, or cannot read the folder.
    """
    model, prepare = _loaded(source, manner)
    visual = model.visual
    inner = getattr(visual, "trunk", visual)
    tokens = ("class_embedding", "cls_token")

    def blocks(pixels: Tensor, norm: bool) -> Blocks:
        found = model.forward_intermediates(
            image=pixels,
            intermediates_only=True,
            normalize_intermediates=norm,
            image_output_fmt="NLC",
            image_output_extra_tokens=True,
        )
        patches = found["image_intermediates"]
        prefixes = found.get("image_intermediates_prefix")
        if prefixes is None:
            return Blocks(patches, 0)
        states = [torch.cat(pair, dim=1) for pair in zip(prefixes, patches, strict=True)]
        return Blocks(states, prefixes[0].shape[1])

    has_class = any(getattr(inner, name, None) is not None for name in tokens)
    return IntermediateImages(visual, prepare, blocks, has_class, source.given, manner)


class OpenClipTexts:
    """The encoder of texts, which all are padded to the length that the model was trained with.

    The first layer is the first block: the embedding before it is not given.

    Raises:
        InputError: open_clip is missing, cannot read the folder, or the manner asks for what such
            a model has not.
    """

    def __init__(self, source: Source, manner: Manner) -> None:
        if manner.pooling is Pooling.CLASS:
            raise InputError(f"{source.given}: has no class token; give --pooling mean or last")
        self._model, _ = _loaded(source, manner)
        self._tokenizer = with_torchvision("open_clip", "open_clip_torch").get_tokenizer(
            _name(source)
        )
        self._longest = int(self._model.context_length)
        if manner.max_tokens not in (None, self._longest):
            raise InputError(
                f"--max-tokens {manner.max_tokens}: {source.given} takes {self._longest}, which "
                "all texts are padded to; leave it out"
            )
        self._source, self._manner = source, manner
        self._pooling = manner.pooling or Pooling.MEAN
        self._cut = 0

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """See `Encoder.batches`."""
        size = self._manner.batch_size
        self._cut = 0
        for start in range(0, len(items), size):
            rows = list(range(start, min(start + size, len(items))))
            yield Batch(rows, self._layers([str(items[row]) for row in rows]))

    @torch.inference_mode()
    def _layers(self, texts: list[str]) -> list[Tensor]:
        ids = self._tokenizer(texts).to(self._manner.device)
        wanted = torch.tensor([self._tokens(text) for text in texts])
        self._cut += int((wanted > self._longest).sum())
        lengths = wanted.clamp(max=self._longest).to(self._manner.device)
        states = self._states(ids, norm=False)
        if self._manner.final_norm is FinalNorm.WITH:
            states = [*states[:-1], self._states(ids, norm=True)[-1]]
        return [pooled_tokens(state, lengths, self._pooling).cpu() for state in states]

    def _states(self, ids: Tensor, norm: bool) -> list[Tensor]:
        """Of each block [b, tokens, d], all behind the final norm or none."""
        found: list[Tensor] = self._model.forward_intermediates(
            text=ids, intermediates_only=True, normalize_intermediates=norm
        )["text_intermediates"]
        return found

    def _tokens(self, text: str) -> int:
        """How many tokens a text has, those around it included, before it is cut."""
        tokenizer = self._tokenizer
        if hasattr(tokenizer, "clean_fn") and hasattr(tokenizer, "tokenizer"):
            return len(tokenizer.tokenizer(tokenizer.clean_fn(text))["input_ids"])
        return len(tokenizer.encode(text)) + 2

    def facts(self) -> dict[str, str]:
        """See `Encoder.facts`."""
        return {
            "architecture": type(getattr(self._model, "text", self._model)).__name__,
            "pooled": f"{self._pooling} of tokens",
            "first_layer": "first block",
            "last_layer": AFTER if self._manner.final_norm is FinalNorm.WITH else BEFORE,
            "tokenizer": type(self._tokenizer).__name__,
            "longest_text": str(self._longest),
            "texts_cut": str(self._cut),
        }


def _loaded(source: Source, manner: Manner) -> tuple[Any, Any]:
    """The model with all of its weights, and how it prepares an image."""
    library = with_torchvision("open_clip", "open_clip_torch")
    try:
        model, prepare = library.create_model_from_pretrained(
            _name(source), device="cpu", precision="fp32"
        )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        words = " ".join(str(error).split())[:300]
        raise InputError(f"{source.given}: open_clip cannot load it ({words})") from error
    return model.to(manner.device, manner.torch_dtype).eval(), prepare


def _name(source: Source) -> str:
    return f"local-dir:{source.path}"
