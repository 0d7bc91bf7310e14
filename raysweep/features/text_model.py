"""Language models and text encoders of transformers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from raysweep.errors import InputError
from raysweep.features.bits import TextBits, summary, text_bits
from raysweep.features.encoder import Batch, Manner
from raysweep.features.pooling import pooled_tokens
from raysweep.features.recipe import Pooling
from raysweep.features.source import Source, transformers
from raysweep.features.states import LayerStates
from raysweep.features.tokens import Tokens, tokens_of

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_UNLIMITED = 10**9


class TextModel:
    """A model whose samples are texts.

    Texts are padded on the right and the padding is masked. So positions are the same in every
    batch: padded on the left GPT-2 and BERT would count the padding, and give other features.
    """

    def __init__(self, source: Source, tower: str, manner: Manner) -> None:
        library = transformers()
        config = source.config
        architecture = next(iter(getattr(config, "architectures", None) or ()), "")
        is_gguf = "gguf_file" in source.place
        self._causal = not tower and (is_gguf or architecture.endswith(_CAUSAL))
        automatic = "AutoModelForCausalLM" if self._causal else "AutoModel"
        self._model = source.loaded_model(getattr(library, tower or automatic), manner.torch_dtype)
        self._model.to(manner.device)
        self._tokenizer = source.loaded(library.AutoTokenizer, "tokenizer")
        self._manner, self._source = manner, source
        self._states = LayerStates(self._model, manner.final_norm, source.given)
        self._pooling = manner.pooling or Pooling.MEAN
        self._most = self._longest()
        self._bits: dict[int, TextBits] = {}
        self._cut = 0
        if self._pooling is Pooling.CLASS and not getattr(self._tokenizer, "cls_token", None):
            raise InputError(f"{source.given}: has no class token; give --pooling mean or last")
        self._scores = self._causal and bool(getattr(self._tokenizer, "is_fast", False))

    def _longest(self) -> int | None:
        """How many tokens the model takes; None: it has no limit."""
        config = self._model.config.get_text_config()
        limits = [self._source.sentence_limit, getattr(config, "max_position_embeddings", None)]
        limits.append(getattr(config, "n_positions", None))
        limits.append(getattr(self._tokenizer, "model_max_length", None))
        for module in self._model.modules():
            # RoBERTa counts positions from behind that of the padding.
            table = getattr(module, "position_embeddings", None)
            if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
                limits.append(table.num_embeddings - table.padding_idx - 1)
        known = [int(limit) for limit in limits if limit is not None and 0 < limit < _UNLIMITED]
        longest = min(known, default=None)
        asked = self._manner.max_tokens
        if asked is not None and longest is not None and asked > longest:
            raise InputError(f"--max-tokens {asked}: {self._source.given} takes {longest} at most")
        return asked or longest

    def batches(self, items: Sequence[str] | Sequence[Path], place: str) -> Iterator[Batch]:
        """See `Encoder.batches`; the longest texts come first, so that memory fails at once."""
        texts = [str(item) for item in items]
        tokens = tokens_of(self._tokenizer, texts, self._most, place)
        self._bits, self._cut = {}, sum(text.cut for text in tokens)
        order = sorted(range(len(tokens)), key=lambda row: (-len(tokens[row].ids), row))
        size = self._manner.batch_size
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield Batch(rows, self._layers(rows, [tokens[row] for row in rows]))

    @torch.inference_mode()
    def _layers(self, rows: Sequence[int], texts: Sequence[Tokens]) -> list[torch.Tensor]:
        device = self._manner.device
        lengths = torch.tensor([len(text.ids) for text in texts])
        longest = int(lengths.max())
        pad = getattr(self._tokenizer, "pad_token_id", None) or 0
        ids = torch.full((len(texts), longest), pad)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = torch.tensor(text.ids)
        mask = (torch.arange(longest) < lengths[:, None]).long()
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        states, output = self._states(inputs)
        if self._scores:
            for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
                self._bits[row] = text_bits(output.logits[place], text)
        on_device = lengths.to(device)
        return [pooled_tokens(state, on_device, self._pooling).cpu() for state in states]

    def facts(self) -> dict[str, str]:
        """See `Encoder.facts`."""
        tokenizer: Any = self._tokenizer
        found = {
            "architecture": type(self._model).__name__,
            "pooled": f"{self._pooling} of tokens",
            "first_layer": "embedding",
            "last_layer": self._states.last_state,
            "final_norm_module": self._states.norm_name,
            "tokenizer": type(tokenizer).__name__,
            "longest_text": str(self._most or "no limit"),
            "texts_cut": str(self._cut),
        }
        if self._scores:
            found |= summary([self._bits[row] for row in sorted(self._bits)])
        return found
