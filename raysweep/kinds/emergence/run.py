"""Runs one pack of an emergence study: trains its encoders, aligns its pairs, makes its rows."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from raysweep.data.facts import data_facts
from raysweep.data.registry import load
from raysweep.kinds.emergence.encoders import CHUNK_ROWS, Encoders, Job, Measured
from raysweep.kinds.emergence.families import EncoderTrial
from raysweep.kinds.emergence.pairs import PairScore, align_pairs
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.metrics.undefined import words_of
from raysweep.models.shape import EncoderShape
from raysweep.study.files import check_files
from raysweep.training.denormals import denormals
from raysweep.trials.columns import MEASURED_SPLITS, named
from raysweep.trials.packing import Pack
from raysweep.trials.rows import Values, aligned, distinct, ended, modelled, planned
from raysweep.trials.table import Row
from raysweep.trials.trial import Status


@denormals(flushed=False)
def run_family(
    study: EmergenceStudy, pack: Pack, device: str = "cpu", estimated: bool = True
) -> list[Row]:
    """Train and measure what the trials of a pack need.

    Args:
        study: the study the pack belongs to.
        pack: trials of one family.
        device: a torch device.
        estimated: whether information that is not known is estimated, which takes seconds.

    Returns:
        One row per trial, in the pack's order; `raysweep.trials.columns.COLUMNS` has its columns.

    Raises:
        InputError: the dataset cannot be loaded, a file has changed since the study was resolved,
            or sizes do not fit.
    """
    trials = [trial for trial in pack.trials if isinstance(trial, EncoderTrial)]
    places = {(trial.cell.parameters, trial.draw): trial.cell for trial in trials}
    for cell in {cell.contents: cell for cell in places.values()}.values():
        check_files(study, cell)
    views = {
        (parameters, draw): load(cell.dataset, dict(cell.parameters), draw)
        for (parameters, draw), cell in places.items()
    }
    encoders = Encoders(study, trials, views, device)
    aligned = _aligned(study, trials, encoders)
    rows: list[Row] = []
    for trial in trials:
        view = views[trial.cell.parameters, trial.draw]
        sides = (1, 2) if trial.modality == 0 else (trial.modality,)
        rows.append(
            {
                **planned(study, trial),
                "modality": trial.modality,
                **data_facts(trial.cell, trial.draw, view, estimated),
                **modelled(study, trial.cell),
                "parameters": _parameters(trial, view.classes, view.x1.shape[1], view.x2.shape[1]),
                **_settings(study, trial, sides),
                **_training([encoders[encoders.job(trial, side)] for side in sides]),
                "device": device,
                "train_seconds": encoders.train_seconds / len(trials),
                **aligned.get(trial.key, {}),
            }
        )
    return rows


def family_bytes(study: EmergenceStudy, pack: Pack, device: str = "cpu") -> int:
    """Estimated peak memory of a pack, in bytes: its data, the largest stack, all layers."""
    trials = [trial for trial in pack.trials if isinstance(trial, EncoderTrial)]
    cell = trials[0].cell
    view = load(cell.dataset, dict(cell.parameters), trials[0].draw)
    inputs = view.x1.shape[1], view.x2.shape[1]
    size = np.dtype(study.training.dtype).itemsize
    datasets = len({(trial.cell.parameters, trial.draw) for trial in trials})
    # Loaded, stacked and held by the engine.
    data = datasets * len(view.y) * sum(inputs) * (8 + 8 + 2 * size)
    stacks: Counter[EncoderShape] = Counter()
    layers = 0
    for modality, d in enumerate(inputs, 1):
        encoders = set()
        for trial in trials:
            if trial.modality in (0, modality):
                own = trial.cell
                depth = (own.depth_1, own.depth_2)[modality - 1]
                width = (own.width_1, own.width_2)[modality - 1]
                variant = own.parameters if modality == 2 else ()
                encoders.add((depth, width, variant, trial.draw, trial.seed, trial.rates))
        for depth, width, *_ in encoders:
            stacks[EncoderShape(d, view.classes, depth, width, modality)] += 1
            rows = min(study.evaluation.rows, len(view.splits.test))
            # Both splits, with the bits of a metric of neighbours.
            layers += depth * rows * (2 * width * size + rows // 8)
    batch = min(study.training.batch_size, len(view.splits.train))
    # Afterwards all layers of a whole chunk of rows are there at once, once each.
    population = 0 if view.population is None else len(view.population.x1)
    chunk = min(CHUNK_ROWS, max(len(view.y), population))
    columns = max(3 * batch, chunk)
    stack = max(
        count * (10 * shape.parameter_count + columns * (shape.d + (shape.depth + 1) * shape.width))
        for shape, count in stacks.items()
    )
    return data + stack * size + layers


def _aligned(
    study: EmergenceStudy, trials: Sequence[EncoderTrial], encoders: Encoders
) -> dict[str, Values]:
    """Key -> alignment columns of the trials that are pairs."""
    groups: dict[tuple[object, ...], list[tuple[EncoderTrial, Job, Job]]] = {}
    for trial in trials:
        if trial.modality:
            continue
        one, two = encoders.job(trial, 1), encoders.job(trial, 2)
        # The pairs of one dataset and seed share their rows, and nearly all of their encoders.
        groups.setdefault((one.content, two.content, trial.draw, trial.seed), []).append(
            (trial, one, two)
        )
    found: dict[str, Values] = {}
    for group in groups.values():
        usable = [g for g in group if encoders[g[1]].layers and encoders[g[2]].layers]
        for trial, _, _ in group:
            found[trial.key] = {}
        if not usable:
            continue
        for split in MEASURED_SPLITS:
            scores = align_pairs(
                {one: encoders[one].layers[split] for _, one, _ in usable},
                {two: encoders[two].layers[split] for _, _, two in usable},
                [(one, two) for _, one, two in usable],
                study.evaluation,
                split,
            )
            for name, of_pairs in scores.items():
                for (trial, _, _), score in zip(usable, of_pairs, strict=True):
                    found[trial.key].update(_measured(study, name, split, score))
            for (trial, *pair), of_metrics in zip(
                usable, zip(*scores.values(), strict=True), strict=True
            ):
                of_neighbours = distinct(split, (score.distinct for score in of_metrics))
                found[trial.key].update((name, min(counts)) for name, counts in of_neighbours)
                lost = [n for n, s in zip(scores, of_metrics, strict=True) if s.value is None]
                layers = [encoders[job].layers[split] for job in pair]
                constant = [bool(lost) and all(map(_is_constant, of)) for of in layers]
                found[trial.key][named("undefined", split)] = words_of(lost, constant)
    return found


def _is_constant(layer: Tensor) -> bool:
    """Whether all rows of a layer [n, width] are the same number for number."""
    return bool((layer == layer[:1]).all())


def _measured(
    study: EmergenceStudy, name: str, split: str, score: PairScore
) -> Iterator[tuple[str, float | str | None]]:
    of_chance = score.chance, score.corrected, score.p_value
    yield from aligned(name, split, score.value, of_chance if study.evaluation.calibrate else None)
    if study.evaluation.layers == "best":
        yield named("alignment_layers", name, split), score.layers


def _parameters(trial: EncoderTrial, classes: int, d1: int, d2: int) -> int:
    cell = trial.cell
    sizes = ((d1, cell.depth_1, cell.width_1), (d2, cell.depth_2, cell.width_2))
    counts = [EncoderShape(d, classes, depth, width).parameter_count for d, depth, width in sizes]
    return sum(counts) if trial.modality == 0 else counts[trial.modality - 1]


def _settings(study: EmergenceStudy, trial: EncoderTrial, sides: Sequence[int]) -> Values:
    found: Values = {"batch_size": study.training.batch_size}
    for side in sides:
        rates = trial.rates[side - 1]
        found[named("learning_rate", side)] = rates.learning_rate
        found[named("weight_decay", side)] = rates.weight_decay
        found[named("epochs", side)] = int(study.training.of(side, "epochs"))
    return found


def _training(sides: Sequence[Measured]) -> Values:
    found: Values = {}
    broken = []
    for side in sides:
        found.update(side.columns)
        if side.status is not Status.OK:
            broken.append(side.diverged_step)
    status = Status.DIVERGED if broken else Status.OK
    return {**ended(status, min(broken, default=-1)), **found}
