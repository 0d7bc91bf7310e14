"""The order in which each member of a pack sees its training rows."""

from collections.abc import Iterable

import torch


class BatchOrder:
    """One permutation per member and epoch, from the member's order seed alone.

    Members with the same seed (the paired arms) share the permutation: same batches, same steps.

    Attributes:
        rows: number of training rows.
        stream: int64 [m], the row of `next_epoch` that each member follows.
    """

    def __init__(self, seeds: Iterable[int], rows: int) -> None:
        self.rows = rows
        asked = [int(seed) for seed in seeds]
        distinct = list(dict.fromkeys(asked))
        self._streams = [torch.Generator().manual_seed(seed) for seed in distinct]
        place = {seed: index for index, seed in enumerate(distinct)}
        self.stream = torch.tensor([place[seed] for seed in asked])

    def next_epoch(self) -> torch.Tensor:
        """The next epoch's distinct permutations of the training rows, int32 [streams, rows]."""
        drawn = torch.empty(len(self._streams), self.rows, dtype=torch.int32)
        for row, generator in zip(drawn, self._streams, strict=True):
            torch.randperm(self.rows, generator=generator, out=row)
        return drawn

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members (int64 indices) only; their orders stay what they were."""
        used, self.stream = self.stream[members].unique(return_inverse=True)
        self._streams = [self._streams[int(index)] for index in used]
