"""The alignment loss of a trial of the user's own, by its arm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from raysweep.errors import InputError
from raysweep.losses import OverPairs, build_loss
from raysweep.losses.over_pairs import modality_pairs
from raysweep.metrics.groups import group_numbers
from raysweep.seeds import derive_seed
from raysweep.trials.trial import Arm

_TRIED_WIDTHS = (8, 16)
_HALVES = (torch.float16, torch.bfloat16)


class _Given(torch.autograd.Function):
    """A value whose gradients are known: closed forms have no graph to go back through."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, inputs: int, *tensors: Tensor) -> Tensor:
        """The value; of the tensors the first are what it depends on, the others its gradients."""
        ctx.save_for_backward(*tensors[inputs:])
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients, times what comes from above."""
        gradients = ctx.saved_tensors
        return (
            None,
            None,
            *(g * upstream.to(g.dtype) for g in gradients),
            *(None,) * len(gradients),
        )


class Penalty:
    """What is added to the task loss.

    Args:
        loss: name or dotted path.
        options: of the loss, fixed and searched.
        arm: ``none`` adds an exact zero, ``placebo`` the loss of shuffled pairs.
        strength: weight of the loss.
        seeds: what the shuffled pairs and the loss's own parameters are drawn from.
        all_negatives: whether rows of one group are negatives of each other.

    Attributes:
        steps: calls so far, those without gradients left out.
        unforced: those of them in which nothing was forced: the loss was undefined on the batch, or
            had no gradient.
        nonfinite: the first of them, from 0, whose value was infinite; -1 if none.
    """

    def __init__(
        self,
        loss: str,
        options: dict[str, Any],
        arm: Arm,
        strength: float,
        seeds: Sequence[int],
        all_negatives: bool = False,
    ) -> None:
        self._name, self._options = loss, options
        self._arm, self._strength, self._seeds = arm, strength, tuple(seeds)
        self._all_negatives = all_negatives
        self._loss: OverPairs | None = None
        self._own: torch.nn.Parameter | None = None
        self._stored: Tensor | None = None
        self.steps = self.unforced = 0
        self.nonfinite = -1

    def __call__(self, *hs: Tensor, groups: object = None) -> Tensor:
        """The penalty of a batch: one number, in the dtype of the representations.

        Args:
            hs: for each modality [b, d], row i of all the same sample.
            groups: [b], equal for rows that belong together; None where every row stands alone.
        """
        _check(hs)
        of = None if groups is None else group_numbers(groups, len(hs[0]), "trial.penalty")
        counts = torch.is_grad_enabled()
        step, self.steps = self.steps, self.steps + counts
        if self._arm is Arm.NONE:
            self.unforced += counts
            return _zero(hs)
        own = self._parameters_for([h.shape[1] for h in hs], hs[0].device)
        orders = self._orders(len(hs), len(hs[0]), step, of)
        if orders is None:
            self.unforced += counts
            return _zero(hs)
        with torch.no_grad(), torch.autocast(hs[0].device.type, enabled=False):
            value, gradients, by_own = self._evaluated(hs, orders, own, of)
        if torch.isnan(value) or not any(bool(g.any()) for g in gradients):
            self.unforced += counts
        elif torch.isinf(value) and counts and self.nonfinite < 0:
            self.nonfinite = step
        if torch.isnan(value):
            value = torch.zeros_like(value)
        inputs = [*hs, *([own] if own is not None else [])]
        found = [*gradients, *([by_own] if own is not None else [])]
        penalty: Tensor = _Given.apply(value, len(inputs), *inputs, *found)
        return penalty

    def parameters(self, *widths: int) -> list[torch.nn.Parameter]:
        """What the loss itself learns: a temperature, projections.

        Args:
            widths: features of each modality, where the loss has projections that hang on them.
        """
        if self._own is None:
            if not widths:
                widths = (_TRIED_WIDTHS[0],) * 2
                if self._count(widths) != self._count((_TRIED_WIDTHS[1],) * 2):
                    raise InputError(
                        f"trial.parameters(): loss {self._name} learns projections; give the "
                        "widths of the representations, such as trial.parameters(64, 64)"
                    )
            self._make(widths, torch.device("cpu"))
        return [self._own] if self._own is not None else []

    def to(self, device: str) -> None:
        """Move what the loss learns, before an optimizer has it."""
        if self._own is not None:
            self._own.data = self._own.data.to(device)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        own = self._stored if self._own is None else self._own.detach().cpu()
        return {
            "steps": self.steps,
            "unforced": self.unforced,
            "nonfinite": self.nonfinite,
            "own": own,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint has kept."""
        self.steps, self.unforced = state["steps"], state["unforced"]
        self.nonfinite, self._stored = state["nonfinite"], state["own"]
        if self._own is not None and self._stored is not None:
            self._own.data.copy_(self._stored)

    def _built(self) -> OverPairs:
        if self._loss is None:
            self._loss = OverPairs(build_loss(self._name, self._options))
        return self._loss

    def _count(self, widths: Sequence[int]) -> int:
        return sum(self._built().parameter_counts(widths))

    def _make(self, widths: Sequence[int], device: torch.device) -> None:
        count = self._count(widths)
        if not count:
            return
        generators = [
            torch.Generator().manual_seed(derive_seed("loss", *self._seeds, a, b))
            for a, b in modality_pairs(len(widths))
        ]
        initial = self._built().initial_parameters(widths, generators)
        own = initial.to(torch.get_default_dtype()) if self._stored is None else self._stored
        self._own = torch.nn.Parameter(own.clone().to(device))

    def _parameters_for(
        self, widths: Sequence[int], device: torch.device
    ) -> torch.nn.Parameter | None:
        count = self._count(widths)
        there = 0 if self._own is None else self._own.numel()
        if count and not there:
            raise InputError(
                f"trial.penalty: loss {self._name} learns {count} numbers of its own; hand "
                f"trial.parameters({', '.join(map(str, widths))}) to your optimizer"
            )
        if count != there:
            raise InputError(
                f"trial.penalty: representations of {', '.join(map(str, widths))} features, for "
                f"which loss {self._name} learns {count} numbers, and trial.parameters() gave "
                f"{there}; ask for trial.parameters({', '.join(map(str, widths))})"
            )
        if self._own is not None and self._own.device != device:
            raise InputError(
                f"trial.penalty: the representations are on {device}, and what the loss learns on "
                f"{self._own.device}; train on trial.device"
            )
        return self._own

    def _orders(
        self, modalities: int, rows: int, step: int, groups: np.ndarray | None
    ) -> list[Tensor | None] | None:
        """Which rows each modality takes; None where no pairs can be shuffled apart.

        Every modality is shifted along one random circle, so that no two rows of a sample meet.
        Where rows are in groups, these lie on it one after another, and the shifts are as far as
        can be, so that no row meets one of its group as long as none has a larger share of them.
        """
        if self._arm is not Arm.PLACEBO:
            return [None] * modalities
        if rows < modalities or (groups is not None and not (groups != groups[0]).any()):
            return None
        draw = np.random.default_rng(derive_seed("placebo", *self._seeds, step))
        circle = draw.permutation(rows)
        shifts = list(range(1, modalities))
        if groups is not None:
            _, first, of = np.unique(groups[circle], return_index=True, return_inverse=True)
            circle = circle[np.argsort(first[of], kind="stable")]
            shifts = [k * rows // modalities for k in shifts]
        orders: list[Tensor | None] = [None]
        for shift in shifts:
            order = np.empty(rows, dtype=np.int64)
            order[circle] = np.roll(circle, -shift)
            orders.append(torch.from_numpy(order))
        return orders

    def _evaluated(
        self,
        hs: Sequence[Tensor],
        orders: Sequence[Tensor | None],
        own: Tensor | None,
        groups: np.ndarray | None,
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Value and gradients, times the strength."""
        kind = torch.float32 if hs[0].dtype in _HALVES else hs[0].dtype
        orders = [order if order is None else order.to(hs[0].device) for order in orders]
        seen = [h if o is None else h[o] for h, o in zip(hs, orders, strict=True)]
        packed = [h.detach().to(kind).T[None].contiguous() for h in seen]
        learned = packed[0].new_zeros(1, 0) if own is None else own.detach().to(kind)[None]
        seen_groups = None
        if groups is not None and not self._all_negatives:
            of = torch.from_numpy(groups).to(hs[0].device)
            seen_groups = torch.stack([of if o is None else of[o] for o in orders])[None]
        found = self._built().value_and_gradients(packed, learned, seen_groups)
        gradients = []
        for h, order, packed_gradient in zip(hs, orders, found.gradients, strict=True):
            gradient = packed_gradient[0].T
            if order is not None:
                gradient = torch.empty_like(gradient).index_copy_(0, order, gradient)
            gradients.append((self._strength * gradient).to(h.dtype))
        by_own = None if own is None else (self._strength * found.grad_parameters[0]).to(own.dtype)
        return (self._strength * found.value[0]).to(hs[0].dtype), gradients, by_own


def _zero(hs: Sequence[Tensor]) -> Tensor:
    """0 exactly, also where a representation is infinite, with gradients that are 0."""
    zero: Tensor = _Given.apply(
        hs[0].detach().new_zeros(()), len(hs), *hs, *(torch.zeros_like(h) for h in hs)
    )
    return zero


def _check(hs: Sequence[Tensor]) -> None:
    if len(hs) < 2:
        raise InputError(
            f"trial.penalty: {len(hs)} representations; give those of two modalities or more"
        )
    for place, h in enumerate(hs, start=1):
        if not isinstance(h, Tensor) or h.dim() != 2 or not h.is_floating_point():
            found = f"{list(h.shape)} of {h.dtype}" if isinstance(h, Tensor) else type(h).__name__
            raise InputError(
                f"trial.penalty: representation {place} is {found}; expected a torch tensor of "
                "floating-point numbers, samples x features"
            )
    rows = [len(h) for h in hs]
    if len(set(rows)) > 1 or len({h.device for h in hs}) > 1 or len({h.dtype for h in hs}) > 1:
        said = ", ".join(f"{list(h.shape)} {h.dtype} {h.device}" for h in hs)
        raise InputError(
            f"trial.penalty: representations of different rows, dtypes or devices ({said}); row i "
            "of all must be the same sample"
        )
