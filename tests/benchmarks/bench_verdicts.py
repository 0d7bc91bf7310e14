"""False verdicts under draws that are not normal: python tests/benchmarks/bench_verdicts.py.

Studies of 40 cells by both criteria without an effect, or with one at the margin of equivalence
(`tests/support/simulate_verdicts.py`), judged by `forcing_effects`. An hour on one core.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from simulate_verdicts import (
    AT_MARGIN,
    SCENARIOS,
    effects_of,
    false_equivalence,
    false_verdicts,
    power,
)

HEADER = "| {} | draws | studies | Student's t alone | as told |\n| --- | --- | --- | --- | --- |\n"
AT_ONCE = 50


def rows(
    name: str, draws: int, studies: int, rate: Callable[[int, int], tuple[float, float]]
) -> str:
    """A line of a table: a rate over studies, which are made in parts."""
    parts = [rate(min(AT_ONCE, studies - at), at) for at in range(0, studies, AT_ONCE)]
    weights = [min(AT_ONCE, studies - at) for at in range(0, studies, AT_ONCE)]
    by_t, told = np.average(parts, axis=0, weights=weights)
    return f"| {name} | {draws} | {studies:,} | {by_t:.3f} | {told:.3f} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1_000)
    parser.add_argument("--draws", type=int, nargs="+", default=[5, 15])
    given = parser.parse_args()

    def show(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    show(HEADER.format("no effect: studies with a cell that helps or hurts"))
    for name, scenario in SCENARIOS.items():
        for n in given.draws:
            show(
                rows(
                    name,
                    n,
                    given.studies,
                    lambda k, at, s=scenario, n=n: false_verdicts(
                        effects_of(s, n, k, np.random.default_rng([n, at]))
                    ),
                )
            )
    show("\n" + HEADER.format("effect at the margin: cells called equivalent"))
    for name, scenario in AT_MARGIN.items():
        for n in given.draws:
            show(
                rows(
                    name,
                    n,
                    given.studies // 5,
                    lambda k, at, s=scenario, n=n: false_equivalence(
                        effects_of(s, n, k, np.random.default_rng([n, at]))
                    ),
                )
            )
    show("\n" + HEADER.format("power: cells found of those with an effect, all else normal"))
    for n in given.draws:
        show(
            rows(
                "normal",
                n,
                given.studies // 5,
                lambda k, at, n=n: power(n, k, np.random.default_rng([n, at])),
            )
        )


if __name__ == "__main__":
    main()
