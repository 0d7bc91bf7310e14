"""Linear stitching: how much of y a linear map of x predicts on rows it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.features import RESOLUTION, centered, times_power_of_two, unit_scaled
from raysweep.metrics.pairs import score_pairs, table_bytes


@dataclass(frozen=True)
class _Fold:
    """Rows to fit on and to predict, and the matrix that maps y of the first to the second."""

    fitted: Tensor
    held_out: Tensor
    prediction: Tensor


def linear_stitching(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    folds: int,
    ridge: float,
    fold_seed: int,
    groups: Tensor | None = None,
) -> Tensor:
    """Held-out R2 of a linear map from x to y, [p, m, L1, L2], at most 1.

    R2 = 1 - sum |y - prediction|^2 / sum |y - mean of the fitted rows|^2, both summed over the
    held-out rows of all folds and all features: 0 is as good as predicting the mean, negative is
    worse. The map is fitted with an intercept and a ridge of `ridge` times the mean variance of
    the features of x. Not symmetric. After model stitching (Bansal et al. 2021, arXiv 2106.07682)
    with the regression itself as the score (Kornblith et al. 2019; held out here). Rows of one of
    the groups int64 [n] are held out together.
    """
    parts = _parts(xs[0].shape[1], folds, fold_seed, groups)
    rows = xs[0].shape[1]
    splits = [
        (
            torch.from_numpy(np.sort(np.concatenate(parts[:i] + parts[i + 1 :]))).to(xs[0].device),
            torch.from_numpy(np.sort(parts[i])).to(xs[0].device),
        )
        for i in range(len(parts))
    ]
    return score_pairs(
        xs,
        ys,
        orders,
        left=lambda features: _fit(centered(features), splits, ridge),
        right=centered,
        reorder=lambda features, order: features[order],
        compare=_held_out_r2,
        state_bytes=8 * rows * rows + table_bytes(ys),
    )


def _parts(rows: int, folds: int, seed: int, groups: Tensor | None) -> list[np.ndarray]:
    """The rows in as many parts, at random; of groups as many of them in each."""
    of = np.arange(rows) if groups is None else groups.cpu().numpy()
    count = int(of.max()) + 1
    drawn = np.array_split(np.random.default_rng(seed).permutation(count), min(folds, count))
    return drawn if groups is None else [np.flatnonzero(np.isin(of, part)) for part in drawn]


def _fit(features: Tensor, splits: list[tuple[Tensor, Tensor]], ridge: float) -> list[_Fold]:
    fits = []
    for fitted, held_out in splits:
        mean = features[fitted].mean(dim=0)
        base, around = features[fitted] - mean, features[held_out] - mean
        columns, strengths, directions = torch.linalg.svd(base, full_matrices=False)
        if ridge == 0 and base.shape[1] < base.shape[0]:
            # Without a penalty the prediction is the same in any units of the columns, and with
            # columns of one size small ones lose no digits; unless the smallest map is chosen.
            alike, exponent = unit_scaled(base, -2)
            of_alike = torch.linalg.svd(alike, full_matrices=False)
            if bool(of_alike.S[-1] > RESOLUTION * of_alike.S[0]):
                columns, strengths, directions = of_alike
                around = times_power_of_two(around, -exponent)
        penalty = ridge * strengths.square().sum() / features.shape[1]
        shrunk = strengths / (strengths.square() + penalty)
        # Without a penalty, directions that are rounding noise would get enormous weights.
        shrunk = torch.where(strengths > RESOLUTION * strengths[0], shrunk, 0.0)
        prediction = (around @ directions.T * shrunk) @ columns.T
        fits.append(_Fold(fitted, held_out, prediction))
    return fits


def _held_out_r2(fits: list[_Fold], target: Tensor) -> Tensor:
    residual = target.new_zeros(())
    total = target.new_zeros(())
    for fold in fits:
        mean = target[fold.fitted].mean(dim=0)
        around = target[fold.held_out] - mean
        residual += (around - fold.prediction @ (target[fold.fitted] - mean)).square().sum()
        total += around.square().sum()
    return 1 - residual / total
