"""Nearest neighbours of every row, with a stated rule for ties.

Discrete or collapsed features tie often, and a rule that breaks ties by index favours the same
rows in both spaces: two dead encoders would agree perfectly. Here, similarities that differ by no
more than the precision of the features (`resolution`, relative to the largest similarity possible
in that row) are tied, and ties are broken at random and independently in each space:

- `neighbour_weights` gives the exact expectation: the probability of each row to be among the k
  neighbours. Rows above the tie have 1; the t rows tied at rank k share what is left of k.
- `ordered_neighbours` draws one such order from a seed, for metrics that depend on the ranks.

Hence features that separate nothing score what chance gives, k / (n - 1) for `mutual_knn`, and a
representation with ties scores below 1 with itself.
"""

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.features import as_features, normalize_rows, resolution

SIMILARITIES = ("cosine", "inner", "euclidean")


class Space:
    """One layer [n, d] as a space in which rows have similarities.

    `cosine` is the inner product of normalised, uncentred rows, as in arXiv 2405.07987; rows of
    zeros are equally (un)like all. `euclidean` is minus the squared distance.
    """

    def __init__(self, features: Tensor, similarity: str) -> None:
        """Prepares features [n, d] for one of SIMILARITIES."""
        self.rows = features.to(torch.float64)
        if similarity == "cosine":
            self.rows = normalize_rows(self.rows)
        elif similarity == "euclidean":
            self.rows = self.rows - self.rows.mean(dim=0)
        self.euclidean = similarity == "euclidean"
        self.squares = self.rows.square().sum(dim=1)
        self.resolution = resolution(features)

    def similarities(self, start: int, stop: int) -> Tensor:
        """Of rows start..stop to all rows, [stop - start, n]; a row's own entry is -inf."""
        block = self.rows[start:stop] @ self.rows.T
        if self.euclidean:
            block = block.mul_(2).sub_(self.squares).sub_(self.squares[start:stop, None])
        block.diagonal(start).fill_(-torch.inf)
        return block

    def tolerance(self, start: int, stop: int) -> Tensor:
        """Similarities of a row closer than this are tied, [stop - start, 1]."""
        norms = self.squares.sqrt()
        return self.resolution * (norms[start:stop] * norms.max())[:, None]


def kth_largest(values: Tensor, k: int) -> Tensor:
    """The k-th largest entry of each row of [r, n], [r, 1]."""
    if values.device.type == "cpu":
        # numpy selects several times faster than torch.topk and torch.kthvalue on the CPU.
        column = values.shape[1] - k
        selected = np.partition(values.numpy(), column, axis=1)[:, column]
        return torch.from_numpy(np.ascontiguousarray(selected))[:, None]
    return values.topk(k, dim=1).values[:, -1:]


def neighbour_weights(space: Space, topk: int, start: int, stop: int) -> Tensor:
    """Probability of each row to be among the k neighbours of rows start..stop.

    Returns:
        [stop - start, n], each row sums to k. float32 if no row has ties (all entries are 0 or 1),
        else float64.
    """
    similarity = space.similarities(start, stop)
    threshold = kth_largest(similarity, topk)
    tolerance = space.tolerance(start, stop)
    weights = (similarity >= threshold - tolerance).to(torch.float32)
    count = weights.sum(dim=1)
    tied = torch.nonzero(count > topk)[:, 0]
    if len(tied) == 0:
        return weights
    above = (similarity[tied] > (threshold + tolerance)[tied]).to(torch.float64)
    certain = above.sum(dim=1, keepdim=True)
    share = (topk - certain) / (count[tied, None].to(torch.float64) - certain)
    weights = weights.to(torch.float64)
    weights[tied] = torch.where(above > 0, above, weights[tied] * share)
    return weights


def tied_share(features: object, topk: int = 10, similarity: str = "cosine") -> float:
    """Share of the rows of `features` [n, d] whose k-th neighbour is a tie, 0..1.

    Raises:
        InputError: an unknown similarity, or topk not in 1..n - 1.
    """
    table = as_features(features, "features")
    if similarity not in SIMILARITIES:
        choices = ", ".join(SIMILARITIES)
        raise InputError(f"similarity: expected one of {choices}, got {similarity!r}")
    if not 1 <= topk < len(table):
        raise InputError(f"topk: expected 1 to n - 1 = {len(table) - 1}, got {topk}")
    space = Space(table, similarity)
    tied = 0
    for start in range(0, len(table), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(table))
        similarities = space.similarities(start, stop)
        lowest = kth_largest(similarities, topk) - space.tolerance(start, stop)
        tied += int(((similarities >= lowest).sum(dim=1) > topk).sum())
    return tied / len(table)


ROWS_AT_ONCE = 256
"""Rows of one similarity block where only one layer is in work."""
