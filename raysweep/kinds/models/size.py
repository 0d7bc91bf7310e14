"""How big a study of models is, how long it takes on this machine, and in how much memory."""

import time
from collections.abc import Mapping, Sequence

from raysweep.errors import InputError
from raysweep.kinds.kind import StudySize
from raysweep.kinds.models.check import opened_model
from raysweep.kinds.models.plan import ModelsSweep, PairTrial
from raysweep.kinds.models.run import preprocessing_of
from raysweep.kinds.models.study import ModelRow, ModelsStudy, Pair
from raysweep.metrics.between_models.given import Model
from raysweep.metrics.between_models.scoring import score_models
from raysweep.metrics.features import MEMORY_BUDGET_BYTES
from raysweep.runners.attempt import own_threads, use_threads_of
from raysweep.text import counted
from raysweep.trials.packing import Pack

_LAYERS = 3
"""Layers of each of two models that are tried."""

_FEW, _MORE = 2, 22
"""Permutations that are tried."""

_AT_REST = 400_000_000
"""Bytes of a process that has imported what runs packs."""


def models_size(study: ModelsStudy, measure_time: bool = True) -> StudySize:
    """Count a study's parts; time it on a few layers of the first pair of models.

    What is stored beside features already is not known to it. Expect the truth within a factor of
    two where models are of one size.

    Raises:
        InputError: features cannot be read.
    """
    sweep = ModelsSweep(study)
    opened = {row: _opened(row) for row in study.models or ()}
    packs = sweep.missing()
    memory = max(_bytes([opened[row] for row in _rows_of(pack)], study) for pack in packs)
    seconds = None
    if measure_time:
        with own_threads():
            use_threads_of(study, packs[0])
            seconds = _seconds(study, opened, packs)
    needs = f"at most {memory / 1e9:.2g} GB of memory, features that are mapped left out"
    return StudySize(
        len(sweep.cells),
        sweep.trials_planned(),
        len(packs),
        0,
        seconds,
        needs=("; ".join([needs, *_on_disk(study, list(opened.values()))]),),
    )


def pack_bytes(study: ModelsStudy, pack: Pack) -> int:
    """Estimated peak memory of a pack, bytes."""
    return _bytes([_opened(row) for row in _rows_of(pack)], study)


def _opened(row: ModelRow) -> Model:
    from pathlib import Path

    return opened_model(row, Path.cwd())


def _rows_of(pack: Pack) -> list[ModelRow]:
    return list(dict.fromkeys(row for pair in _pairs_of(pack) for row in (pair.left, pair.right)))


def _pairs_of(pack: Pack) -> list[Pair]:
    return [trial.pair for trial in pack.trials if isinstance(trial, PairTrial)]


def _bytes(models: Sequence[Model], study: ModelsStudy) -> int:
    rows = models[0].rows
    widest = max(width for model in models for width in model.widths)
    layer = 4 * 8 * rows * widest  # a layer and copies of it, in float64
    if study.evaluation.layers == "concatenated":
        layer = 3 * 8 * rows * max(sum(model.widths) for model in models)
    matrices = 4 * 8 * rows**2
    most = max(len(model.layers) for model in models)
    scores = 8 * len(models) * (1 + study.evaluation.calibrate) * most**2
    return _AT_REST + layer + matrices + 2 * scores + MEMORY_BUDGET_BYTES


def _on_disk(study: ModelsStudy, models: Sequence[Model]) -> list[str]:
    """What is stored beside the features, in words."""
    if not study.resources.store:
        return []
    layers = sum(len(model.layers) * model.rows * (model.rows + 1) for model in models)
    vectors = len([name for name in study.evaluation.metrics if name not in _SMALL])
    return [
        f"all of them at most {4 * layers * vectors / 1e9:.2g} GB beside the features of "
        f"{counted(len(models), 'model')} (resources.store)"
    ]


_SMALL = ("mutual_knn",)
"""Metrics of which little is stored."""


def _seconds(study: ModelsStudy, opened: Mapping[ModelRow, Model], packs: Sequence[Pack]) -> float:
    """Preparing all models, and all pairs of their layers under all permutations.

    Under each a layer of the right side is gone through once for all models of the left that share
    the pack; the rest is for each pair of layers.
    """
    first = study.pairs_of_models[0]
    left, right = (_some(opened[row]) for row in (first.left, first.right))
    _time(study, left, right, _FEW)  # compiles
    prepared = _time(study, left, right, 0)
    whole, narrow = (_per_order(study, side, right) for side in (left, left[:1]))
    per_pair = max(whole - narrow, 0.0) / max((len(left) - 1) * len(right), 1)
    per_right = max(narrow / len(right) - per_pair, 0.0)
    # Whatever is read or compared has as many rows as the first pair, or is taken to cost as many.
    rows = opened[first.left].rows
    features = sum(width for side in (left, right) for width in _widths(side))
    scale = sum(sum(m.widths) * (m.rows / rows) for m in opened.values()) / features
    rights = sum(
        len(opened[row].layers)
        for pack in packs
        for row in dict.fromkeys(pair.right for pair in _pairs_of(pack))
    )
    layers = sum(
        len(opened[pair.left].layers) * len(opened[pair.right].layers)
        for pair in study.pairs_of_models
    )
    orders = study.evaluation.calibrate
    return prepared * scale + orders * (per_right * rights + per_pair * layers)


def _widths(layers: Sequence[object]) -> list[int]:
    return [layer.shape[1] for layer in layers]  # type: ignore[attr-defined]


def _per_order(study: ModelsStudy, left: Sequence[object], right: Sequence[object]) -> float:
    """Seconds of one permutation of the rows."""
    few, more = (_time(study, left, right, permutations) for permutations in (_FEW, _MORE))
    return max(more - few, 0.0) / (_MORE - _FEW)


def _some(model: Model) -> list[object]:
    """A few layers, spread over all, in memory."""
    count = len(model.layers)
    chosen = sorted({round(i * (count - 1) / max(_LAYERS - 1, 1)) for i in range(_LAYERS)})
    return [model.layer(index) for index in chosen]


def _time(
    study: ModelsStudy, left: Sequence[object], right: Sequence[object], permutations: int
) -> float:
    started = time.process_time()
    try:
        for _ in score_models(
            {"one": {"left": list(left)}, "other": {"right": list(right)}},
            study.evaluation.metrics,
            permutations=permutations,
            preprocessing=preprocessing_of(study),
        ):
            pass
    except InputError as error:
        raise InputError(f"plan: {error}") from error
    return time.process_time() - started
