"""What was measured of a trial, as columns of its row."""

from collections.abc import Mapping

import numpy as np

from raysweep.evaluate import AlignmentScore
from raysweep.spec import Evaluation

Columns = dict[str, int | float | str | None]


def alignment_columns(
    scores: Mapping[str, AlignmentScore],
    split: str,
    evaluation: Evaluation,
    member: int,
    why: str,
    usable: bool = True,
) -> Columns:
    """Every metric of alignment of one member on a split.

    Args:
        scores: metric -> its values of all members.
        split: on which they were measured.
        evaluation: what was asked for.
        member: the place of the member.
        why: why a metric is undefined, in words; empty where all are defined.
        usable: whether the member trained; of one that diverged nothing is known.
    """
    columns: Columns = {}

    def put(column: str, values: np.ndarray) -> None:
        value = float(values[member])
        columns[column] = value if usable and np.isfinite(value) else None

    for name, score in scores.items():
        put(f"alignment_{name}_{split}", score.value)
        if len(score.pairs) > 1:
            for (a, b), values in score.pairs.items():
                put(f"pair_{a}-{b}_{name}_{split}", values)
        if score.calibration is not None:
            put(f"chance_{name}_{split}", score.calibration.chance.cpu().numpy())
            put(f"corrected_{name}_{split}", score.calibration.corrected.cpu().numpy())
            put(f"chance_p_{name}_{split}", score.calibration.p_value.cpu().numpy())
        if evaluation.layers == "best":
            columns[f"alignment_layers_{name}_{split}"] = score.layers[member]
    columns[f"undefined_{split}"] = why if usable else ""
    counted = [score.distinct for score in scores.values() if score.distinct is not None]
    for modality, counts in enumerate(zip(*counted, strict=True), start=1):
        fewest = np.minimum.reduce(counts)
        columns[f"distinct_rows_{modality}_{split}"] = int(fewest[member]) if usable else None
    return columns
