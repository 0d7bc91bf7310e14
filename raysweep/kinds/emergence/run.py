"""Runs one pack of an emergence study: trains its encoders, aligns its pairs, makes its rows."""

from collections.abc import Iterator, Sequence

from raysweep.data.facts import data_facts
from raysweep.data.registry import load
from raysweep.kinds.emergence.encoders import Encoders, Job, Measured
from raysweep.kinds.emergence.families import EncoderTrial
from raysweep.kinds.emergence.pairs import PairScore, align_pairs
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.metrics.groups import ALL_SIZES_DIFFER, can_be_shuffled
from raysweep.metrics.measurement import why_apart
from raysweep.metrics.undefined import same_rows, words_of
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
        trained = [encoders[encoders.job(trial, side)] for side in sides]
        rows.append(
            {
                **planned(study, trial),
                "modality": trial.modality,
                **data_facts(trial.cell, trial.draw, view, estimated),
                **modelled(study, trial.cell),
                "parameters": sum(side.parameters for side in trained),
                **_settings(study, trial, sides),
                **_training(trained),
                "device": device,
                "train_seconds": encoders.train_seconds / len(trials),
                **aligned.get(trial.key, {}),
            }
        )
    return rows


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
            of_rows = encoders.groups(usable[0][1], split)
            scores = align_pairs(
                {one: encoders[one].layers[split] for _, one, _ in usable},
                {two: encoders[two].layers[split] for _, _, two in usable},
                [(one, two) for _, one, two in usable],
                study.evaluation,
                split,
                of_rows,
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
                constant = [bool(lost) and all(map(same_rows, of)) for of in layers]
                asked = study.evaluation.metrics.items()
                apart = [why_apart(name, options, of_rows) for name, options in asked]
                if study.evaluation.calibrate and not can_be_shuffled(of_rows):
                    apart.append(ALL_SIZES_DIFFER)
                found[trial.key][named("undefined", split)] = words_of(lost, constant, apart)
    return found


def _measured(
    study: EmergenceStudy, name: str, split: str, score: PairScore
) -> Iterator[tuple[str, float | str | None]]:
    of_chance = score.chance, score.corrected, score.p_value
    yield from aligned(name, split, score.value, of_chance if study.evaluation.calibrate else None)
    if study.evaluation.layers == "best":
        yield named("alignment_layers", name, split), score.layers


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
