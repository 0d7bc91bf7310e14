"""What takes a verdict away that Student's t gives, and the units that it rests on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysweep.trials.outcomes import amount
from raysweep_analysis.verdicts import FOUND

Floats = NDArray[np.float64]
Words = NDArray[np.str_]
NOT_KNOWN = "inconclusive"


@dataclass(frozen=True)
class Seen:
    """What is known of the cells; arrays over [cells], or [cells, units] with NaN as missing.

    Attributes:
        performance: the outcome.
        margin: of equivalence, in its unit.
        unit: what a unit is called.
        names: the numbers of units, [cells, units].
        effects: of units, in the outcome's unit, [cells, units].
        gains: the same, positive where forcing is better.
        outlying: units that stand out, [cells, units].
        by_student: the verdict by Student's t alone.
        by_own: by what the study's own units say, too.
        given: with lost runs at their worst, too.
        without: by what the other units say, where some stand out.
        p_student, p_own: p-values, not adjusted.
        at_worst: the effect with lost runs at their worst; NaN where there is no worst.
        p_flipped: of the sign-flip test.
        disagree: whether that test had units enough and does not find a difference.
    """

    performance: str
    margin: float
    unit: Words
    names: Floats
    effects: Floats
    gains: Floats
    outlying: NDArray[np.bool_]
    by_student: Words
    by_own: Words
    given: Words
    without: Words
    p_student: Floats
    p_own: Floats
    at_worst: Floats
    p_flipped: Floats
    disagree: NDArray[np.bool_]


@dataclass(frozen=True)
class Doubts:
    """What is left of the verdicts.

    Attributes:
        verdict: [cells].
        outlying: the numbers of the units that stand out, such as `7, 12`; mostly empty.
        doubt: in words what the verdict rests on, or why it was taken away; mostly empty.
    """

    verdict: Words
    outlying: list[str]
    doubt: list[str]


def doubts(seen: Seen) -> Doubts:
    """Take away the verdicts that one test alone gives, or that rest on few units."""
    verdict = np.array(seen.given, dtype="<U16")
    names: list[str] = []
    said: list[str] = []
    for i in range(len(verdict)):
        apart = np.flatnonzero(seen.outlying[i])
        names.append(", ".join(f"{name:.0f}" for name in seen.names[i, apart]))
        parts = [*_lost(seen, i), *_of_signs(seen, i)]
        taken = bool(seen.disagree[i]) and seen.given[i] in FOUND[:2]
        if len(apart):
            rests, sentence = _of_outlying(seen, i, apart.tolist())
            taken |= rests
            parts += sentence
        if taken:
            verdict[i] = NOT_KNOWN
        said.append("; ".join(parts))
    return Doubts(verdict, names, said)


def _lost(seen: Seen, i: int) -> Iterator[str]:
    """Why less is given than Student's t alone would."""
    student, unit = seen.by_student[i], seen.unit[i]
    if student not in FOUND or seen.given[i] == student:
        return
    if seen.by_own[i] != student:
        ps = f" (p = {seen.p_student[i]:.2g})", f" (p = {seen.p_own[i]:.2g})"
        ps = ps if student in FOUND[:2] else ("", "")
        yield (
            f"the t test alone would say {student}{ps[0]}, but {unit}s of this study are lopsided, "
            f"and of such {unit}s that is not known{ps[1]}"
        )
        return
    worst = float(seen.at_worst[i])
    size = f"the effect is {_points(worst, seen.performance)}"
    at_worst = size if np.isfinite(worst) else "it may be any, as the outcome has no worst value"
    yield (
        f"without its lost runs the verdict would be {student}, but runs that diverge do so for "
        f"what they are: with these at their worst {at_worst}"
    )


def _of_signs(seen: Seen, i: int) -> Iterator[str]:
    if seen.disagree[i] and seen.given[i] in FOUND[:2]:
        yield (
            f"the t test says {seen.given[i]}, and the sign-flip test does not "
            f"(p = {seen.p_flipped[i]:.2g})"
        )


def _of_outlying(seen: Seen, i: int, apart: Sequence[int]) -> tuple[bool, list[str]]:
    """Whether a verdict rests on units that stand out or is against them, and what to say."""
    given, without = str(seen.given[i]), str(seen.without[i])
    gains = seen.gains[i, apart]
    against = {
        "helps": gains < -seen.margin,
        "hurts": gains > seen.margin,
        "equivalent": np.abs(gains) > seen.margin,
    }.get(given, np.zeros(1, dtype=bool))
    each = [
        f"{seen.names[i, k]:.0f} ({_points(seen.effects[i, k], seen.performance)})" for k in apart
    ]
    one = len(apart) == 1
    them, stand = ("it", "stands out") if one else ("them", "stand out")
    which = f"{seen.unit[i]}{'' if one else 's'} {_listed(each)}"
    if without != given and given in FOUND and not _alike(seen, i, apart, given):
        return True, [f"{given} rests on {which}, which {stand}"]
    if against.any():
        return True, [f"{given} holds without {which} only, which {stand}"]
    if without == given and given in FOUND:
        return False, [f"{which} {stand}; the verdict is the same without {them}"]
    if given in FOUND:
        return False, [f"{which} {stand}; without {them} all effects are equal"]
    if without in FOUND:
        return False, [f"{which} {stand}; without {them} the verdict would be {without}"]
    return False, []


def _alike(seen: Seen, i: int, apart: Sequence[int], given: str) -> bool:
    """Whether all other units are equal and bear the verdict out: no test can be made of them."""
    rest = np.delete(seen.gains[i], apart)
    rest = rest[~np.isnan(rest)]
    if len(rest) < 2 or not np.allclose(rest, rest[0], rtol=1e-9, atol=0):
        return False
    if given == "equivalent":
        return bool(abs(rest[0]) < seen.margin)
    return bool(rest[0] > 0) == (given == "helps") and rest[0] != 0


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _points(value: float, performance: str) -> str:
    return f"{'-' if value < 0 else '+'}{amount(float(value), performance, digits=2)}"
