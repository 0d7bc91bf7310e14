"""Alignment of all pairs of models of two or more sides."""

import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from raysweep.data.dtypes import Array
from raysweep.errors import InputError
from raysweep.folder.scratch import scratch
from raysweep.metrics.between_models.form import Form
from raysweep.metrics.between_models.forms import form_of
from raysweep.metrics.between_models.given import Model, check_rows, models_of
from raysweep.metrics.between_models.prepared import Preparation, Request, prepare
from raysweep.metrics.between_models.slow_scores import own_scores, slow_scores
from raysweep.metrics.calibration import calibration_of
from raysweep.metrics.groups import ALL_SIZES_DIFFER, can_be_shuffled, group_numbers, shuffled
from raysweep.metrics.measurement import why_apart
from raysweep.metrics.metric import Metric
from raysweep.metrics.preprocessing import NONE, Preprocessing
from raysweep.metrics.registry import find_metric

if TYPE_CHECKING:
    import pandas as pd

CONCATENATED = -1
"""All layers side by side, among numbers of layers."""

_MOST_OF_DISK = 0.5
"""The share of the free disk that may be taken for what is not stored."""


def measure_models(
    sides: Mapping[str, object],
    metrics: str | Sequence[str] | Mapping[str, Mapping[str, object]] = "mutual_knn",
    *,
    permutations: int = 199,
    seed: int = 0,
    groups: object = None,
    preprocessing: Preprocessing = NONE,
    every_pair: bool = False,
    concatenated: bool = False,
    store: bool = False,
) -> "pd.DataFrame":
    """Alignment of every model of a side with every model of the others, the best over layers.

    Args:
        sides: name of a side -> its models: name -> model, or a list of models. A model is a
            sequence of layers [n, d], of any real dtypes and widths; an array [n, layers, d]; or
            the path of a file with that: ``.safetensors`` (a tensor for each layer, in the order of
            the numbers in their names, or one of them all), ``.npy``, ``.pt`` (a tensor, or a
            dictionary with it under ``feats``; read without running code), or another file of
            arrays. Row i of all of them is the same sample. Files are read a layer at a time.
        metrics: names of `REGISTRY`, or name -> its options.
        permutations: of the rows, the same for all pairs; they tell what chance gives. With 0
            `chance`, `corrected` and `p` are NaN.
        seed: of the permutations.
        groups: [n], equal for rows that belong together; as for `measure` and `calibrate`.
        preprocessing: done to every layer first; nothing by default. ``clip="model"`` takes the
            threshold from all layers of a model.
        every_pair: a row for each pair of layers, rather than for the best of them.
        concatenated: all layers side by side are one more layer, number -1. Takes memory for three
            tables of all features of a model in float64.
        store: keep what was found of each model beside its file (``*.prepared.safetensors``), and
            use what is there of the same features and settings. For kernels it takes
            4 n (n + 1) bytes a layer.

    Returns:
        A row for each pair of models and metric: `side_1`, `model_1`, `side_2`, `model_2`,
        `metric`, `layer_1` and `layer_2` (Int64, the best pair, from 0; none where no pair is
        defined), `value`, `chance` (mean under permuted rows of the same maximum over pairs of
        layers), `corrected` (0 at chance, 1 at identity), `p` (with one added above and below) and
        `n`. The numbers are those of `calibrate_layers`. Layers that are constant or not finite
        are passed over. Metrics that do not depend on which rows belong together have no chance.

    Raises:
        InputError: fewer than two sides; models without layers, or of different n; a file that
            cannot be read; or as `measure_layers` and `calibrate_layers`.

    Cost:
        `mutual_knn`, kernels and `rsa` prepare each model once; a pair is then one pass over
        neighbours, or one product of matrices. Other metrics, and `cka`, `unbiased_cka`, `cmd` and
        `centered_cmd` where n is far above the widths, are `measure_layers` of a few layers at a
        time.

    Example:
        >>> import numpy as np
        >>> from raysweep import metrics
        >>> draw = np.random.default_rng(0)
        >>> image = draw.normal(size=(60, 3, 8))
        >>> text = {"near": image[:, 1:] + 0.5 * draw.normal(size=(60, 2, 8)),
        ...         "far": [draw.normal(size=(60, 5)) for _ in range(4)]}
        >>> found = metrics.measure_models(
        ...     {"vision": {"vit": image}, "language": text}, ["unbiased_cka"], permutations=99)
        >>> found[["model_1", "model_2", "layer_1", "layer_2", "p"]].values.tolist()
        [['vit', 'near', 2, 1, 0.01], ['vit', 'far', 0, 0, 0.51]]
    """
    if not isinstance(sides, Mapping) or len(sides) < 2:
        raise InputError("sides: expected two or more, as name -> models")
    models = [models_of(str(side), given) for side, given in sides.items()]
    rows = check_rows([model for side in models for model in side])
    of = None if groups is None else group_numbers(groups, rows)
    wanted = [_Wanted.of(name, options, rows, of) for name, options in _named(metrics)]
    if permutations < 0:
        raise InputError(f"permutations: expected 0 or more, got {permutations}")
    if permutations and not can_be_shuffled(of):
        raise InputError(f"groups: {ALL_SIZES_DIFFER}; chance is not known")
    digest = "" if of is None else hashlib.sha256(of.tobytes()).hexdigest()
    call = _Call(
        models,
        Preparation(preprocessing, concatenated, digest),
        _orders(rows, permutations, seed, of),
        of,
        store,
    )
    with scratch("models") as folder:
        found = [
            row
            for left, right, metric, scores, own in call.scores(wanted, folder)
            for row in _rows(left, right, metric, scores, own, every_pair, concatenated)
        ]
    # Workers that train import the metrics too, and need no tables.
    import pandas as pd

    return pd.DataFrame(found).astype({"layer_1": "Int64", "layer_2": "Int64"})


def _named(
    metrics: str | Sequence[str] | Mapping[str, Mapping[str, object]],
) -> list[tuple[str, Mapping[str, object]]]:
    if isinstance(metrics, Mapping):
        return [(name, options or {}) for name, options in metrics.items()]
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    if not names:
        raise InputError("metrics: expected at least one, got none")
    return [(name, {}) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class _Wanted:
    """A metric with all of its options."""

    metric: Metric
    options: Mapping[str, object]

    @classmethod
    def of(
        cls, name: str, options: Mapping[str, object], rows: int, groups: np.ndarray | None
    ) -> "_Wanted":
        metric = find_metric(name)
        resolved = metric.resolve(options)
        topk = resolved.get("topk")
        if isinstance(topk, int) and topk >= rows:
            raise InputError(
                f"metric {name}: topk must be below the number of rows, "
                f"got topk {topk} with {rows} rows"
            )
        why = why_apart(name, options, groups)
        if why:
            raise InputError(f"metric {why}")
        return cls(metric, resolved)

    @property
    def has_chance(self) -> bool:
        return self.metric.paired and self.metric.ideal is not None


def _orders(rows: int, permutations: int, seed: int, groups: np.ndarray | None) -> np.ndarray:
    """The true order of the rows and the permuted ones, int64 [1 + permutations, n]."""
    draw = np.random.default_rng(seed)
    shuffles = [shuffled(groups, rows, draw) for _ in range(permutations)]
    return np.stack([np.arange(rows), *shuffles])


_Scored = tuple[Model, Model, Metric, np.ndarray, tuple[np.ndarray, np.ndarray] | None]


@dataclass(frozen=True)
class _Call:
    """What is to be measured."""

    sides: Sequence[Sequence[Model]]
    preparation: Preparation
    orders: np.ndarray
    groups: np.ndarray | None
    store: bool

    def scores(self, wanted: Sequence[_Wanted], folder: Path) -> Iterator[_Scored]:
        """Every pair of models and metric, with [p, l1, l2] and what layers score by themselves."""
        room = int(_MOST_OF_DISK * shutil.disk_usage(folder).free)
        requests = []
        for want in wanted:
            orders = self._orders_of(want)
            form = form_of(want.metric, want.options, self.groups, self.sides, len(orders), room)
            if form is not None:
                requests.append(Request(want.metric.name, want.options, form))
        kept = {
            (model.side, model.name): dict(
                zip(
                    [request.metric for request in requests],
                    prepare(model, requests, self.preparation, folder, self.store),
                    strict=True,
                )
            )
            for side in self.sides
            for model in side
            if requests
        }
        forms = {request.metric: request.form for request in requests}
        for want in wanted:
            name = want.metric.name
            if name in forms:
                of_metric = {key: arrays[name] for key, arrays in kept.items()}
                yield from self._fast(want, forms[name], of_metric)
            else:
                yield from self._slow(want)

    def _orders_of(self, want: _Wanted) -> np.ndarray:
        return self.orders if want.has_chance else self.orders[:1]

    def _fast(
        self, want: _Wanted, form: Form, kept: Mapping[tuple[str, str], Mapping[str, Array]]
    ) -> Iterator[_Scored]:
        for side_1, side_2 in itertools.combinations(self.sides, 2):
            for right in side_2:
                of_right = kept[right.side, right.name]
                lefts = [kept[left.side, left.name] for left in side_1]
                found = form.scores(lefts, of_right, self._orders_of(want))
                for left, of_left, scores in zip(side_1, lefts, found, strict=True):
                    scores[:, ~np.asarray(of_left["defined"])] = np.nan
                    scores[:, :, ~np.asarray(of_right["defined"])] = np.nan
                    yield left, right, want.metric, scores, None

    def _slow(self, want: _Wanted) -> Iterator[_Scored]:
        name, options = want.metric.name, want.options
        own: dict[tuple[str, str], np.ndarray] = {}
        orders = self._orders_of(want)
        needs_own = want.metric.ideal_from_self and len(orders) > 1
        for side_1, side_2 in itertools.combinations(self.sides, 2):
            for left, right in itertools.product(side_1, side_2):
                both = None
                if needs_own:
                    for model in (left, right):
                        key = model.side, model.name
                        if key not in own:
                            own[key] = own_scores(
                                name, model, options, self.preparation, self.groups
                            )
                    both = own[left.side, left.name], own[right.side, right.name]
                scores = slow_scores(
                    name, left, right, options, self.preparation, orders, self.groups
                )
                yield left, right, want.metric, scores, both


def _rows(
    left: Model,
    right: Model,
    metric: Metric,
    scores: np.ndarray,
    own: tuple[np.ndarray, np.ndarray] | None,
    every_pair: bool,
    concatenated: bool,
) -> Iterator[dict[str, object]]:
    """The rows of the table of one pair of models."""
    orders, *counts = scores.shape
    table = torch.from_numpy(scores).reshape(orders, 1, *counts)
    selfs = None
    if own is not None:
        selfs = tuple(torch.from_numpy(side)[None] for side in own)
    if every_pair:
        table = table.reshape(orders, -1, 1, 1)
        if selfs is not None:
            grid = torch.meshgrid(selfs[0][0], selfs[1][0], indexing="ij")
            selfs = tuple(side.reshape(-1, 1) for side in grid)
    found = calibration_of(metric, table, selfs)
    for index in range(len(found.raw)):
        pair = divmod(index, counts[1])
        if not every_pair:
            pair = int(found.layer_1[index]), int(found.layer_2[index])
        yield {
            "side_1": left.side,
            "model_1": left.name,
            "side_2": right.side,
            "model_2": right.name,
            "metric": metric.name,
            **{
                f"layer_{side}": _layer(at, count, concatenated)
                for side, at, count in zip((1, 2), pair, counts, strict=True)
            },
            "value": float(found.raw[index]),
            "chance": float(found.chance[index]),
            "corrected": float(found.corrected[index]),
            "p": float(found.p_value[index]),
            "n": left.rows,
        }


def _layer(at: int, count: int, concatenated: bool) -> int | None:
    """The number of a layer in the table; none where no pair is defined."""
    if at < 0:
        return None
    return CONCATENATED if concatenated and at == count - 1 else at
