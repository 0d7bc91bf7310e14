"""How big an emergence study is, and how long it would take on this machine."""

from collections import Counter
from functools import partial

import torch

from raysweep.data.registry import load
from raysweep.kinds.emergence.encoders import Encoders
from raysweep.kinds.emergence.families import EncoderTrial, Family, Rates, families
from raysweep.kinds.emergence.plan import (
    MODALITIES,
    groups_per_pack,
    measured_trials,
    trials_of_family,
    tuning_cells,
)
from raysweep.kinds.emergence.run import run_family
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.kinds.kind import StudySize
from raysweep.training.timing import clock, epoch_cost
from raysweep.trials.packing import Pack

_RATES = Rates(1e-3, 0.0)

Shape = tuple[int, int, int]
"""Modality, depth, width."""


def emergence_size(study: EmergenceStudy, measure_time: bool = True) -> StudySize:
    """Count a study's parts; time it by training one encoder of every shape for a few epochs.

    Counts are those of data whose heterogeneity leaves modality 1 alone. Expect the truth within a
    factor of two.

    Raises:
        InputError: a dataset cannot be loaded.
    """
    found = families(study)
    shapes: dict[str, Counter[Shape]] = {}
    first: dict[str, Family] = {}
    groups: Counter[str] = Counter()
    packs = 0
    for family in found:
        own, encoder = len(family.draws) * len(study.seeds), family.cells[0].encoder
        packs += -(-own // groups_per_pack(study, family)) + _tuning_packs(study, family)
        groups[encoder] += own
        first.setdefault(encoder, family)
        shapes.setdefault(encoder, Counter()).update(_encoders(study, family))
    seconds = None
    if measure_time:
        seconds = sum(_seconds(study, first[e], shapes[e], groups[e]) for e in first)
    return StudySize(
        sum(len(family.cells) for family in found),
        sum(trials_of_family(study, family) for family in found),
        packs,
        sum(of_encoder.total() for of_encoder in shapes.values()),
        seconds,
    )


def _tuning_packs(study: EmergenceStudy, family: Family) -> int:
    if study.tuning is None:
        return 0
    tuning, packs = study.tuning, 0
    for modality in MODALITIES:
        each = len(tuning_cells(tuning, family, modality)) * len(tuning.seeds)
        for asked in range(0, tuning.proposals, tuning.generation):
            members = min(tuning.generation, tuning.proposals - asked) * each
            packs += -(-members // study.resources.members_per_pack)
    return packs


def _encoders(study: EmergenceStudy, family: Family) -> Counter[Shape]:
    """Shape -> encoders of a family to train."""
    shapes: Counter[Shape] = Counter()
    repeats = len(family.draws) * len(study.seeds)
    first = {(cell.depth_1, cell.width_1) for cell in family.cells}
    second = {(cell.depth_2, cell.width_2, cell.parameters) for cell in family.cells}
    for depth, width in first:
        shapes[1, depth, width] += repeats
    for depth, width, _ in second:
        shapes[2, depth, width] += repeats
    if study.tuning is not None:
        proposals = study.tuning.proposals * len(study.tuning.seeds)
        for modality in MODALITIES:
            for cell in tuning_cells(study.tuning, family, modality):
                sizes = ((cell.depth_1, cell.width_1), (cell.depth_2, cell.width_2))
                shapes[(modality, *sizes[modality - 1])] += proposals
    return shapes


def _seconds(study: EmergenceStudy, family: Family, shapes: Counter[Shape], groups: int) -> float:
    """Training by shape, and once per dataset and seed what measuring its pairs takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        draw, seed = family.draws[0], study.seeds[0]
        trials = measured_trials(study, family, draw, seed, (_RATES, _RATES), "")
        short = _with_epochs(study, 1)
        now = clock("cpu")
        started = now()
        run_family(short, Pack(tuple(trials)), estimated=False)
        once, total = now() - started, 0.0
        alone: set[tuple[int, int, int, object]]
        alone = {(1, c.depth_1, c.width_1, None) for c in family.cells}
        alone |= {(2, c.depth_2, c.width_2, c.parameters) for c in family.cells}
        of_group = Counter(encoder[:3] for encoder in alone)
        for (modality, depth, width), count in shapes.items():
            trial = _of_shape(trials, modality, depth, width)
            cost = epoch_cost(partial(_train_seconds, study, trial, modality))
            total += count * cost.per_epoch * study.training.of(modality, "epochs")
            once -= of_group[modality, depth, width] * cost.per_epoch
        return total + groups * max(once, 0.0)
    finally:
        torch.set_num_threads(threads)


def _of_shape(trials: list[EncoderTrial], modality: int, depth: int, width: int) -> EncoderTrial:
    for trial in trials:
        cell = trial.cell
        if ((cell.depth_1, cell.width_1), (cell.depth_2, cell.width_2))[modality - 1] == (
            depth,
            width,
        ):
            return trial
    return trials[0]  # a shape that another family alone has


def _train_seconds(study: EmergenceStudy, trial: EncoderTrial, modality: int, epochs: int) -> float:
    cell = trial.cell
    view = load(cell.dataset, dict(cell.parameters), trial.draw)
    alone = EncoderTrial(
        cell,
        trial.draw,
        trial.seed,
        0.0,
        trial.arm,
        trial.stage,
        "",
        rates=trial.rates,
        modality=modality,
    )
    views = {(cell.parameters, trial.draw): view}
    now = clock("cpu")
    started = now()
    Encoders(_with_epochs(study, epochs), [alone], views, "cpu")
    return now() - started


def _with_epochs(study: EmergenceStudy, epochs: int) -> EmergenceStudy:
    changes = {"epochs": epochs, "epochs_1": None, "epochs_2": None}
    training = study.training.model_copy(update=changes)
    return study.model_copy(update={"training": training})
