"""Run folders whose rows are drawn instead of trained: any size, in no time, known by key."""

from pathlib import Path
from typing import Any

import numpy as np

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import Sweep
from raysweep.trials.columns import CURVE_EPOCHS, named
from raysweep.trials.storage import Output
from raysweep.trials.table import Row, results_of, write_part
from raysweep.trials.trial import Trial

SPLITS = ("validation", "test", "population")
CURVES = (
    *("task_loss", "fused_loss", "alignment_loss"),
    *("performance_1", "performance_2", "performance_fused"),
)
EPOCHS = 5


def study(**changes: Any) -> Study:
    """A study of two cells, with changes such as ``search={"trials": 6}``."""
    return Study.model_validate(
        {
            "name": "drawn",
            "description": "Drawn rows of two cells.",
            "data": {"dataset": "synthetic", "U": [0, 4]},
            "search": {"trials": 4, "generation": 2, "seeds": 2},
            "confirm": {"seeds": 3},
            "resources": {"members_per_pack": 3},
            **changes,
        }
    )


def drawn_row(planned: Study, trial: Trial, diverged: bool = False) -> Row:
    """The row of a trial; every number is a function of the trial's key."""
    rng = np.random.default_rng(int(trial.key, 16))
    heads = [(head, split) for head in (1, 2, "fused") for split in SPLITS]
    measured = {
        **{f"alignment_{m}_{s}": rng.random() for m in planned.evaluation.metrics for s in SPLITS},
        **{f"performance_{head}_{split}": rng.random() for head, split in heads},
        **{f"loss_{head}_{split}": 2 * rng.random() for head, split in heads},
        "gradient_ratio": rng.random(),
    }
    return {
        "key": trial.key,
        "study": planned.name,
        "cell": trial.cell.id,
        "draw": trial.draw,
        "seed": trial.seed,
        "strength": trial.strength,
        "arm": trial.arm.value,
        "stage": trial.stage.value,
        "status": "diverged" if diverged else "ok",
        "I1": 0.5,
        "train_seconds": 0.25,
        **{name: None if diverged else value for name, value in measured.items()},
        CURVE_EPOCHS: list(range(1, EPOCHS + 1)),
        **{named("curve", name): list(rng.random(EPOCHS)) for name in CURVES},
    }


def opened(path: Path, planned: Study) -> RunFolder:
    """A run folder adopted by the study."""
    folder = RunFolder(Output(path))
    folder.adopt(planned)
    return folder


def draw_packs(folder: RunFolder, planned: Study, most: int | None = None) -> int:
    """Write the part files of the packs that are missing, at most so many; returns how many."""
    sweep: Sweep = folder.open_sweep(planned)
    written = 0
    while written != most and (pack := sweep.next_pack()) is not None:
        rows = [drawn_row(planned, trial) for trial in pack.trials]
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
        written += 1
    return written
