"""Intervals of estimated information against what the same estimate finds of other rows, and truth.

Every draw has other rows of one distribution whose information is known: those of
`bench_information.py` with 4 features of a modality, and two of the generators'. Of each number:
the truth; the mean estimate and its standard deviation over draws; the share of draws whose
interval holds the mean of the others, whose lower end is at most the truth, and whose interval
holds the truth.

    python tests/benchmarks/bench_intervals.py [--draws 20] [--rows 500]

With ``--cost`` what intervals add to the CPU time of an estimate, each made with them and without.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from bench_information import apart, exact, exclusive_or, rows_of, shared
from threadpoolctl import threadpool_limits

from raysweep.data import held_out
from raysweep.data.estimable import Estimable, estimable
from raysweep.data.estimate import estimate_from
from raysweep.data.held_out import PARTS
from raysweep.data.registry import load

FEATURES = 4
_MANY = 400_000
CHANNELS = {"pid_R": 0.4, "pid_U1": 0.3, "pid_U2": 0.2, "pid_S": 0.5}

Draw = Callable[[int], Estimable]


def own(n: int) -> Iterator[tuple[str, list[float], Draw]]:
    """Both modalities tell the same of the label's margins, so nothing is unique to either."""
    for make in (shared, apart, exclusive_or):
        i1, i12 = exact(make(_MANY, np.random.default_rng(0)))

        def drawn(draw: int, make: Callable = make) -> Estimable:
            rng = np.random.default_rng([draw, n, FEATURES])
            return rows_of(make(n, rng), FEATURES, rng)

        yield make.__name__.replace("_", " "), [i1, i1, i12, i1, 0.0, 0.0, i12 - i1], drawn


def generated(n: int, draws: int) -> Iterator[tuple[str, list[float], Draw]]:
    """Parts of one draw of many rows, which are all of one distribution."""
    sizes = {"train": n * draws, "validation": 100, "test": 100}
    for name, given in (("synthetic", {"U": 4, "D_phi": 1}), ("channels", CHANNELS)):
        views = load(name, {**given, **sizes})
        order = np.random.default_rng(0).permutation(views.splits.train)

        def drawn(draw: int, views=views, order=order) -> Estimable:
            rows = order[draw * n : (draw + 1) * n]
            _, y = np.unique(views.y[rows], return_inverse=True)
            return Estimable(views.x1[rows], views.x2[rows], y.astype(np.int64))

        yield name, [getattr(views.information, part) for part in PARTS], drawn


def cost(rounds: int = 3) -> None:
    """A line for each of three datasets: CPU seconds without intervals, with them, their ratio."""
    found = held_out._errors

    def none(rows: Estimable, *_: object) -> np.ndarray:
        return np.zeros(len(PARTS))

    sizes = {"train": 300, "validation": 100, "test": 100}
    for name, given in (
        ("synthetic", {"U": 4, **sizes}),
        ("synthetic", {"U": 4, **sizes, "train": 1800}),
        ("digits", {"overlap": 0}),
    ):
        rows = estimable(load(name, given))
        took: dict[bool, list[float]] = {False: [], True: []}
        for _, wanted in itertools.product(range(rounds), took):
            held_out._errors = found if wanted else none
            began = time.process_time()
            with threadpool_limits(1):
                estimate_from(rows)
            took[wanted].append(time.process_time() - began)
        without, with_them = (min(of) for of in took.values())
        line = f"{name}, {len(rows.y)} rows: {without:.2f} s, {with_them:.2f} s, "
        sys.stdout.write(f"{line}{with_them / without:.2f}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--cost", action="store_true")
    asked = parser.parse_args()
    if asked.cost:
        return cost()
    heads = ("data", "number", "truth", "estimate", "sd", "width", "holds the estimate")
    heads += ("low end below the truth", "holds the truth")
    sys.stdout.write(f"| {' | '.join(heads)} |\n" + "| --- " * len(heads) + "|\n")
    for name, truth, drawn in (*own(asked.rows), *generated(asked.rows, asked.draws)):
        found = []
        for draw in range(asked.draws):
            with threadpool_limits(1):
                got = estimate_from(drawn(draw))
            ends = [(got.intervals[part].low, got.intervals[part].high) for part in PARTS]
            found.append([(getattr(got, part), *of) for part, of in zip(PARTS, ends, strict=True)])
        estimate, low, high = np.moveaxis(np.array(found), 2, 0)
        others = (estimate.sum(axis=0) - estimate) / (asked.draws - 1)
        slack = 1e-6
        held = (low <= others + slack) & (others <= high + slack)
        below, above = low <= np.array(truth) + slack, np.array(truth) <= high + slack
        for at, part in enumerate(PARTS):
            numbers = (truth[at], estimate[:, at].mean(), estimate[:, at].std(ddof=1))
            numbers += ((high - low)[:, at].mean(),)
            shares = (held[:, at], below[:, at], (below & above)[:, at])
            shown = [f"{v:.3f}" for v in numbers] + [f"{s.mean():.2f}" for s in shares]
            sys.stdout.write(f"| {name} | `{part}` | {' | '.join(shown)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
