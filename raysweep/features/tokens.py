"""Texts as tokens, never padded by the tokenizer: on which side it would is of no consequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.errors import InputError


@dataclass(frozen=True)
class Tokens:
    """The tokens of one text.

    Attributes:
        text: the text.
        ids: of the vocabulary.
        special: which tokens the tokenizer has added.
        ends: where in the text each token ends, in characters; empty where that is not known.
        cut: whether the text is longer than what the model takes.
    """

    text: str
    ids: tuple[int, ...]
    special: tuple[bool, ...]
    ends: tuple[int, ...]
    cut: bool


def tokens_of(tokenizer: Any, texts: Sequence[str], most: int | None, place: str) -> list[Tokens]:
    """The tokens of texts.

    Args:
        tokenizer: one of transformers.
        texts: one or more.
        most: how many tokens the model takes; None: any number.
        place: the column, for messages.

    Raises:
        InputError: a text has no token.
    """
    fast = bool(getattr(tokenizer, "is_fast", False))
    found = tokenizer(
        list(texts),
        add_special_tokens=True,
        truncation=most is not None,
        max_length=most,
        padding=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=fast,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    tokens = []
    for row, text in enumerate(texts):
        ids = tuple(found["input_ids"][row])
        if not ids:
            raise InputError(
                f"{place} in row {row}: {text!r} has no token, so that there is nothing to take "
                "features of; leave such rows out of the table"
            )
        ends = tuple(end for _, end in found["offset_mapping"][row]) if fast else ()
        special = tuple(bool(flag) for flag in found["special_tokens_mask"][row])
        cut = most is not None and len(ids) >= most and _is_cut(text, ends, special)
        tokens.append(Tokens(text, ids, special, ends, cut))
    return tokens


def _is_cut(text: str, ends: Sequence[int], special: Sequence[bool]) -> bool:
    last = max((end for end, added in zip(ends, special, strict=False) if not added), default=0)
    return bool(text[last:].strip())
