"""Runs one pack: loads its data, trains it, measures it, and makes its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raysweep import evaluate
from raysweep.data.facts import data_facts
from raysweep.data.registry import load_together
from raysweep.data.views import PairedViews
from raysweep.forcing.curves import AlignmentCurve, aligned_layer, learning_curves
from raysweep.forcing.rows import option_columns, trial_columns
from raysweep.forcing.undefined import undefined_words
from raysweep.measured import Columns, alignment_columns
from raysweep.models.architecture import Architecture
from raysweep.models.memory import PackSize
from raysweep.models.named import named_architecture
from raysweep.models.shape import PairShape
from raysweep.models.trained import TrainedPack
from raysweep.objective import OverPairs, build_loss, pairwise_elements
from raysweep.packing import Pack
from raysweep.seeds import derive_seed
from raysweep.spec import ForcingStudy
from raysweep.table import Row
from raysweep.train import precision, train_pack
from raysweep.training.denormals import denormals
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.trials import Arm, Options, Status, Trial
from raysweep.vocabulary import check_files

MEASURED_SPLITS = ("validation", "test")


@denormals(flushed=False)
def run_pack(
    study: ForcingStudy, pack: Pack, device: str = "cpu", estimated: bool = True
) -> list[Row]:
    """Train and measure all trials of a pack.

    Args:
        study: the study the pack belongs to.
        pack: trials of cells of equal scale.
        device: a torch device.
        estimated: whether information that is not known is estimated, which takes seconds; a look
            at how long a pack takes does without.

    Returns:
        One row per trial, in the pack's order, with the columns of `raysweep.columns.COLUMNS`.

    Raises:
        InputError: the dataset cannot be loaded, a file has changed since the study was resolved,
            or sizes do not fit.
    """
    rows: dict[int, Row] = {}
    for group in _loaded(study, pack.trials):
        of_group = _run_group(study, group, device, pack.options, estimated)
        rows.update(zip(group.places, of_group, strict=True))
    return [rows[place] for place in range(len(pack.trials))]


def train_only(study: ForcingStudy, pack: Pack, device: str = "cpu") -> None:
    """Load and train a pack as `run_pack` does, and measure nothing: to see how long it takes.

    Raises:
        InputError: as `run_pack`.
    """
    for group in _loaded(study, pack.trials):
        _trained(study, group, device, pack.options)


def _trained(
    study: ForcingStudy, group: "_Group", device: str, options: Options
) -> tuple[TrainedPack, AlignmentCurve]:
    curve = AlignmentCurve(study, group.shape, group.views, group.dataset)
    trained = train_pack(
        group.shape,
        _members(study, group.trials),
        _data(group.views, group.dataset),
        train_settings(study, device, options),
        observe=curve.observe,
    )
    return trained, curve


def _run_group(
    study: ForcingStudy, group: "_Group", device: str, options: Options, estimated: bool
) -> list[Row]:
    trials, views, dataset = group.trials, group.views, group.dataset
    trained, curve = _trained(study, group, device, options)
    with precision(study.training.tf32):
        measured = _measure(study, trained, views)
    of_dataset = dict(zip(dataset, trials, strict=True))  # one trial of each
    facts = {
        which: data_facts(t.cell, t.draw, views[which], estimated)
        for which, t in of_dataset.items()
    }
    return [
        {
            **_descriptive(study, trial, facts[dataset[i]], group.shape),
            "device": device,
            **_training(trained, i, len(trials)),
            **measured[i],
            **learning_curves(study, trained, curve, i),
        }
        for i, trial in enumerate(trials)
    ]


def pack_bytes(study: ForcingStudy, pack: Pack, device: str = "cpu") -> int:
    """Estimated peak memory of a pack's training, in bytes (`raysweep.models.memory`).

    Raises:
        InputError: as for `run_pack`.
    """
    settings = train_settings(study, device, pack.options)
    # Groups train one after another.
    return max(_group_bytes(group, settings) for group in _loaded(study, pack.trials))


def _group_bytes(group: "_Group", settings: TrainSettings) -> int:
    views, shape, on_cpu = group.views, group.shape, settings.device == "cpu"
    loss = build_loss(settings.loss, settings.loss_options)
    rows = (len(views[0].splits.train), len(views[0].splits.validation))
    aligned = sum(trial.strength > 0 for trial in group.trials)
    batch = min(settings.batch_size, rows[0])
    size = PackSize(
        shape=shape,
        members=len(group.trials),
        aligned=aligned,
        datasets=len(views),
        orders=len({(trial.draw, trial.seed) for trial in group.trials}),
        rows=rows,
        batch_size=settings.batch_size,
        itemsize=np.dtype(settings.dtype).itemsize,
        alignment_parameters=sum(OverPairs(loss).parameter_counts(shape.widths)),
        pairwise=pairwise_elements(settings.loss, aligned, batch, on_cpu),
    )
    beyond = len(shape.inputs) > 2 or not isinstance(shape, PairShape)
    if settings.engine == "torch" or not on_cpu or settings.layer is not None or beyond:
        return size.torch_bytes()
    return size.kernel_bytes(asked=settings.loss not in KERNEL_LOSSES)


@dataclass(frozen=True)
class _Group:
    """Trials of a pack whose data have equal sizes, so that they train as one stacked computation.

    Attributes:
        places: where the m trials are in the pack.
        trials: the trials.
        views: the k draws of cells that they learn from.
        dataset: int64 [m], each trial's among the views.
        shape: of every member.
    """

    places: Sequence[int]
    trials: Sequence[Trial]
    views: Sequence[PairedViews]
    dataset: np.ndarray
    shape: Architecture


def _loaded(study: ForcingStudy, trials: Sequence[Trial]) -> list[_Group]:
    """The trials with their data, which are loaded once each, in groups of equal sizes."""
    draws = {(trial.cell.id, trial.draw): trial.cell for trial in trials}
    for cell in {cell.id: cell for cell in draws.values()}.values():
        check_files(study, cell)
    wanted = ((cell.dataset, dict(cell.parameters), draw) for (_, draw), cell in draws.items())
    views = dict(zip(draws, load_together(wanted), strict=True))
    places: dict[tuple[int, ...], list[int]] = {}
    for place, trial in enumerate(trials):
        places.setdefault(_sizes(views[trial.cell.id, trial.draw]), []).append(place)
    return [_group(study, of_group, trials, views) for of_group in places.values()]


def _sizes(view: PairedViews) -> tuple[int, ...]:
    splits = (view.splits.train, view.splits.validation, view.splits.test)
    return (view.classes, *map(len, splits), *(x.shape[1] for x in view.inputs))


def _group(
    study: ForcingStudy,
    places: Sequence[int],
    of_pack: Sequence[Trial],
    views_of: Mapping[tuple[str, int], PairedViews],
) -> _Group:
    trials = [of_pack[place] for place in places]
    number: dict[tuple[str, int], int] = {}
    dataset = [number.setdefault((t.cell.id, t.draw), len(number)) for t in trials]
    views, cell = [views_of[draw] for draw in number], trials[0].cell
    inputs = [x.shape[1] for x in views[0].inputs]
    shape = named_architecture(study.model, cell, inputs, views[0].classes)
    return _Group(places, trials, views, np.array(dataset), shape)


def train_settings(
    study: ForcingStudy, device: str = "cpu", options: Options = ()
) -> TrainSettings:
    """What the study says of training, in the trainer's terms.

    Args:
        study: the study.
        device: a torch device.
        options: searched options of the loss, beside those that the study fixes.
    """
    training = study.training
    return TrainSettings(
        epochs=training.epochs,
        batch_size=training.batch_size,
        loss=study.alignment.loss,
        loss_options={**study.alignment.options, **dict(options)},
        layer=aligned_layer(study),
        fusion=training.fusion,
        dtype=training.dtype,
        device=device,
        engine=training.engine,
        checkpoint=training.checkpoint,
        evaluate_every=training.evaluate_every,
        patience=training.patience,
        tf32=training.tf32,
    )


def _members(study: ForcingStudy, trials: Sequence[Trial]) -> Members:
    # Seeds leave out cell, strength and arm: the arms of a seed start from the same weights and see
    # the same batches, and cells are compared on common random numbers.
    m = len(trials)
    return Members(
        init_seed=np.array([derive_seed(study.seed, "init", t.draw, t.seed) for t in trials]),
        order_seed=np.array([derive_seed(study.seed, "order", t.draw, t.seed) for t in trials]),
        learning_rate=np.full(m, study.training.learning_rate),
        weight_decay=np.full(m, study.training.weight_decay),
        strength=np.array([t.strength for t in trials]),
        clip_norm=np.full(m, study.training.clip_norm),
        placebo=np.array([t.arm is Arm.PLACEBO for t in trials]),
    )


def _data(views: Sequence[PairedViews], dataset: np.ndarray) -> PackData:
    def sides(split: str) -> tuple[np.ndarray, ...]:
        return tuple(
            np.stack([v.inputs[index][getattr(v.splits, split)] for v in views])
            for index in range(len(views[0].inputs))
        )

    return PackData(
        x_train=sides("train"),
        y_train=np.stack([v.y[v.splits.train] for v in views]),
        x_validation=sides("validation"),
        y_validation=np.stack([v.y[v.splits.validation] for v in views]),
        dataset=dataset,
    )


def _measure(
    study: ForcingStudy, trained: TrainedPack, views: Sequence[PairedViews]
) -> list[Columns]:
    rows: list[Columns] = [{} for _ in trained.dataset]
    usable = trained.status == Status.OK

    def put(column: str, values: np.ndarray) -> None:
        for i, row in enumerate(rows):
            value = float(values[i])
            row[column] = value if usable[i] and np.isfinite(value) else None

    for split in (*MEASURED_SPLITS, "population"):
        if split == "population":
            found = evaluate.population_performance(trained, views)
        else:
            found = evaluate.performance(trained, views, split)
        if found is not None:
            for head in found.accuracy:
                put(f"performance_{head}_{split}", found.accuracy[head])
                put(f"loss_{head}_{split}", found.loss[head])
    for split in MEASURED_SPLITS:
        scores = evaluate.alignment(trained, views, split, study.evaluation, aligned_layer(study))
        for i, why in enumerate(undefined_words(study, trained, views, split, scores)):
            of_member = bool(usable[i])
            rows[i] |= alignment_columns(scores, split, study.evaluation, i, why, of_member)
    return rows


def _descriptive(
    study: ForcingStudy, trial: Trial, facts: Mapping[str, int | float | str], shape: Architecture
) -> Row:
    cell = trial.cell
    return {
        **trial_columns(study, trial),
        **facts,
        "encoder": cell.encoder,
        **{f"encoder_option_{name}": value for name, value in study.model.options.items()},
        "depth_1": cell.depth_1,
        "depth_2": cell.depth_2,
        "width_1": cell.width_1,
        "width_2": cell.width_2,
        "parameters": shape.parameter_count - len(shape.frozen_columns),
        "loss": study.alignment.loss,
        "alignment_layer": str(study.alignment.layer),
        **option_columns(study, trial),
        "learning_rate": study.training.learning_rate,
        "weight_decay": study.training.weight_decay,
        "batch_size": study.training.batch_size,
        "epochs": study.training.epochs,
    }


def _training(trained: TrainedPack, i: int, members: int) -> dict[str, int | float | str | None]:
    status = Status(str(trained.status[i]))
    step = int(trained.diverged_step[i])
    ratio = float(trained.gradient_ratio[i])
    return {
        "status": status.value,
        "reason": "" if status is Status.OK else f"not finite at step {step}",
        "best_epoch": int(trained.best_epoch[i]) + 1,
        "diverged_step": step,
        "steps": int(trained.steps[i]),
        "unforced_steps": int(trained.unforced_steps[i]),
        "gradient_ratio": ratio if np.isfinite(ratio) else None,
        "train_seconds": trained.train_seconds / members,
    }
