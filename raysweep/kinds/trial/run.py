"""Runs one trial of the user's own, and makes its row."""

import gc
import time
from collections.abc import Mapping

import numpy as np
import torch

from raysweep.errors import InputError
from raysweep.kinds.trial.command import OUTPUT, run_command
from raysweep.kinds.trial.context import TrialContext
from raysweep.kinds.trial.printed import printed
from raysweep.kinds.trial.seeding import as_found, seed_everything
from raysweep.kinds.trial.study import TrialStudy
from raysweep.kinds.trial.told import Told, TrialError
from raysweep.plugins.user_code import imported
from raysweep.plugins.user_threads import threads_heard
from raysweep.study.files import check_files
from raysweep.trials.columns import CURVE_EPOCHS, named
from raysweep.trials.packing import Pack
from raysweep.trials.rows import forced_by, planned
from raysweep.trials.storage import Output
from raysweep.trials.table import Row
from raysweep.trials.trial import Status, Trial

CURVE_POINTS = 25


def run_pack(study: TrialStudy, pack: Pack, device: str, output: Output) -> list[Row]:
    """Run the trials of a pack, which has one.

    Args:
        study: the study the pack belongs to.
        pack: its trials.
        device: a torch device.
        output: the run's folder, where trials keep what they have come to.

    Raises:
        InputError: a file has changed since the study was resolved, or raysweep was called wrongly.
        TrialError: a trial did not give what the study needs of it.
        Exception: whatever the user's code raises.
    """
    return [run_trial(study, trial, device, output)[0] for trial in pack.trials]


def run_trial(
    study: TrialStudy, trial: Trial, device: str, output: Output, whole: bool = True
) -> tuple[Row, Told]:
    """Run one trial: its row, and all that it told.

    Args:
        study: the study.
        trial: the trial.
        device: a torch device.
        output: the run's folder.
        whole: whether it has to give all that the study needs.
    """
    check_files(study, trial.cell)
    context = TrialContext(study, trial, device, output)
    source = study.trial.function or " ".join(study.trial.command or ())
    started = time.monotonic()
    try:
        with as_found():
            seed_everything(context)
            returned = _returned(study, context)
    finally:
        context._leave()
        if device != "cpu":
            _free_device_memory()
    seconds = time.monotonic() - started
    told = Told(context, returned, source)
    missing = told.missing(study, trial) if whole else ""
    if missing:
        raise TrialError(missing)
    return _row(study, trial, told, device, seconds), told


def _returned(study: TrialStudy, context: TrialContext) -> object:
    if study.trial.function is None:
        return run_command(study.trial, context)
    function = imported(study.trial.function, f"trial {study.trial.function}")
    try:
        with printed(context.folder / OUTPUT), threads_heard():
            return function(context)
    except SystemExit as error:
        # It would end the worker, or the whole run, and say nothing.
        raise TrialError(
            f"{study.trial.function} ended the program (SystemExit: {error.code}); return from the "
            "function instead"
        ) from error


def _free_device_memory() -> None:
    """Trainers and their models hold each other, and torch does not look for such before it fails.

    What it keeps for itself, trials that share the device cannot have.
    """
    gc.collect()
    torch.cuda.empty_cache()


def _row(study: TrialStudy, trial: Trial, told: Told, device: str, seconds: float) -> Row:
    diverged = told.diverged(study, trial)
    metrics = {n: v if np.isfinite(v) and not diverged else None for n, v in told.metrics.items()}
    measured = {n: None if diverged else v for n, v in told.measured.items()}
    penalty = told.penalty
    return {
        **planned(study, trial),
        "objective": study.search.objective,
        "data": trial.cell.dataset,
        **dict(trial.cell.parameters),
        **forced_by(study, trial),
        **{named("training", name): value for name, value in trial.training},
        "stopped_after": trial.epochs or None,
        "trained_epochs": max(told.logged) if told.logged else None,
        "status": (Status.DIVERGED if diverged else Status.OK).value,
        "reason": diverged,
        "diverged_step": penalty.nonfinite if diverged and penalty.nonfinite >= 0 else None,
        "steps": penalty.steps or None,
        "unforced_steps": penalty.unforced if penalty.steps else None,
        "device": device,
        "train_seconds": seconds,
        **metrics,
        **measured,
        **_curves(told.logged),
    }


def _curves(logged: Mapping[int, Mapping[str, float]]) -> dict[str, list[float | None]]:
    """What was logged as columns: of many epochs a selection, evenly spread, with the last."""
    if not logged:
        return {}
    epochs = np.array(sorted(logged))
    kept = epochs[np.unique(np.linspace(0, len(epochs) - 1, CURVE_POINTS).round().astype(int))]
    names = dict.fromkeys(name for epoch in logged for name in logged[epoch])
    curves: dict[str, list[float | None]] = {CURVE_EPOCHS: [int(epoch) for epoch in kept]}
    for name in names:
        seen = [logged[epoch].get(name) for epoch in kept]
        curves[named("curve", name)] = [
            v if v is not None and np.isfinite(v) else None for v in seen
        ]
    return curves


def checked_function(path: str) -> None:
    """Import the function of a study, and see that it can be called with a trial.

    Raises:
        InputError: it cannot.
    """
    from raysweep.plugins.user_code import check_call

    function = imported(path, f"trial {path}")
    if isinstance(function, type):
        raise InputError(f"trial {path}: is a class; name a function that trains")
    name = path.partition(":")[2]
    check_call(function, f"trial {path}", f"{name}(trial)", (None,), {}, {})
