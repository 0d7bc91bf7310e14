"""How big a study of models is, how long it takes on this machine, and in how much memory."""

import math
import time
from collections.abc import Mapping, Sequence

from raysweep.errors import InputError
from raysweep.kinds.kind import StudySize
from raysweep.kinds.models.check import opened_model
from raysweep.kinds.models.plan import ModelsSweep, PairTrial
from raysweep.kinds.models.run import preprocessing_of
from raysweep.kinds.models.study import ModelRow, ModelsStudy
from raysweep.metrics.between_models.given import Model
from raysweep.metrics.between_models.scoring import score_models
from raysweep.metrics.features import MEMORY_BUDGET_BYTES
from raysweep.text import counted
from raysweep.trials.packing import Pack

_LAYERS = 3
"""Layers of each of two models that are tried."""

_FEW, _MORE = 2, 10
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
    seconds = _seconds(study, opened) if measure_time else None
    needs = f"at most {memory / 1e9:.1f} GB of memory, features that are mapped left out"
    return StudySize(
        len(sweep.cells),
        sweep.trials_planned(),
        len(packs),
        0,
        seconds,
        needs=(needs, *_on_disk(study, list(opened.values()))),
    )


def pack_bytes(study: ModelsStudy, pack: Pack) -> int:
    """Estimated peak memory of a pack, bytes."""
    return _bytes([_opened(row) for row in _rows_of(pack)], study)


def _opened(row: ModelRow) -> Model:
    from pathlib import Path

    return opened_model(row, Path.cwd())


def _rows_of(pack: Pack) -> list[ModelRow]:
    pairs = [trial.pair for trial in pack.trials if isinstance(trial, PairTrial)]
    return list(dict.fromkeys(row for pair in pairs for row in (pair.left, pair.right)))


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
        f"at most {4 * layers * vectors / 1e9:.1f} GB beside the features of "
        f"{counted(len(models), 'model')}, kept for the next time (resources.store)"
    ]


_SMALL = ("mutual_knn",)
"""Metrics of which little is stored."""


def _seconds(study: ModelsStudy, opened: Mapping[ModelRow, Model]) -> float:
    """Preparing all models, and all pairs of their layers under all permutations."""
    pairs = study.pairs_of_models
    left, right = opened[pairs[0].left], opened[pairs[0].right]
    some = [_some(model) for model in (left, right)]
    _time(study, some, 0)  # compiles
    few, more = (_time(study, some, permutations) for permutations in (_FEW, _MORE))
    tried = math.prod(len(layers) for layers in some)
    per_order = max(more - few, 0.0) / (_MORE - _FEW) / tried
    prepared = max(few - (1 + _FEW) * per_order * tried, 0.0)
    features = sum(layer.shape[1] for layers in some for layer in layers)  # type: ignore[attr-defined]
    rows = left.rows
    scale = sum(sum(m.widths) * (m.rows / rows) for m in opened.values()) / features
    orders = 1 + study.evaluation.calibrate
    of_layers = sum(
        len(opened[pair.left].layers)
        * len(opened[pair.right].layers)
        * (opened[pair.left].rows / rows)
        for pair in pairs
    )
    return prepared * scale + per_order * orders * of_layers


def _some(model: Model) -> list[object]:
    """A few layers, spread over all, in memory."""
    count = len(model.layers)
    chosen = sorted({round(i * (count - 1) / max(_LAYERS - 1, 1)) for i in range(_LAYERS)})
    return [model.layer(index) for index in chosen]


def _time(study: ModelsStudy, sides: Sequence[Sequence[object]], permutations: int) -> float:
    started = time.process_time()
    try:
        for _ in score_models(
            {"one": {"left": list(sides[0])}, "other": {"right": list(sides[1])}},
            study.evaluation.metrics,
            permutations=permutations,
            preprocessing=preprocessing_of(study),
        ):
            pass
    except InputError as error:
        raise InputError(f"plan: {error}") from error
    return time.process_time() - started
