"""A batch of sequences in groups of about the same length, so that padding is hardly computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

GROUPS = 8
"""Into how many a batch is cut; each is as long as its longest sample."""


@dataclass(frozen=True)
class Group:
    """Samples of a batch that are as long as their longest.

    Attributes:
        x: [m, count, tokens, features].
        rows: int64 [m, count], which sample of the batch each is.
        length: positions, class token included.
        bias: [m * count, 1, 1, length], minus infinity at padding; None without any.
        weights: [m, count, 1, length] of the mean over positions.
    """

    x: Tensor
    rows: Tensor
    length: int
    bias: Tensor | None
    weights: Tensor

    @property
    def count(self) -> int:
        """How many samples of a member there are."""
        return self.x.shape[1]

    @property
    def tokens(self) -> int:
        """Tokens of a sample, those of padding included, without a class token."""
        return self.x.shape[2]


@dataclass(frozen=True)
class Batch:
    """A batch in groups.

    Attributes:
        groups: of descending length.
        back: int64 [m, n], where among the groups' samples each of the batch is; None where they
            are in the batch's order.
    """

    groups: tuple[Group, ...]
    back: Tensor | None

    @classmethod
    def of(cls, x: Tensor, count: int, sequences: bool, pooling: str) -> "Batch":
        """The batch of x [m, n, inputs].

        Args:
            x: rows as `raysweep.data.tokens.Tokens` lays them, or of features.
            count: tokens of a row.
            sequences: whether the rows are sequences, whose last column is their length.
            pooling: of the encoder.
        """
        m, n = x.shape[:2]
        of_token = (x.shape[2] - sequences) // count
        lengths = torch.full((m, n), count, device=x.device)
        shortest = longest = count
        if sequences:
            lengths = x[:, :, -1].round().to(torch.int64)
            shortest, longest = torch.stack(lengths.aminmax()).tolist()
        padded = pooling == "mean_padded"
        if shortest < longest and not padded:
            return cls._trimmed(x, lengths, of_token, pooling)
        kept = count if padded else max(longest, 1)
        tokens = x[:, :, : kept * of_token].reshape(m, n, kept, of_token)
        order = torch.arange(n, device=x.device).expand(m, n)
        return cls((_group(pooling, tokens, order, lengths, kept, shortest),), None)

    @classmethod
    def _trimmed(cls, x: Tensor, lengths: Tensor, of_token: int, pooling: str) -> "Batch":
        """Sorted by length [m, n] and cut."""
        m, n = lengths.shape
        lengths, order = lengths.sort(dim=1, descending=True, stable=True)
        starts = sorted({n * group // GROUPS for group in range(GROUPS)})
        slices = [slice(*bounds) for bounds in pairwise((*starts, n))]
        # All at once, as a device is waited for.
        ends = [(lengths[:, s].max(), lengths[:, s].min()) for s in slices]
        bounds = torch.stack([torch.stack(end) for end in ends]).tolist()
        members = torch.arange(m, device=x.device)[:, None]
        groups = []
        for own, (longest, shortest) in zip(slices, bounds, strict=True):
            rows, kept = order[:, own], max(longest, 1)
            tokens = x[members, rows, : kept * of_token].view(m, -1, kept, of_token)
            groups.append(_group(pooling, tokens, rows, lengths[:, own], kept, shortest))
        return cls(tuple(groups), order.argsort(dim=1))

    def pooled(self, h: Tensor, pooling: str) -> Tensor:
        """One vector a sample, [m, n, width], of positions [m, rows, width]."""
        found = []
        for group, own in zip(self.groups, self.parts(h), strict=True):
            own = own.unflatten(1, (group.count, group.length))
            found.append(own[:, :, 0] if pooling == "class" else (group.weights @ own)[:, :, 0])
        layer = joined(found)
        if self.back is None:
            return layer
        return layer.gather(1, self.back[:, :, None].expand_as(layer))

    def parts(self, h: Tensor) -> Sequence[Tensor]:
        """The positions of each group, of all [m, rows, d]."""
        return parted(h, [group.count * group.length for group in self.groups])

    @cached_property
    def positions(self) -> Tensor:
        """Number [m, rows] of each position among those of a batch, whatever is trimmed."""
        numbers = [
            (g.rows[:, :, None] * 2**20 + torch.arange(g.length, device=g.rows.device)).flatten(1)
            for g in self.groups
        ]
        return torch.cat(numbers, dim=1)


def parted(h: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    """Parts of [m, rows, d] with so many rows; nothing is copied of one alone, backwards either."""
    return (h,) if len(sizes) == 1 else h.split(sizes, dim=1)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts [m, rows, ...] one after another."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _group(
    pooling: str,
    x: Tensor,
    rows: Tensor,
    lengths: Tensor,
    kept: int,
    shortest: int,
) -> Group:
    """The group of samples x [m, count, kept, features] of these lengths [m, count]."""
    leading = int(pooling == "class")
    length = kept + leading
    place = torch.arange(length, device=x.device) - leading
    real = place < lengths[:, :, None, None]
    there = (lengths > 0)[:, :, None, None]
    weights = real.to(x.dtype) / lengths.clamp(min=1)[:, :, None, None]
    if pooling == "mean_padded":
        weights = there.expand_as(real).to(x.dtype) / length
    bias = None
    if shortest < kept:
        # Who has nothing to attend to attends to what is there, and counts for nothing.
        hidden = ~real if leading else ~real & there
        bias = x.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf).flatten(0, 1)[:, None]
    return Group(x, rows, length, bias, weights)
