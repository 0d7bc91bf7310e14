"""Scores of all pairs of models of two or more sides, under all orders of the rows."""

import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raysweep.data.dtypes import Array
from raysweep.errors import InputError
from raysweep.folder.scratch import scratch
from raysweep.metrics.best_pair import best_over_layers
from raysweep.metrics.between_models.form import Form
from raysweep.metrics.between_models.forms import form_of
from raysweep.metrics.between_models.given import Model, check_rows, models_of
from raysweep.metrics.between_models.prepared import Preparation, Request, prepare
from raysweep.metrics.between_models.slow_scores import own_scores, slow_scores
from raysweep.metrics.calibration import Calibration, calibration_of
from raysweep.metrics.groups import ALL_SIZES_DIFFER, can_be_shuffled, group_numbers, shuffled
from raysweep.metrics.measurement import why_apart
from raysweep.metrics.metric import Metric
from raysweep.metrics.preprocessing import NONE, Preprocessing
from raysweep.metrics.registry import find_metric

_MOST_OF_DISK = 0.5
"""The share of the free disk that may be taken for what is not stored."""

Metrics = str | Sequence[str] | Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Scored:
    """One metric of one pair of models.

    Attributes:
        left, right: the models.
        metric: what was scored.
        scores: float64 [1 + permutations, l1, l2], the true order of the rows first.
        own: of metrics whose ideal is that, what layers score with themselves, [l1] and [l2].
    """

    left: Model
    right: Model
    metric: Metric
    scores: np.ndarray
    own: tuple[np.ndarray, np.ndarray] | None

    def best(self) -> Calibration:
        """The best pair of layers, against chance: the best under every order, too."""
        own = None if self.own is None else tuple(torch.from_numpy(side)[None] for side in self.own)
        return calibration_of(self.metric, self._of_one_member, own)

    def each(self) -> Calibration:
        """Each pair of layers by itself, row after row."""
        own = None
        if self.own is not None:
            grid = torch.meshgrid(*map(torch.from_numpy, self.own), indexing="ij")
            own = tuple(side.reshape(-1, 1) for side in grid)
        return calibration_of(self.metric, self._of_each, own)

    def nulls(self, each: bool = False) -> np.ndarray:
        """What the best pair, or each, scores under permuted rows, float64 [permutations, ...]."""
        if each:
            return self.scores[1:].reshape(len(self.scores) - 1, -1)
        higher = self.metric.higher_is_better
        found = [best_over_layers(order, higher).value.numpy() for order in self._of_one_member[1:]]
        return np.array(found).reshape(len(found), 1)

    @property
    def _of_one_member(self) -> Tensor:
        return torch.from_numpy(self.scores)[:, None]

    @property
    def _of_each(self) -> Tensor:
        return torch.from_numpy(self.scores).reshape(len(self.scores), -1, 1, 1)


def score_models(
    sides: Mapping[str, object],
    metrics: Metrics,
    *,
    permutations: int = 199,
    seed: int = 0,
    groups: object = None,
    preprocessing: Preprocessing = NONE,
    concatenated: bool = False,
    store: bool = False,
) -> Iterator[Scored]:
    """Every pair of models of different sides and metric, as `measure_models` takes them.

    Raises:
        InputError: as `measure_models`.
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
        yield from call.scores(wanted, folder)


def _named(metrics: Metrics) -> list[tuple[str, Mapping[str, object]]]:
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


@dataclass(frozen=True)
class _Call:
    """What is to be measured."""

    sides: Sequence[Sequence[Model]]
    preparation: Preparation
    orders: np.ndarray
    groups: np.ndarray | None
    store: bool

    def scores(self, wanted: Sequence[_Wanted], folder: Path) -> Iterator[Scored]:
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
    ) -> Iterator[Scored]:
        for side_1, side_2 in itertools.combinations(self.sides, 2):
            for right in side_2:
                of_right = kept[right.side, right.name]
                lefts = [kept[left.side, left.name] for left in side_1]
                found = form.scores(lefts, of_right, self._orders_of(want))
                for left, of_left, scores in zip(side_1, lefts, found, strict=True):
                    scores[:, ~np.asarray(of_left["defined"])] = np.nan
                    scores[:, :, ~np.asarray(of_right["defined"])] = np.nan
                    yield Scored(left, right, want.metric, scores, None)

    def _slow(self, want: _Wanted) -> Iterator[Scored]:
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
                yield Scored(left, right, want.metric, scores, both)
