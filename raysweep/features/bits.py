"""Bits per byte: how well a causal language model predicts texts, whatever its tokens are.

A model whose tokenizer puts a token before the text (BOS) could be asked for the probability of
the first token, one without could not. So that models compare, the first token of a text is scored
by none, and its bytes are left out as well. Special tokens are not scored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.features.tokens import Tokens


@dataclass(frozen=True)
class TextBits:
    """What a model needs for one text.

    Attributes:
        bits: of all scored tokens together, given those before them.
        scored_bytes: of UTF-8, of the text after its first token; 0 where it has one token.
        all_bytes: of the text, up to where it was cut.
    """

    bits: float
    scored_bytes: int
    all_bytes: int


def text_bits(logits: Tensor, tokens: Tokens) -> TextBits:
    """The bits of one text.

    Args:
        logits: [tokens or more, vocabulary], position t predicts token t + 1.
        tokens: those of the text.
    """
    own = [place for place, special in enumerate(tokens.special) if not special]
    if not own:
        return TextBits(0.0, 0, 0)
    text = tokens.text
    end = tokens.ends[own[-1]]
    first_end = tokens.ends[own[0]]
    bits = 0.0
    if scored := own[1:]:
        places = torch.tensor(scored, device=logits.device)
        chosen = torch.tensor([tokens.ids[place] for place in scored], device=logits.device)
        losses = torch.nn.functional.cross_entropy(
            logits[places - 1].float(), chosen, reduction="none"
        )
        bits = float(losses.double().sum()) / math.log(2)
    return TextBits(bits, len(text[first_end:end].encode()), len(text[:end].encode()))


def summary(rows: Sequence[TextBits]) -> dict[str, str]:
    """What the header of a file says: means over texts, as the field has it, and the total.

    ``bits_per_byte`` is over scored bytes; ``bits_per_byte_all_bytes`` counts the first token's
    bytes, too, which were not scored: so it is done elsewhere, and it is too low.
    """
    scored = [row for row in rows if row.scored_bytes]
    if not scored:
        return {"bits_per_byte_texts": "0"}
    total = sum(row.bits for row in scored) / sum(row.scored_bytes for row in scored)
    return {
        "bits_per_byte": repr(float(np.mean([row.bits / row.scored_bytes for row in scored]))),
        "bits_per_byte_all_bytes": repr(
            float(np.mean([row.bits / row.all_bytes for row in scored]))
        ),
        "bits_per_byte_of_all_texts": repr(float(total)),
        "bits_per_byte_texts": str(len(scored)),
    }
