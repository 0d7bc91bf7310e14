"""What was measured of a trial, as columns of its row."""

from collections.abc import Mapping

import numpy as np

from raysweep.study.spec import Evaluation
from raysweep.training.alignment_scores import AlignmentScore
from raysweep.trials.columns import named
from raysweep.trials.rows import Values, aligned, distinct


def alignment_columns(
    scores: Mapping[str, AlignmentScore],
    split: str,
    evaluation: Evaluation,
    member: int,
    why: str,
    usable: bool = True,
) -> Values:
    """Every metric of alignment of one member on a split.

    Args:
        scores: metric -> its values of all members.
        split: on which they were measured.
        evaluation: what was asked for.
        member: the place of the member.
        why: why a metric is undefined, in words; empty where all are defined.
        usable: whether the member trained; of one that diverged nothing is known.
    """
    columns: Values = {}

    def put(column: str, values: np.ndarray) -> None:
        value = float(values[member])
        columns[column] = value if usable and np.isfinite(value) else None

    for name, score in scores.items():
        for column, values in aligned(name, split, score.value, _of_chance(score)):
            put(column, values)
        if len(score.pairs) > 1:
            for (a, b), values in score.pairs.items():
                put(named("pair", f"{a}-{b}", name, split), values)
        if evaluation.layers == "best":
            columns[named("alignment_layers", name, split)] = score.layers[member]
    columns[named("undefined", split)] = why if usable else ""
    for column, counts in distinct(split, (score.distinct for score in scores.values())):
        fewest = min(int(of[member]) for of in counts)
        columns[column] = fewest if usable else None
    return columns


def _of_chance(score: AlignmentScore) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    if score.calibration is None:
        return None
    of = score.calibration
    return of.chance.cpu().numpy(), of.corrected.cpu().numpy(), of.p_value.cpu().numpy()
