"""What commands print with `--json`: one object, for programs. Keys are those of the tables."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raysweep.cli.terminal import stdout

if TYPE_CHECKING:
    from raysweep.api.status import Status
    from raysweep.folder.conclusion import Conclusion, PilotSpread
    from raysweep.kinds.kind import StudySize


def answer_json(conclusion: "Conclusion", study: str) -> None:
    """Print what a run says: the first sentence, all of them, and the verdicts as rows."""
    _print(
        {
            "study": study,
            "answer": conclusion.first,
            "cells_tested": conclusion.tested.cells,
            "cells": conclusion.tested.of,
            "unfinished": conclusion.unfinished,
            "sentences": [sentence.removeprefix("- ") for sentence in conclusion.sentences],
            "verdicts": conclusion.effects.to_dict("records"),
            "emergence": conclusion.emergence.to_dict("records"),
            "report": conclusion.report,
        }
    )


def status_json(status: "Status") -> None:
    """Print how far a run is."""
    _print(
        {
            "trials_done": status.done,
            "trials": status.planned,
            "finished": status.finished,
            "driver": status.driver,
            "seconds_left": status.seconds_left,
            "failures": dict(status.failures),
            "cells": status.cells.to_dict("records"),
            "effects_so_far": status.effects_so_far.to_dict("records"),
        }
    )


def plan_json(
    size: "StudySize", finds: float | None, workers: int, pilot: "PilotSpread | None" = None
) -> None:
    """Print a study's size.

    Args:
        size: of the study.
        finds: the smallest standardised effect that it would find; None where it forces nothing.
        workers: that share the time.
        pilot: the spread of a pilot; by it the effect is given in the outcome's unit, too.
    """
    time = None if size.seconds is None else size.seconds / workers
    content = {
        **dataclasses.asdict(size),
        "finds": finds,
        "workers": workers,
        "wall_seconds": time,
    }
    if pilot is not None and finds is not None:
        content["pilot"] = dataclasses.asdict(pilot)
        content["finds_effect"] = finds * pilot.sd_high
    _print(content)


def _print(content: Mapping[str, object]) -> None:
    text = json.dumps(_plain(content), indent=2, allow_nan=False)
    stdout.print(text, highlight=False, markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN or infinity, numbers of NumPy as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
