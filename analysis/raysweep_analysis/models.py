"""Alignment between models that are trained already: pairs, performance, axes.

Models share families, and all pairs of a model share the model. So nothing here counts pairs: what
is known of a model is its mean alignment with the models of the other side, its performance is
permuted within its family, and intervals come from models that are drawn again within families, on
both sides. They are about these families; of others nothing is known.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from raysweep.trials.columns import Role, beside, column_of, named
from raysweep_analysis.inference.families import (
    correlation_within,
    counts_of,
    drawn_within,
    p_of_orders,
    percentiles,
    rank_correlation,
)
from raysweep_analysis.load import descriptors, plain, usable, values_of

Floats = NDArray[np.float64]

FEWEST_MODELS = 4
FEWEST_LEVELS = 3
_SIDES = (1, 2)
_OF_MODELS = ("side", "model", "family", "features", "size", "layers")


def of_models(trials: pd.DataFrame) -> bool:
    """Whether the rows of a table are pairs of models."""
    return all(named("model", side) in trials for side in _SIDES)


def axes_of_models(trials: pd.DataFrame) -> list[str]:
    """The axes of a study of models, such as the level of captions."""
    columns = [column_of(name) for name in descriptors(trials)]
    return [
        c.name
        for c in columns
        if (c.role is Role.CHARACTERISTIC or not c.meaning)
        and c.family not in _OF_MODELS
        and c.name not in ("data", "n_test")
    ]


def alignments(trials: pd.DataFrame, wanted: str | None = None) -> list[str]:
    """The columns of alignment that have values, or the one that is wanted."""
    if wanted is not None:
        values_of(trials, wanted)
        return [wanted]
    return [
        name
        for name in map(str, trials)
        if column_of(name).family == "alignment" and trials[name].notna().any()
    ]


def model_pairs(trials: pd.DataFrame, alignment: str | None = None) -> pd.DataFrame:
    """Every pair of models, the most alike first, against chance.

    Args:
        trials: the table of a study of models.
        alignment: a column of alignment; by default all of them.

    Returns:
        A row per pair of models (or of layers, where each is a trial) and metric: `side_1 model_1
        side_2 model_2`, the axes, `alignment` (the column), `layers`, `value`, `chance`,
        `chance_high` (what 95 % of permutations stay below), `corrected`, `p`, `p_bh` (after
        Benjamini and Hochberg, over all pairs of the metric) and both models' performance.

    Example:
        >>> import pandas as pd
        >>> from raysweep import analysis
        >>> rows = [dict(key=model, study="s", cell=model, draw=0, seed=0, strength=0.0, arm="none",
        ...              stage="measure", status="ok", side_1="text", side_2="image", model_1=model,
        ...              model_2="vit", alignment_cka_test=value, chance_p_cka_test=0.01)
        ...         for model, value in (("bert", 0.2), ("gpt", 0.3))]
        >>> pairs = analysis.model_pairs(pd.DataFrame(rows))
        >>> pairs[["model_1", "value", "p_bh"]].values.tolist()
        [['gpt', 0.3, 0.01], ['bert', 0.2, 0.01]]
    """
    trials = plain(trials)[usable(trials)]
    keys = [named(family, side) for side in _SIDES for family in ("side", "model")]
    performance = [named("model_performance", side) for side in _SIDES]
    found = []
    for column in alignments(trials, alignment):
        rows = trials[[*keys, *axes_of_models(trials)]].assign(
            alignment=column,
            layers=_beside(trials, column, "alignment_layers", ""),
            value=values_of(trials, column),
            chance=_beside(trials, column, "chance"),
            chance_high=_beside(trials, column, "chance_high"),
            corrected=_beside(trials, column, "corrected"),
            p=_beside(trials, column, "chance_p"),
            p_bh=np.nan,
            **{name: trials.get(name, np.nan) for name in performance},
        )
        known = rows["p"].notna()
        if known.any():
            rows.loc[known, "p_bh"] = stats.false_discovery_control(rows.loc[known, "p"])
        # Of distances less is more alike: above chance more always is.
        by = "corrected" if rows["corrected"].notna().any() else "value"
        found.append(rows.sort_values(by, ascending=False, kind="stable"))
    return pd.concat(found, ignore_index=True)


def _beside(
    trials: pd.DataFrame, column: str, family: str, missing: object = math.nan
) -> pd.Series:
    name = beside(column, family)
    return trials[name] if name in trials else pd.Series([missing] * len(trials), trials.index)


def model_correlations(
    trials: pd.DataFrame,
    alignment: str | None = None,
    alpha: float = 0.05,
    permutations: int = 1_999,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Whether models that perform better align more with those of another side.

    A model's alignment is its mean over the models of the other side. Of a metric that is a
    distance all signs are the other way round.

    Args:
        trials: the table of a study of models, some of which have a performance.
        alignment: a column of alignment; by default all of them.
        alpha: one minus the coverage of the intervals.
        permutations: behind every p-value; as many models are drawn again for every interval.
        rng: source of both; a fixed seed by default.

    Returns:
        A row per metric, side, other side and point of the axes with four models or more that have
        a performance: `models`, `families`, `others`; `rho` (Spearman) with `low` and `high` from
        models that are drawn again within their families on both sides; `p` (performance permuted
        over all models, which families make too small); `rho_within`, the correlation of ranks from
        which the means of families are taken, with `p_within` (permuted within families): what is
        left where families differ in both by descent. NaN where no family has two models.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from raysweep import analysis
        >>> draw = np.random.default_rng(0)
        >>> rows = [dict(key=f"{i}{j}", study="s", cell=f"{i}{j}", draw=0, seed=0, strength=0.0,
        ...              arm="none", stage="measure", status="ok", side_1="text", side_2="image",
        ...              model_1=f"t{i}", model_2=f"v{j}", family_1="ab"[i % 2], family_2="",
        ...              model_performance_1=i / 8, alignment_cka_test=i / 8 + draw.normal() / 9)
        ...         for i in range(8) for j in range(3)]
        >>> found = analysis.model_correlations(pd.DataFrame(rows), permutations=199)
        >>> found[["side", "models", "rho", "p_within"]].round(3).values.tolist()
        [['text', 8, 0.976, 0.005]]
    """
    rng = np.random.default_rng(0) if rng is None else rng
    trials = plain(trials)[usable(trials)]
    found = []
    for column in alignments(trials, alignment):
        for part in _parts(trials, column, axes_of_models(trials)):
            for side in _SIDES:
                grid = part.grid(side)
                if grid is None or len(grid.performance) < FEWEST_MODELS:
                    continue
                found.append(
                    {
                        **part.said(side),
                        "models": len(grid.performance),
                        "families": len(set(grid.families)),
                        "others": grid.values.shape[1],
                        **_correlated(grid, alpha, permutations, rng),
                    }
                )
    return pd.DataFrame(found)


def axis_trends(
    trials: pd.DataFrame,
    alignment: str | None = None,
    alpha: float = 0.05,
    permutations: int = 1_999,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Whether alignment rises or falls along an axis, such as the level of captions.

    Of models that have features at all of its values. The values of the axis are permuted for all
    pairs together, as all of them read the same data.

    Args:
        trials: the table of a study of models.
        alignment: a column of alignment; by default all of them.
        alpha: one minus the coverage of the intervals.
        permutations: behind every p-value, where not all orders are gone through (up to six values
            they are); as many models are drawn again for every interval.
        rng: source of both; a fixed seed by default.

    Returns:
        A row per metric, two sides and axis of numbers with three values or more: `along`,
        `levels`, `pairs`, `rho` (Spearman of the axis with the mean over pairs) with `p`, and `low`
        and `high` from models that are drawn again within their families on both sides.

    Example:
        >>> import pandas as pd
        >>> from raysweep import analysis
        >>> rows = [dict(key=f"{i}{level}", study="s", cell=f"{i}{level}", draw=0, seed=0,
        ...              strength=0.0, arm="none", stage="measure", status="ok", side_1="text",
        ...              side_2="image", model_1=f"t{i}", model_2="vit", caption=level,
        ...              alignment_cka_test=0.5 - level / 100 + i / 9)
        ...         for i in range(3) for level in (10, 20, 30, 40)]
        >>> found = analysis.axis_trends(pd.DataFrame(rows))
        >>> found[["along", "levels", "rho"]].values.tolist(), float(found["p"][0].round(3))
        ([['caption', 4, -1.0]], 0.083)
    """
    rng = np.random.default_rng(0) if rng is None else rng
    trials = plain(trials)[usable(trials)]
    axes = axes_of_models(trials)
    found = []
    for column, along in itertools.product(alignments(trials, alignment), axes):
        if not pd.api.types.is_numeric_dtype(trials[along]):
            continue
        for part in _parts(trials, column, [name for name in axes if name != along]):
            levels, cube, families = part.cube(along)
            if len(levels) < FEWEST_LEVELS or not cube.size:
                continue
            means = cube.mean(axis=(0, 1))
            draws = [drawn_within(of, permutations, rng) for of in families]
            weights = [counts_of(drawn, len(of)) for drawn, of in zip(draws, families, strict=True)]
            again = np.einsum("bi,bj,ijk->bk", *weights, cube) / math.prod(cube.shape[:2])
            low, high = percentiles(rank_correlation(again, levels), alpha)
            found.append(
                {
                    **part.said(1),
                    "along": along,
                    "levels": len(levels),
                    "pairs": math.prod(cube.shape[:2]),
                    "rho": float(rank_correlation(means[None], levels)[0]),
                    "low": low,
                    "high": high,
                    "p": p_of_orders(means, levels, permutations, rng),
                }
            )
    return pd.DataFrame(found)


@dataclass(frozen=True)
class Grid:
    """Models of one side against those of another.

    Attributes:
        values: alignment [models, others]; NaN where a pair is missing.
        performance: [models].
        families: of the models.
        other_families: of the others.
    """

    values: Floats
    performance: Floats
    families: Sequence[str]
    other_families: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """The pairs of two sides at one point of the axes."""

    rows: pd.DataFrame
    column: str
    at: dict[str, object]

    def said(self, side: int) -> dict[str, object]:
        """Which part it is, seen from one side."""
        first = self.rows.iloc[0]
        return {
            "alignment": self.column,
            "side": first[named("side", side)],
            "other": first[named("side", 3 - side)],
            **self.at,
        }

    def grid(self, side: int) -> Grid | None:
        """Models of a side that have a performance; None where none has."""
        performance = named("model_performance", side)
        if performance not in self.rows:
            return None
        rows = self.rows[self.rows[performance].notna()]
        if rows.empty:
            return None
        one, other = named("model", side), named("model", 3 - side)
        # Of layers that are trials each the best stands for the pair.
        values = rows.pivot_table(self.column, one, other, aggfunc="max")
        of = rows.groupby(one)
        return Grid(
            values.to_numpy(float),
            of[performance].first()[values.index].to_numpy(float),
            _families(rows, side, values.index),
            _families(rows, 3 - side, values.columns),
        )

    def cube(self, along: str) -> tuple[Floats, Floats, list[list[str]]]:
        """Values of an axis, alignment [models, models, values], and the families of both sides.

        Of models that have a value at each.
        """
        rows = self.rows[self.rows[along].notna()]
        levels = np.sort(rows[along].unique().astype(float))
        names = [named("model", side) for side in _SIDES]
        table = rows.pivot_table(self.column, names, along, aggfunc="max").dropna()
        table = table.reindex(columns=sorted(table.columns))
        pairs = table.index.to_frame(index=False)
        whole = [pairs[name].value_counts() for name in names]
        most = [len(of) for of in reversed(whole)]
        kept = [sorted(of.index[of == count]) for of, count in zip(whole, most, strict=True)]
        wanted = pd.MultiIndex.from_product(kept, names=names)
        if table.empty or not len(wanted) or len(levels) != table.shape[1]:
            return levels, np.zeros((0, 0, len(levels))), [[], []]
        cube = table.reindex(wanted).to_numpy(float).reshape(*map(len, kept), len(levels))
        families = [_families(rows, s, pd.Index(of)) for s, of in zip(_SIDES, kept, strict=True)]
        return levels, cube, families


def _parts(trials: pd.DataFrame, column: str, axes: Sequence[str]) -> Iterator[_Part]:
    keys = [named("side", side) for side in _SIDES]
    rows = trials[trials[column].notna()]
    kept = [name for name in axes if rows[name].notna().any()]
    for values, part in rows.groupby([*keys, *kept], sort=True, dropna=False):
        at = dict(zip(kept, values[len(keys) :], strict=True))
        yield _Part(part, column, at)


def _families(rows: pd.DataFrame, side: int, models: pd.Index) -> list[str]:
    """The families of models; a model without one is of the family of all such."""
    family = named("family", side)
    if family not in rows:
        return [""] * len(models)
    return rows.groupby(named("model", side))[family].first().fillna("")[models].tolist()


def _correlated(
    grid: Grid, alpha: float, permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    score = np.nanmean(grid.values, axis=1)
    rho = float(rank_correlation(score[None], grid.performance)[0])
    everyone = [""] * len(score)
    within = correlation_within(score, grid.performance, grid.families, permutations, rng)
    drawn = drawn_within(grid.families, permutations, rng)
    others = drawn_within(grid.other_families, permutations, rng)
    low, high = percentiles(drawn_again(grid, drawn, others), alpha)
    return {
        "rho": rho,
        "low": low,
        "high": high,
        "p": correlation_within(score, grid.performance, everyone, permutations, rng)[1],
        "rho_within": within[0],
        "p_within": within[1],
    }


def drawn_again(grid: Grid, models: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
    """Spearman's correlation of performance and mean alignment of models that are drawn again.

    Args:
        grid: the models.
        models: which of them, [draws, models].
        others: which of the others, [draws, others].

    Returns:
        Float64 [draws]; NaN where all that were drawn are equal.
    """
    counts = counts_of(others, grid.values.shape[1])
    there = np.isfinite(grid.values)
    total = counts @ np.where(there, grid.values, 0.0).T
    number = counts @ there.T.astype(float)
    score = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    picked = np.take_along_axis(score, models, axis=1)
    found = np.full(len(models), np.nan)
    whole = np.isfinite(picked).all(axis=1)
    found[whole] = rank_correlation(picked[whole], grid.performance[models[whole]])
    return found
