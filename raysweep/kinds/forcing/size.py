"""How big a study is, and how long it would take on this machine."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from raysweep.kinds.forcing.cell_search import Phase, phases, proposals_of, search_draws
from raysweep.kinds.forcing.plan import ForcingSweep, trials_of_cell
from raysweep.kinds.forcing.remarks import steps_planned
from raysweep.kinds.forcing.run_pack import run_pack, train_only
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.kind import StudySize
from raysweep.training.timing import clock, epoch_cost
from raysweep.trials.packing import Pack, pack_trials
from raysweep.trials.trial import Arm, Trial

_PROBE_MEMBERS = 8


def forcing_size(study: ForcingStudy, measure_time: bool = True) -> StudySize:
    """Count a study's parts; time it by training a few members for a few epochs.

    Per data block and model shape, the first cell is run with 1 epoch and with some more; time
    grows linearly from there in epochs and members. Expect the truth within a factor of two.

    Raises:
        InputError: a dataset cannot be loaded.
    """
    sweep = ForcingSweep(study)
    trials, encoders = 0, 0
    seconds: float | None = 0.0 if measure_time else None
    probed: dict[tuple[object, ...], float] = {}
    for cell in sweep.cells:
        count = trials_of_cell(study, cell)
        trials += count
        encoders += count * cell.modalities
        if seconds is None:
            continue
        rows = dict(cell.parameters).get("train")
        depths, widths = (cell.depth_1, cell.depth_2), (cell.width_1, cell.width_2)
        kind = (cell.dataset, rows, cell.encoder, depths, widths, cell.modalities)
        if kind not in probed:
            probed[kind] = _seconds_per_member(study, sweep.plans[cell.id].trials)
        seconds += count * probed[kind]
    packs = sum(
        _packs_of_cohort(study, [sweep.plans[cell.id].trials[0] for cell in cohort])
        for cohort in sweep.cohorts
    )
    early = "at most: cells stop once they are decided" if study.confirm.sequential else ""
    doubts = tuple(filter(None, (early, steps_planned(study))))
    return StudySize(len(sweep.cells), trials, packs, encoders, seconds, doubts)


def _packs_of_cohort(study: ForcingStudy, cohort: Sequence[Trial]) -> int:
    """Packs of a cohort's cells, at most; a trial stands for each of them.

    Two criteria choose two proposals, and no proposals share their searched options.
    """
    if study.search.options and len(cohort) > 1:
        return sum(_packs_of_cohort(study, [trial]) for trial in cohort)
    limit = study.resources.members_per_pack
    members = sum(len(search_draws(study, t.cell)) for t in cohort) * len(study.search.seeds)
    packs = 0
    for phase in phases(study):
        asked, wanted = 0, proposals_of(study, cohort[0].cell, phase)
        # Searched options differ between proposals, and a pack has one loss.
        options = bool(study.search.options) and phase is not Phase.NONE
        while asked < wanted:
            count = min(study.search.generation, wanted - asked)
            together = count + (phase is Phase.STRENGTH and asked == 0)
            apart = together if options else 1
            packs += apart * -(-(together // apart * members) // limit)
            asked += count
    # None, then forced and placebo for each criterion; proposals of other options pack apart.
    arms = [1 + 2 * len(study.criteria)]
    if study.search.options and len(study.criteria) > 1:
        arms = [3, 2]
    pairs = [t for t in cohort for _ in range(len(study.confirm.seeds) * len(t.cell.draws))]
    if study.confirm.sequential:
        return packs + _packs_of_looks(study, pairs)
    return packs + sum(len(pack_trials([[t] * n for t in pairs], limit)) for n in arms)


def _packs_of_looks(study: ForcingStudy, pairs: list[Trial]) -> int:
    """Packs of a cohort whose cells go on to their last look; their placebos come at the end."""
    limit, forced = study.resources.members_per_pack, len(study.criteria)
    fresh = (
        np.diff(study.confirm.sequential, prepend=0) * len(pairs) // study.confirm.sequential[-1]
    )
    looks = [[pairs[:1] * (1 + forced)] * count for count in fresh.tolist()]
    groups = [*looks, [pairs[:1] * forced] * len(pairs)]
    return sum(len(pack_trials(of_step, limit)) for of_step in groups)


def _seconds_per_member(study: ForcingStudy, planned: tuple[Trial, ...]) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # Where the training is searched, it comes first, and nothing is forced; epochs are set here.
    forced = [t for t in planned if t.strength > 0]
    forced = forced or [replace(t, strength=1.0, arm=Arm.FORCED) for t in planned]
    forced = [replace(t, training=()) for t in forced]
    forced = [t for t in forced if t.options == forced[0].options]
    members = tuple(itertools.islice(itertools.cycle(forced), _PROBE_MEMBERS))

    now = clock("cpu")

    def seconds_of(work: Callable[[], object]) -> float:
        started = now()
        work()
        return now() - started

    def training(epochs: int) -> float:
        return seconds_of(lambda: train_only(_with_epochs(study, epochs), Pack(members)))

    once = _with_epochs(study, 1)
    try:
        run_pack(once, Pack(members[:1]), estimated=False)  # loads the data, warms up
        # What is measured at the end costs the same however long the training was.
        whole = seconds_of(lambda: run_pack(once, Pack(members), estimated=False))
        per_epoch = epoch_cost(training).per_epoch
    finally:
        torch.set_num_threads(threads)
    return (whole + per_epoch * (_epochs(study) - 1)) / _PROBE_MEMBERS


def _epochs(study: ForcingStudy) -> float:
    """Epochs of a trial, on average where they are searched."""
    searched = study.search.training.epochs if study.search.training is not None else None
    return study.training.epochs if searched is None else sum(searched) / len(searched)


def _with_epochs(study: ForcingStudy, epochs: int) -> ForcingStudy:
    training = study.training.model_copy(update={"epochs": epochs})
    return study.model_copy(update={"training": training})
