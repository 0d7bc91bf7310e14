"""Splits of simulated rows, and learners in closed form whose difference is 0 over all datasets.

Two classes, normal features. An arm sees the features that all arms see and a modality of its own;
the modalities of all arms have the same distribution, so that no arm is better over datasets,
though one is on any given dataset. Every seed drops features at random, and looks for its ridge
penalty on the validation rows, as training does for its checkpoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raysweep.data.resplits import crossed_splits, held_out_rows
from raysweep.data.stratify import stratified_splits
from raysweep.data.views import Integers, Splits

Splitter = Callable[[Integers, int, np.random.Generator], Sequence[Splits]]


def crossed(y: Integers, draws: int, rng: np.random.Generator) -> list[Splits]:
    """The splits of raysweep, of rows in random order."""
    order = rng.permutation(len(y))
    return [
        Splits(order[s.train], order[s.validation], order[s.test])
        for s in (crossed_splits(y[order], draw) for draw in range(draws))
    ]


def random(y: Integers, draws: int, rng: np.random.Generator) -> list[Splits]:
    """Splits that are drawn anew each time, also the validation rows."""
    held_out = held_out_rows(len(y))
    train = len(y) - 2 * held_out
    return [stratified_splits(y, train, held_out, held_out, rng) for _ in range(draws)]


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        rows: of each dataset.
        draws: splits of it.
        strengths: forced arms, of which the best on validation is tested.
        features: that all arms see, and as many of each arm's own modality.
        penalties: that a seed chooses from on validation.
        seeds: over which an arm's accuracy is averaged.
        distance: between the classes in either, in standard deviations, halved.
        gain: what is added to that in the modality of forced arms.
    """

    rows: int
    draws: int
    strengths: int = 1
    features: int = 8
    penalties: tuple[float, ...] = (1.0,)
    seeds: int = 2
    distance: float = 0.9
    gain: float = 0.0


def differences(
    setting: Setting, datasets: int, splitter: Splitter, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of forced minus none of each dataset and split, and what it is in the population.

    Returns:
        Measured on test rows, and expected over all rows there may be: [datasets, draws] each.
    """
    rng = np.random.default_rng(seed)
    found = [_dataset(setting, splitter, rng) for _ in range(datasets)]
    measured, expected = zip(*found, strict=True)
    return np.array(measured), np.array(expected)


def _dataset(
    setting: Setting, splitter: Splitter, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n, d, arms = setting.rows, setting.features, setting.strengths + 1
    y = np.arange(n, dtype=np.int64) % 2
    sign = 2.0 * y - 1
    means = np.full((arms, 2 * d), setting.distance / np.sqrt(d))
    means[1:, d:] += setting.gain / np.sqrt(d)
    x = rng.normal(size=(arms, n, 2 * d))
    x[:, :, :d] = x[0, :, :d]
    x += sign[:, None] * means[:, None]
    measured, validated, expected = (np.zeros((arms, setting.draws)) for _ in range(3))
    for place, splits in enumerate(splitter(y, setting.draws, rng)):
        train = x[:, splits.train]
        gram = train.transpose(0, 2, 1) @ train
        moment = train.transpose(0, 2, 1) @ sign[splits.train]
        # A feature that is dropped has a penalty that leaves nothing of it.
        dropped = 1e9 * (rng.random((arms, setting.seeds, 2 * d)) < 0.3)
        penalty = dropped[:, :, None] + np.array(setting.penalties)[:, None]
        ridge = gram[:, None, None] + penalty[..., None] * np.eye(2 * d)
        weights = np.linalg.solve(ridge, moment[:, None, None, :, None])[..., 0]
        right = {
            name: _accuracy(x[:, rows], sign[rows], weights)
            for name, rows in (("validation", splits.validation), ("test", splits.test))
        }
        best = right["validation"].argmax(axis=2)[..., None]
        reached = (weights * means[:, None, None]).sum(-1) / np.linalg.norm(weights, axis=-1)
        for of, values in (
            (measured, right["test"]),
            (validated, right["validation"]),
            (expected, stats.norm.cdf(reached)),
        ):
            of[:, place] = np.take_along_axis(values, best, axis=2)[..., 0].mean(axis=1)
    forced = 1 + int(validated[1:].mean(axis=1).argmax())
    return measured[forced] - measured[0], expected[forced] - expected[0]


def _accuracy(x: np.ndarray, sign: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of weights [arms, seeds, penalties, features] on rows [arms, n, features]."""
    flat = weights.reshape(len(weights), -1, weights.shape[-1])
    scores = x @ flat.transpose(0, 2, 1)
    right = ((scores > 0) == (sign[:, None] > 0)).mean(axis=1)
    return right.reshape(weights.shape[:-1])
