"""Runs one pack of a study of models: scores its pairs of models, and makes their rows."""

import time
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np

from raysweep.kinds.models.plan import PairTrial
from raysweep.kinds.models.study import ModelRow, ModelsStudy
from raysweep.metrics.between_models.given import Model
from raysweep.metrics.between_models.measured import CONCATENATED, layer_number
from raysweep.metrics.between_models.scoring import Scored, score_models
from raysweep.metrics.calibration import Calibration
from raysweep.metrics.features import is_constant, is_finite
from raysweep.metrics.preprocessing import Preprocessing
from raysweep.metrics.undefined import words_of
from raysweep.study.files import check_files
from raysweep.trials.columns import named
from raysweep.trials.packing import Pack
from raysweep.trials.rows import Values, aligned, planned
from raysweep.trials.table import Row
from raysweep.trials.trial import Status

Cell = int | float | str | Sequence[float | None] | None

SPLIT = "test"
"""The split that all rows of the features are: models were trained on others."""

ALL = "all"
"""What all layers side by side are called."""

_HIGH = 0.95


def run_pairs(study: ModelsStudy, pack: Pack) -> list[Row]:
    """Measure the pairs of models that the trials of a pack are about.

    Args:
        study: the study the pack belongs to.
        pack: trials of pairs with some models of side 2.

    Returns:
        One row per trial, in the pack's order; `raysweep.trials.columns.COLUMNS` has its columns.

    Raises:
        InputError: features have changed since the study was resolved, or a metric does not take
            them.
    """
    trials = [trial for trial in pack.trials if isinstance(trial, PairTrial)]
    for cell in pack.cells:
        check_files(study, cell)
    started = time.perf_counter()
    scores = _scores(study, trials)
    rows = [_row(study, trial, scores[_key(trial)]) for trial in trials]
    seconds = (time.perf_counter() - started) / len(trials)
    return [{**row, "device": "cpu", "train_seconds": seconds} for row in rows]


_Key = tuple[str, str, str, str]


def _key(trial: PairTrial) -> _Key:
    left, right = trial.pair.left, trial.pair.right
    return left.side, left.features, right.side, right.features


def _scores(study: ModelsStudy, trials: Sequence[PairTrial]) -> dict[_Key, list[Scored]]:
    """The models of both sides and their files -> the scores by every metric of the study."""
    wanted = {_key(trial): None for trial in trials}
    lefts: dict[tuple[str, str, str], dict[str, str]] = {}
    for left_side, left, right_side, right in wanted:
        lefts.setdefault((left_side, right_side, right), {})[left] = left
    found: dict[_Key, list[Scored]] = {}
    for (left_side, right_side, right), of in lefts.items():
        for scored in score_models(
            {left_side: of, right_side: {right: right}},
            study.evaluation.metrics,
            permutations=study.evaluation.calibrate,
            seed=study.seed,
            preprocessing=preprocessing_of(study),
            concatenated=study.evaluation.layers == "concatenated",
            store=study.resources.store,
        ):
            key = left_side, scored.left.name, right_side, right
            found.setdefault(key, []).append(scored)
    return found


def preprocessing_of(study: ModelsStudy) -> Preprocessing:
    """What is done to layers first."""
    asked = study.evaluation.preprocessing
    return Preprocessing(asked.clip_quantile, asked.normalize, asked.clip)


def _row(study: ModelsStudy, trial: PairTrial, scores: Sequence[Scored]) -> Row:
    pair = trial.pair
    first = scores[0]
    values: dict[str, Cell] = {
        **planned(study, trial),
        "data": trial.cell.dataset,
        **pair.axes,
        "n_test": first.left.rows,
        **_said(1, pair.left, len(first.left.layers)),
        **_said(2, pair.right, len(first.right.layers)),
        **dict(trial.own_rates()[1]),
        "status": Status.OK.value,
        "reason": "",
    }
    lost = []
    for scored in scores:
        of_metric = dict(_measured(study, trial, scored))
        values.update(of_metric)
        name = scored.metric.name
        lost += [name] if of_metric[named("alignment", name, SPLIT)] is None else []
    sides = ((pair.left, first.left), (pair.right, first.right))
    unusable = [words for row, model in sides for words in _unusable(row, model)] if lost else []
    why = "; ".join(unusable) or words_of(lost, [False, False])
    return {**values, named("undefined", SPLIT): why}


def _unusable(row: ModelRow, model: Model) -> Iterator[str]:
    """What is wrong with features of which no layer can be compared."""
    layers = [model.layer(index)[None] for index in range(len(model.layers))]
    finite = [layer for layer in layers if bool(is_finite(layer)[0])]
    if not finite:
        yield f"every layer of {row.side}: {row.model} has NaN or infinity"
    elif all(bool(is_constant(layer)[0]) for layer in finite):
        yield f"every layer of {row.side}: {row.model} is constant"


def _said(side: int, row: ModelRow, layers: int) -> Values:
    return {
        named("side", side): row.side,
        named("model", side): row.model,
        named("family", side): row.family,
        named("size", side): row.size,
        named("model_performance", side): row.performance,
        named("layers", side): layers,
        named("features", side): PurePath(row.features).name,
    }


def _measured(study: ModelsStudy, trial: PairTrial, scored: Scored) -> Iterator[tuple[str, Cell]]:
    """The columns of one metric."""
    name, counts = scored.metric.name, scored.scores.shape[1:]
    each = bool(trial.layers)
    found = scored.each() if each else scored.best()
    at = int(np.ravel_multi_index(trial.layers, counts)) if each else 0
    value = _number(found.raw[at])
    of_chance = None
    if study.evaluation.calibrate:
        of_chance = (
            _number(found.chance[at]),
            _number(found.corrected[at]),
            _number(found.p_value[at]),
        )
        yield named("chance_high", name, SPLIT), _high(scored, each, at)
    yield from aligned(name, SPLIT, value, of_chance)
    yield named("alignment_layers", name, SPLIT), _layers(study, trial, found, counts)
    if not each:
        yield named("layer_map", name, SPLIT), [_number(v) for v in scored.scores[0].ravel()]


def _layers(study: ModelsStudy, trial: PairTrial, found: Calibration, counts: Sequence[int]) -> str:
    """The pair of layers in words: `12-3`, or `all-3`; empty where none is defined."""
    pair = trial.layers or (int(found.layer_1), int(found.layer_2))
    beside = study.evaluation.layers == "concatenated"
    numbers = [layer_number(a, n, beside) for a, n in zip(pair, counts, strict=True)]
    if None in numbers:
        return ""
    return "-".join(ALL if number == CONCATENATED else str(number) for number in numbers)


def _high(scored: Scored, each: bool, at: int) -> float | None:
    """What 19 of 20 permutations stay below; above, of a metric that is lower for more alike."""
    nulls = scored.nulls(each)[:, at]
    known = nulls[np.isfinite(nulls)]
    share = _HIGH if scored.metric.higher_is_better else 1 - _HIGH
    return float(np.quantile(known, share)) if len(known) and scored.metric.paired else None


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None
