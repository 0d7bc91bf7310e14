"""Models of a few thousand random weights, saved as the folders that users have."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

WORDS = ("a", "red", "green", "dog", "cat", "house", "runs", "sleeps", "é", "on", "the", "snow")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "</s>")
VOCABULARY = len(_SPECIAL) + len(WORDS) + 2  # and padding that no text has
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {**SHAPE, "intermediate_size": 32}
WORDED = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 4, "eos_token_id": 5}
SEEN = {"image_size": 32, "patch_size": 8}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2}
CLIP_TEXT = {**WIDE, "vocab_size": VOCABULARY, "eos_token_id": 5, "bos_token_id": 4}

CAUSAL: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {**WIDE, "num_key_value_heads": 2}),
    "gpt2": ("GPT2LMHeadModel", GPT),
    "bloom": ("BloomForCausalLM", {"hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "opt": (
        "OPTForCausalLM",
        {**SHAPE, "ffn_dim": 32, "word_embed_proj_dim": 8},
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", WIDE),
    "mpt": ("MptForCausalLM", {"d_model": 16, "n_heads": 2, "n_layers": 2}),
    "falcon": ("FalconForCausalLM", SHAPE),
}
ENCODERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertModel", WIDE),
    "roberta": ("RobertaModel", {**WIDE, "max_position_embeddings": 34}),
    "modernbert": ("ModernBertModel", {**WIDE, "cls_token_id": 2, "sep_token_id": 3}),
    "clip_text": ("CLIPTextModel", CLIP_TEXT),
}
VISION: Mapping[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTModel", {**WIDE, **SEEN}),
    "mae": ("ViTMAEModel", {**WIDE, **SEEN}),
    "dinov2": ("Dinov2Model", {**SHAPE, **SEEN}),
    "dinov2_registers": (
        "Dinov2WithRegistersModel",
        {**SHAPE, **SEEN, "num_register_tokens": 4},
    ),
    "dinov3": ("DINOv3ViTModel", {**WIDE, **SEEN, "num_register_tokens": 4}),
    "siglip": ("SiglipVisionModel", {**WIDE, **SEEN}),
    "clip": ("CLIPVisionModel", {**WIDE, **SEEN}),
}


def save_text_model(folder: Path, name: str, bos: bool = False, side: str = "right") -> Path:
    """A model of `CAUSAL` or `ENCODERS` with a tokenizer of whole words."""
    cls, options = {**CAUSAL, **ENCODERS}[name]
    _saved(folder, cls, {**WORDED, **options})
    return save_tokenizer(folder, "bert" if name in ENCODERS else "bos" if bos else "", side)


def save_vision_model(folder: Path, name: str) -> Path:
    """A model of `VISION` with an image processor that resizes to its size."""
    _saved(folder, *VISION[name])
    return save_processor(folder)


def save_processor(folder: Path) -> Path:
    """An image processor beside a model."""
    import transformers

    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, kind: str, side: str = "right") -> Path:
    """A tokenizer of whole words beside a model.

    Args:
        folder: of the model.
        kind: ``bert`` puts a class token before a text and one after it, ``bos`` one before it,
            an empty text none.
        side: on which it would pad.
    """
    import tokenizers
    import transformers

    vocabulary = {word: place for place, word in enumerate((*_SPECIAL, *WORDS))}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    single = {"bert": "[CLS] $A [SEP]", "bos": "<s> $A", "": "$A"}[kind]
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single=single,
        special_tokens=[(word, vocabulary[word]) for word in _SPECIAL[2:5]],
    )
    named = {"cls_token": "[CLS]", "sep_token": "[SEP]"} if kind == "bert" else {}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        padding_side=side,
        unk_token="[UNK]",
        model_max_length=32,
        # As GPT-2's, one of no kind has no token for padding.
        **({"pad_token": "[PAD]"} if kind else {}),
        **named,
    ).save_pretrained(folder)
    return folder


def _saved(folder: Path, cls: str, options: Mapping[str, Any]) -> None:
    import transformers

    torch.manual_seed(0)
    made: Callable[..., Any] = getattr(transformers, cls)
    model = made(made.config_class(**options))  # type: ignore[attr-defined]
    # Biases and norms start at 0 and 1, which would hide one that is forgotten.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)


def save_images(folder: Path, count: int) -> list[str]:
    """The names of images of noise, of different sizes."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        pixels = rng.integers(0, 256, (40 + number, 36, 3), dtype=np.uint8)
        names.append(f"image_{number}.png")
        Image.fromarray(pixels).save(folder / names[-1])
    return names


def texts(count: int) -> list[str]:
    """Texts of 1 to 9 known words."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=1 + row % 9)) for row in range(count)]
