"""What estimates of a label's information miss, by rows, features and kind of dependence.

Every cell is data of known information: one direction of each modality tells of the label, among
as many as there are features, all of one variance. `shared`: both directions are noisy copies of
one that the label depends on; `apart`: the label depends on the sum of two independent ones;
`exclusive or`: on the sign of their product, so that neither modality tells anything alone.

    python tests/benchmarks/bench_information.py [--draws 2]
"""

import argparse
import itertools
import sys
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from raysweep.data.estimable import Estimable
from raysweep.data.estimate import estimate_from

ROWS = (500, 2000)
FEATURES = (4, 50, 200)
STEEP = 4.0
_MANY = 400_000


@dataclass(frozen=True)
class Told:
    """What the directions z1 and z2 [n] and the label's log odds [n] are."""

    z1: np.ndarray
    z2: np.ndarray
    odds: np.ndarray


def shared(n: int, rng: np.random.Generator) -> Told:
    """Both modalities show what the label depends on, with noise of their own."""
    source, first, second = rng.normal(size=(3, n))
    return Told(source + 0.3 * first, source + 0.3 * second, STEEP * source)


def apart(n: int, rng: np.random.Generator) -> Told:
    """The label depends on both, which have nothing in common."""
    z1, z2 = rng.normal(size=(2, n))
    return Told(z1, z2, STEEP * (z1 + z2) / np.sqrt(2))


def exclusive_or(n: int, rng: np.random.Generator) -> Told:
    """The label depends on whether both have one sign."""
    z1, z2 = rng.normal(size=(2, n))
    return Told(z1, z2, 2 * STEEP * np.sign(z1 * z2))


def entropy(p: np.ndarray) -> np.ndarray:
    """Of a label that is 1 with probability p, in nats."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def exact(told: Told) -> tuple[float, float]:
    """I1 and I12 from very many draws: p(y | z) is averaged in narrow bins of z."""
    p = 1 / (1 + np.exp(-told.odds))
    one = np.argsort(np.argsort(told.z1)) * 400 // len(p)
    two = np.argsort(np.argsort(told.z2)) * 100 // len(p)

    def given(cell: np.ndarray) -> float:
        count = np.bincount(cell)
        mean = np.bincount(cell, p) / np.maximum(count, 1)
        return float(np.sum(count / len(p) * entropy(mean)))

    whole = float(entropy(p.mean()))
    return whole - given(one), whole - given((one // 4) * 100 + two)


def rows_of(told: Told, features: int, rng: np.random.Generator) -> Estimable:
    """Each direction turned among as many features, and a label drawn."""
    views = []
    for z in (told.z1, told.z2):
        beside = rng.normal(size=(len(z), features - 1))
        turn, _ = np.linalg.qr(rng.normal(size=(features, features)))
        views.append(np.column_stack([z / z.std(), beside]) @ turn)
    y = (rng.random(len(told.odds)) < 1 / (1 + np.exp(-told.odds))).astype(np.int64)
    return Estimable(*views, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2)
    draws = parser.parse_args().draws
    head = "| label | rows | features | I1 | estimated | I12 | estimated |\n"
    sys.stdout.write(head + "| --- " * 7 + "|\n")
    for make, n, features in itertools.product((shared, apart, exclusive_or), ROWS, FEATURES):
        true = exact(make(_MANY, np.random.default_rng(0)))
        found = []
        for draw in range(draws):
            rng = np.random.default_rng([draw, n, features])
            rows = rows_of(make(n, rng), features, rng)
            with threadpool_limits(1):
                got = estimate_from(rows)
            found.append((got.I1, got.I12))
        mean = np.mean(found, axis=0)
        shown = [f"{v:.2f}" for v in (true[0], mean[0], true[1], mean[1])]
        name = make.__name__.replace("_", " ")
        sys.stdout.write(f"| {name} | {n} | {features} | {' | '.join(shown)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
