"""What a sequential confirm stage saves, and how it errs: python tests/benchmarks/bench_looks.py.

On the effects of the bundled table of `forcing`, without an effect, and at the margin of
equivalence. Some minutes on one core.
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
    always_valid,
    fixed,
    found_by_forcing,
    sequential,
    told,
    units_of,
    weighted,
)

FIXED = 12
LOOKS = {
    "5, 8, 12": (5, 8, 12),
    "4, 6, 9, 12": (4, 6, 9, 12),
    "5, 7, 9, 12, 15": (5, 7, 9, 12, 15),
    "5, 6, 7, 8, 10, 12, 15": (5, 6, 7, 8, 10, 12, 15),
    "5 to 15, one by one": tuple(range(5, 16)),
}
BY_OTHERS = "5, 6, 7, 8, 10, 12, 15"
OTHERS = {"weighted Bonferroni": weighted, "always valid": always_valid}
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
        numbers = f"{decided:.3f} | {of.differs.mean():.3f} | {inside:.3f} | {share:.0%}"
        show(f"| {name} | {design} | {of.units.mean():.1f} | {numbers} |")

    row(f"{FIXED} at once", once)
    for design, looks in LOOKS.items():
        row(design, sequential(units, truth, looks))
    for design, over in OTHERS.items():
        row(f"{BY_OTHERS}, {design}", sequential(units, truth, LOOKS[BY_OTHERS], over))


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
