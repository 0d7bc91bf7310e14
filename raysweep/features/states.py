"""The states of all layers of a transformer, the last of them before or after the final norm.

Where the norm stands in ``hidden_states`` differs: the last entry is after it in Llama and GPT-2,
before it in ViT and CLIP, and BERT has none. No list of architectures is kept. The final norm is
the first one that runs after the last block and outside of all, which one pass tells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raysweep.errors import InputError
from raysweep.features.recipe import FinalNorm

AFTER = "after the final norm"
BEFORE = "before the final norm"
NONE = "no final norm"


@dataclass(frozen=True)
class _Norm:
    """The final norm, and whether the last state lies behind it."""

    module: nn.Module
    name: str
    passed: bool


class LayerStates:
    """A model as a function to the states of all of its layers.

    Args:
        model: takes ``output_hidden_states`` and gives ``hidden_states``.
        final_norm: what the last layer should be.
        place: the model's name, for messages.
    """

    def __init__(self, model: Callable[..., Any], final_norm: FinalNorm, place: str) -> None:
        self._model: Any = model
        self._wanted = final_norm
        self._place = place
        self._norm: _Norm | None = None
        self._looked = False

    @property
    def last_state(self) -> str:
        """What the last layer is; known after the first call."""
        if self._norm is None:
            return NONE
        return AFTER if self._after(self._norm) else BEFORE

    @property
    def norm_name(self) -> str:
        """The name of the final norm in the model, empty where there is none."""
        return self._norm.name if self._norm else ""

    def _after(self, norm: _Norm) -> bool:
        return norm.passed if self._wanted is FinalNorm.AS_IS else self._wanted is FinalNorm.WITH

    def __call__(self, inputs: Mapping[str, Tensor]) -> tuple[list[Tensor], Any]:
        """The states [b, tokens, d] of the embedding and of every block, and the model's output.

        Raises:
            InputError: the model gives no states, or has no final norm where one is asked for.
        """
        if not self._looked:
            self._norm = self._find(inputs)
            self._looked = True
            if self._norm is None and self._wanted is not FinalNorm.AS_IS:
                raise InputError(
                    f"{self._place}: has no norm after its last block, so that its last layer is "
                    f"neither with nor without one; give --final-norm as_is, not {self._wanted}"
                )
        norm = self._norm
        before: list[Tensor] = []
        handles = []
        if norm is not None and norm.passed and self._wanted is FinalNorm.WITHOUT:
            handles.append(norm.module.register_forward_pre_hook(lambda _, x: before.append(x[0])))
        try:
            output = self._run(inputs)
        finally:
            for handle in handles:
                handle.remove()
        states = list(output.hidden_states)
        if before:
            states[-1] = before[0]
        elif norm is not None and not norm.passed and self._wanted is FinalNorm.WITH:
            states[-1] = norm.module(states[-1])
        return states, output

    def _run(self, inputs: Mapping[str, Tensor]) -> Any:
        output = self._model(**inputs, output_hidden_states=True, return_dict=True)
        if getattr(output, "hidden_states", None) is None:
            raise InputError(
                f"{self._place}: {type(self._model).__name__} gives no hidden states of its layers"
            )
        return output

    def _find(self, inputs: Mapping[str, Tensor]) -> _Norm | None:
        """Run once, and see which norm follows the last block and what it is given."""
        inside = {
            part
            for blocks in self._model.modules()
            if isinstance(blocks, nn.ModuleList)
            for block in blocks
            for part in block.modules()
        }
        names = {module: name for name, module in self._model.named_modules()}
        ran: list[tuple[nn.Module, Tensor | None]] = []
        handles = []
        for module in names:
            if module in inside:
                handles.append(module.register_forward_hook(lambda m, x, y: ran.append((m, None))))
            elif "norm" in type(module).__name__.lower():
                handles.append(
                    module.register_forward_hook(lambda m, x, y: ran.append((m, x[0].clone())))
                )
        try:
            last = self._run(inputs).hidden_states[-1]
        finally:
            for handle in handles:
                handle.remove()
        after: list[tuple[nn.Module, Tensor]] = []
        for module, given in ran:
            after = [*after, (module, given)] if given is not None else []
        if not after or not any(given is None for _, given in ran):
            return None
        module, given = after[0]
        # CLIP's vision tower norms its class token alone: not the state, but what is read off it.
        partial = given.ndim != last.ndim
        return _Norm(module, names[module], not (partial or torch.equal(given, last)))
