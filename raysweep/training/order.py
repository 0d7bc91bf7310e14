"""The order in which each member of a pack sees its training rows."""

from collections.abc import Iterable

import torch


class BatchOrder:
    """One permutation per member and epoch, from the member's order seed alone.

    Members with the same seed (the paired arms) share the permutation: same batches, same steps.
    """

    def __init__(self, seeds: Iterable[int], rows: int) -> None:
        self.rows = rows
        asked = [int(seed) for seed in seeds]
        distinct = list(dict.fromkeys(asked))
        self._streams = [torch.Generator().manual_seed(seed) for seed in distinct]
        place = {seed: index for index, seed in enumerate(distinct)}
        self._stream_of = torch.tensor([place[seed] for seed in asked])

    def next_epoch(self) -> torch.Tensor:
        """The next epoch's permutations of the training rows, int64 [m, rows]."""
        drawn = torch.stack([torch.randperm(self.rows, generator=g) for g in self._streams])
        return drawn[self._stream_of]

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members (int64 indices) only; their orders stay what they were."""
        used, self._stream_of = self._stream_of[members].unique(return_inverse=True)
        self._streams = [self._streams[int(index)] for index in used]
