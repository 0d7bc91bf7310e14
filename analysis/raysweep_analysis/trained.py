"""Whether models without forcing were trained long enough to be compared with."""

from collections.abc import Iterator

import pandas as pd

from raysweep.text import counted
from raysweep.trials.trial import FEW_STEPS, Arm, Stage
from raysweep_analysis.pairs import PLACE

_LATE = 0.9
_MANY_LATE = 0.25


def training_limits(trials: pd.DataFrame) -> Iterator[str]:
    """Sentences on confirmed runs of arm none that were short, or were best at their end.

    Args:
        trials: a trial table; columns that it lacks are passed over.
    """
    none = trials[
        (trials["stage"].astype(str) == Stage.CONFIRM)
        & (trials["arm"].astype(str) == Arm.NONE)
        & (trials["status"].astype(str) == "ok")
    ]
    if none.empty:
        return
    # How long trials of a user's own train is up to their code: there is no such field.
    of_study = "epochs" in none and none["epochs"].notna().any()
    advice = "give more training.epochs" if of_study else "train longer"
    cells = none.groupby(PLACE, sort=False)
    if "steps" in none and none["steps"].notna().any():
        longest = cells["steps"].max()
        few = longest[longest < FEW_STEPS]
        if len(few):
            yield (
                f"In {len(few)} of {counted(len(longest), 'cell')} a training takes fewer than "
                f"{FEW_STEPS} steps (the shortest {few.min():g}): there a loss that only speeds "
                f"training up seems to help; {advice}."
            )
    if not {"best_epoch", "epochs"} <= set(none.columns):
        return
    if (none["best_epoch"] == none["epochs"]).all():
        return  # the last epoch was kept, whichever was best
    late = (none["best_epoch"] > _LATE * none["epochs"]).groupby([none[n] for n in PLACE]).mean()
    many = int((late > _MANY_LATE).sum())
    if many:
        yield (
            f"In {many} of {counted(len(late), 'cell')} more than a quarter of the runs without "
            "forcing were best in the last tenth of their epochs: they may not have been trained "
            f"to the end; {advice}."
        )
