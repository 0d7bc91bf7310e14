"""What a sequential confirm stage saves, and how it errs: python tests/benchmarks/bench_looks.py.

On the effects of the bundled table of `forcing`, without an effect and at the margin of equivalence.
Some minutes on one core.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from simulate_looks import (
    MARGIN,
    Stopped,
    Truth,
    all_alike,
    fixed,
    found_by_forcing,
    sequential,
    told,
    units_of,
)

FIXED = 12
LOOKS = {
    "4, 6, 9, 12": (4, 6, 9, 12),
    "4, 6, 8, 10, 12, 14": (4, 6, 8, 10, 12, 14),
    "4 to 8, 10, 12, 14": (4, 5, 6, 7, 8, 10, 12, 14),
    "4 to 8, 10, 12, 15": (4, 5, 6, 7, 8, 10, 12, 15),
}
STUDIES = {"best": ("best",), "best, performance, alignment": ("best", "performance", "alignment")}


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def saved(name: str, truth: Truth, studies: int) -> None:
    most = max(looks[-1] for looks in LOOKS.values())
    units = units_of(truth, most, studies, np.random.default_rng(1))
    once = fixed(units[..., :FIXED], truth)

    def row(design: str, of: Stopped) -> None:
        decided = (of.differs | of.equal).mean()
        inside = ((of.low <= truth.effects) & (truth.effects <= of.high)).mean()
        share = of.trials / once.trials
        show(
            f"| {name} | {design} | {of.units.mean():.1f} | {decided:.3f} | {of.differs.mean():.3f} "
            f"| {inside:.3f} | {share:.0%} |"
        )

    row(f"{FIXED} at once", once)
    for design, looks in LOOKS.items():
        row(design, sequential(units, truth, looks))


def errors(design: str, looks: tuple[int, ...], studies: int) -> None:
    rng = np.random.default_rng(2)
    found = []
    for effect, spread in ((0.0, 0.01), (MARGIN, 0.01), (MARGIN, 0.002)):
        truth = all_alike(40, effect, spread)
        units = units_of(truth, looks[-1], studies, rng)
        of = sequential(units, truth, looks)
        inside = ((of.low <= effect) & (effect <= of.high)).mean()
        some = slice(0, max(1, studies // 10))
        verdicts = told(units[some], looks, of.units[some])
        differs = verdicts["verdict"].isin(["helps", "hurts"])
        wrong = (
            (of.differs.any(axis=1).mean(), differs.groupby(verdicts["study"]).any().mean())
            if effect == 0
            else (of.equal.mean(), (verdicts["verdict"] == "equivalent").mean())
        )
        found.append(f"{wrong[0]:.3f} | {wrong[1]:.3f} | {inside:.3f}")
    show(f"| {design} | {' | '.join(found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1_000)
    given = parser.parse_args()
    show("| criteria | looks | units | decided | differ | coverage | trials |")
    show("| --- | --- | --- | --- | --- | --- | --- |")
    for name, criteria in STUDIES.items():
        saved(name, found_by_forcing(criteria), given.studies)
    show(
        "\n| looks | family-wise | as told | coverage | equivalent, sd 1 | as told | coverage "
        "| equivalent, sd .2 | as told | coverage |"
    )
    show("| --- |" + " --- |" * 9)
    for design, looks in LOOKS.items():
        errors(design, looks, given.studies)


if __name__ == "__main__":
    main()
