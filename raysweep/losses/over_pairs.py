"""An alignment loss of two modalities over all pairs of two or more."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.losses.base import AlignmentLoss, LossOutput


def modality_pairs(modalities: int) -> list[tuple[int, int]]:
    """The pairs of modalities, counted from 1: 1-2, 1-3, ..., 2-3, ...; the earlier one first."""
    return list(itertools.combinations(range(1, modalities + 1), 2))


@dataclass(frozen=True)
class PairsOutput:
    """The loss over all pairs and its gradients, as in `LossOutput`.

    Attributes:
        value: [m].
        gradients: for each modality [m, d, b].
        grad_parameters: [m, Pa], the parameters of all pairs one after another.
    """

    value: Tensor
    gradients: tuple[Tensor, ...]
    grad_parameters: Tensor


@dataclass(frozen=True)
class OverPairs:
    """The mean of a loss over the pairs of modalities, each pair with parameters of its own.

    A mean and not a sum: the value has the range of one pair's loss, whatever the number of
    modalities, as the alignment that is measured has, so one range of strengths serves a grid over
    it. With two modalities it is the loss itself. As each modality is in M - 1 of the M (M - 1) / 2
    pairs, the pull on one representation is 2 / M of that of a single pair with all partners alike.

    Of each pair the earlier modality is the loss's first side: with ``stop_gradient: 1`` a modality
    is drawn towards earlier ones only, with ``2`` towards later ones only.

    A pair on which the loss is undefined is left out of a member's mean; where no pair is left the
    value is NaN and the gradients are 0.

    Attributes:
        loss: of a pair.
    """

    loss: AlignmentLoss

    def parameter_counts(self, widths: Sequence[int]) -> list[int]:
        """How many parameters the loss of each pair has.

        Args:
            widths: features of each modality's layer.
        """
        return [
            self.loss.parameter_count(widths[a - 1], widths[b - 1])
            for a, b in modality_pairs(len(widths))
        ]

    def initial_parameters(
        self, widths: Sequence[int], generators: Sequence[torch.Generator]
    ) -> Tensor:
        """One member's parameters of all pairs: [Pa], float64, each pair's from its generator."""
        return torch.cat(
            [
                self.loss.initial_parameters(widths[a - 1], widths[b - 1], generator)
                for (a, b), generator in zip(modality_pairs(len(widths)), generators, strict=True)
            ]
        )

    def value_and_gradients(
        self, hs: Sequence[Tensor], parameters: Tensor, groups: Tensor | None = None
    ) -> PairsOutput:
        """Evaluate every member at once.

        Args:
            hs: for each modality [m, d, b], the same samples in the same order.
            parameters: [m, Pa].
            groups: int64 [m, modalities, b], equal for samples that belong together; None where
                every sample stands alone.
        """
        pairs = modality_pairs(len(hs))
        counts = self.parameter_counts([h.shape[1] for h in hs])
        own = parameters.split(counts, dim=1)
        outputs = [
            self.loss.value_and_gradients(
                hs[a - 1],
                hs[b - 1],
                part,
                None if groups is None else torch.stack((groups[:, a - 1], groups[:, b - 1]), 1),
            )
            for (a, b), part in zip(pairs, own, strict=True)
        ]
        if len(outputs) == 1:
            (only,) = outputs
            return PairsOutput(only.value, (only.grad_1, only.grad_2), only.grad_parameters)
        return mean_over_pairs(pairs, outputs, hs)


def mean_over_pairs(
    pairs: Sequence[tuple[int, int]], outputs: Sequence[LossOutput], hs: Sequence[Tensor]
) -> PairsOutput:
    """The mean of the losses of pairs that are defined, as `OverPairs` takes it.

    Args:
        pairs: of modalities, counted from 1.
        outputs: the loss of each pair.
        hs: for each modality [m, d, b].
    """
    values = torch.stack([output.value for output in outputs])
    defined = (~values.isnan()).sum(dim=0)
    share = 1 / defined.clamp(min=1).to(values)
    gradients = [torch.zeros_like(h) for h in hs]
    for (a, b), output in zip(pairs, outputs, strict=True):
        gradients[a - 1] += output.grad_1 * share[:, None, None]
        gradients[b - 1] += output.grad_2 * share[:, None, None]
    own = torch.cat([output.grad_parameters for output in outputs], dim=1)
    # 0 / 0, hence NaN, where no pair is defined.
    value = torch.where(values.isnan(), 0.0, values).sum(dim=0) / defined
    return PairsOutput(value, tuple(gradients), own * share[:, None])
