"""Runs one pack of an emergence study: trains its encoders, aligns its pairs, makes its rows."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from raysweep.data.facts import data_facts
from raysweep.data.registry import load
from raysweep.kinds.emergence.encoders import MEASURED_SPLITS, Encoders, Job, Measured
from raysweep.kinds.emergence.families import EncoderTrial
from raysweep.kinds.emergence.pairs import PairScore, align_pairs
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.metrics.undefined import words_of
from raysweep.study.files import check_files
from raysweep.training.denormals import denormals
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Status

Values = dict[str, int | float | str | None]


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
                **_plan(study, trial),
                **data_facts(trial.cell, trial.draw, view, estimated),
                **_model(trial, trained),
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
            scores = align_pairs(
                {one: encoders[one].layers[split] for _, one, _ in usable},
                {two: encoders[two].layers[split] for _, _, two in usable},
                [(one, two) for _, one, two in usable],
                study.evaluation,
                split,
            )
            for name, of_pairs in scores.items():
                for (trial, _, _), score in zip(usable, of_pairs, strict=True):
                    found[trial.key].update(_columns(study, name, split, score))
            for (trial, *pair), of_metrics in zip(
                usable, zip(*scores.values(), strict=True), strict=True
            ):
                found[trial.key].update(_distinct(split, of_metrics))
                lost = [n for n, s in zip(scores, of_metrics, strict=True) if s.value is None]
                layers = [encoders[job].layers[split] for job in pair]
                constant = [bool(lost) and all(map(_is_constant, of)) for of in layers]
                found[trial.key][f"undefined_{split}"] = words_of(lost, constant)
    return found


def _is_constant(layer: Tensor) -> bool:
    """Whether all rows of a layer [n, width] are the same number for number."""
    return bool((layer == layer[:1]).all())


def _columns(
    study: EmergenceStudy, name: str, split: str, score: PairScore
) -> Iterator[tuple[str, float | str | None]]:
    yield f"alignment_{name}_{split}", score.value
    if study.evaluation.layers == "best":
        yield f"alignment_layers_{name}_{split}", score.layers
    if study.evaluation.calibrate:
        yield f"chance_{name}_{split}", score.chance
        yield f"corrected_{name}_{split}", score.corrected
        yield f"chance_p_{name}_{split}", score.p_value


def _distinct(split: str, scores: Iterable[PairScore]) -> Values:
    """The fewest different rows that the metrics of neighbours report."""
    counted = [score.distinct for score in scores if score.distinct is not None]
    return {
        f"distinct_rows_{modality}_{split}": min(counts)
        for modality, counts in enumerate(zip(*counted, strict=True), start=1)
    }


def _plan(study: EmergenceStudy, trial: EncoderTrial) -> Values:
    return {
        "key": trial.key,
        "study": study.name,
        "cell": trial.cell.id,
        "draw": trial.draw,
        "seed": trial.seed,
        "strength": 0.0,
        "arm": trial.arm.value,
        "stage": trial.stage.value,
        "chosen_by": "",
        "generation": trial.generation,
        "number": trial.number,
        "modality": trial.modality,
    }


def _model(trial: EncoderTrial, sides: Sequence[Measured]) -> Values:
    cell = trial.cell
    return {
        "encoder": cell.encoder,
        "depth_1": cell.depth_1,
        "depth_2": cell.depth_2,
        "width_1": cell.width_1,
        "width_2": cell.width_2,
        "parameters": sum(side.parameters for side in sides),
    }


def _settings(study: EmergenceStudy, trial: EncoderTrial, sides: Sequence[int]) -> Values:
    found: Values = {"batch_size": study.training.batch_size}
    for side in sides:
        rates = trial.rates[side - 1]
        found[f"learning_rate_{side}"] = rates.learning_rate
        found[f"weight_decay_{side}"] = rates.weight_decay
        found[f"epochs_{side}"] = int(study.training.of(side, "epochs"))
    return found


def _training(sides: Sequence[Measured]) -> Values:
    found: Values = {}
    broken = []
    for side in sides:
        found.update(side.columns)
        if side.status is not Status.OK:
            broken.append(side.diverged_step)
    return {
        "status": (Status.DIVERGED if broken else Status.OK).value,
        "reason": f"not finite at step {min(broken)}" if broken else "",
        "diverged_step": min(broken) if broken else -1,
        **found,
    }
