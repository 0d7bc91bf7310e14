"""What the effect of forcing depends on: meta-regression over dataset draws."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE, named
from raysweep_analysis.draws import draw_effects, numeric_covariate, paired_differences
from raysweep_analysis.inference import MetaRegression, meta_regression
from raysweep_analysis.load import descriptors, filled, is_information
from raysweep_analysis.resplits import is_resplit

_DERIVED = ("width", "depth", "redundancy - uniqueness")
_MAX_INFLATION = 10.0
# statsmodels' mixed model takes seconds beyond this many pairs of runs
_MIXED_ROWS = 3_000
COLUMNS = [
    *("study", "data", "chosen_by", "performance", "model", "term"),
    *("estimate", "ci_low", "ci_high", "se", "df", "p_value", "p_adjusted", "per_sd"),
    *("inflation", "mixed_estimate", "mixed_p", "n_units", "n_datasets", "tau", "note"),
]


def moderators(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    covariates: Sequence[str] | None = None,
    alpha: float = 0.05,
    reference: str = "none",
) -> pd.DataFrame:
    """Regress the effect of forcing on characteristics of data and models.

    Unit: the dataset draw in a cell. Random-effects meta-regression by REML with Knapp-Hartung t;
    where cells of several model scales share a dataset, that dataset has a random effect of its
    own and Satterthwaite's degrees of freedom, so that more model scales do not pass for more
    data. Slopes may differ between draws: where all draws, three or more, cross the cells, the
    interval is the wider one of the model's and of a jackknife over draws. Datasets (`data`) are
    analysed apart. The alignment reached is never a covariate: it is an outcome of forcing.

    Args:
        trials: a trial table.
        performance: the outcome.
        covariates: columns, `log2 NAME`, `width`, `depth`, `redundancy - uniqueness`, or products
            `A x B` (of centred parts). By default what varies of: redundancy, synergy,
            heterogeneity, log width, log depth, log n, noise, other numbers that describe cells,
            and redundancy x log width.
        alpha: one minus the coverage of the intervals.
        reference: `none`, or `placebo` for the effect net of plain regularisation.

    Returns:
        Rows per (study, data, chosen_by): `model` `single` (one covariate at a time) and `joint`
        (all that can be told apart, in the order given); `term`; `estimate` per unit of the
        covariate with `ci_low ci_high se df p_value`; `p_adjusted` (Benjamini-Hochberg over the
        single models: exploratory); `per_sd` (estimate times the covariate's spread);
        `inflation` (variance inflation factor in the joint model); `mixed_estimate mixed_p` (the
        same term in a mixed model of the paired differences); `n_units n_datasets`; `tau` (spread
        of effects beyond the model); `note` (why a row has no estimate). `per_sd` and `tau` are in
        the outcome's unit (of accuracy and regret a share, 0.01 is a point; of losses nats),
        `estimate` and its ends in that per unit of the covariate.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> fitted = analysis.moderators(trials, covariates=["I_shared", "log2 width"])
        >>> fitted.loc[fitted["model"] == "joint", "term"].unique().tolist()
        ['I_shared', 'log2 width']
    """
    trials = filled(trials)
    units = draw_effects(trials, performance, reference)
    pairs = paired_differences(trials, performance, reference)
    rows: list[dict[str, object]] = []
    for (study, data, chosen_by), group in units.groupby(
        ["study", "data", "chosen_by"], sort=False, dropna=False
    ):
        keys = {"study": study, "data": data, "chosen_by": chosen_by, "performance": performance}
        names = list(covariates) if covariates is not None else default_covariates(group)
        rows += [keys | row for row in _models(group, names, alpha, pairs)]
    return pd.DataFrame(rows, columns=COLUMNS)


def default_covariates(units: pd.DataFrame) -> list[str]:
    """The covariates that vary over units, the most wanted first."""
    redundancy = [
        "I_shared",
        "redundancy - uniqueness",
        "R",
        "overlap",
        "U",
        named("estimated", "pid_R"),
    ]
    first = next((n for n in redundancy if _varies(units, n)), None)
    wanted = [
        *([first] if first else []),
        *("pid_S", "D_phi", "log2 width", "log2 depth", "log2 n_train", "I12"),
    ]
    known = {*redundancy, "U1", "U2", "U3", "U4", "n_train", "parameters"}
    known |= {named(name, i) for name in ("width", "depth") for i in (1, 2)}
    others = [
        n
        for n in descriptors(units)
        if n not in known
        and not is_information(n)
        and n not in wanted
        and n not in ("effect", "variance", "n_seeds", "dataset")
        and pd.api.types.is_numeric_dtype(units[n])
    ]
    names = [n for n in wanted + others if n == first or _varies(units, n)]
    if first and "log2 width" in names:
        names.append(f"{first} x log2 width")
    return names


def _varies(units: pd.DataFrame, name: str) -> bool:
    try:
        return bool(numeric_covariate(units, name).nunique() >= 2)
    except KeyError:
        return False


def _models(
    units: pd.DataFrame, names: list[str], alpha: float, pairs: pd.DataFrame
) -> list[dict[str, object]]:
    columns = {name: _column(units, name) for name in names}
    singles = [_single(units, name, column, alpha) for name, column in columns.items()]
    tested = [i for i, row in enumerate(singles) if np.isfinite(_number(row["p_value"]))]
    if tested:
        adjusted = stats.false_discovery_control([_number(singles[i]["p_value"]) for i in tested])
        for i, p in zip(tested, adjusted, strict=True):
            singles[i]["p_adjusted"] = float(p)
    return singles + _joint(units, columns, alpha, pairs)


def _single(
    units: pd.DataFrame, name: str, column: NDArray[np.float64], alpha: float
) -> dict[str, object]:
    known = np.isfinite(column)
    if known.sum() < 4 or np.ptp(column[known]) == 0:
        return _empty("single", name, int(known.sum()), "fewer than 4 units, or no variation")
    used = units[known]
    design = np.column_stack([np.ones(len(used)), column[known]])
    return _row("single", name, used, _fit(used, design), design, 1, alpha) | {"inflation": 1.0}


def _joint(
    units: pd.DataFrame, columns: dict[str, NDArray[np.float64]], alpha: float, pairs: pd.DataFrame
) -> list[dict[str, object]]:
    complete = {n: c for n, c in columns.items() if np.isfinite(c).all() and np.ptp(c) > 0}
    kept: list[str] = []
    refused: dict[str, str] = {}
    for name in columns:
        if name not in complete:
            refused[name] = "unknown in some cells, or no variation"
        elif len(units) < 2 * (len(kept) + 2):
            refused[name] = f"{len(units)} units are too few for one more covariate"
        elif _inflations([complete[n] for n in [*kept, name]])[-1] > _MAX_INFLATION:
            refused[name] = f"cannot be told apart from {', '.join(kept)} in these cells"
        else:
            kept.append(name)
    rows = []
    if kept:
        parts = [complete[n] - complete[n].mean() for n in kept]
        design = np.column_stack([np.ones(len(units)), *parts])
        inflations = _inflations(parts)
        mixed = _mixed(units, design, pairs)
        fit = _fit(units, design)
        for i, name in enumerate(kept, start=1):
            row = _row("joint", name, units, fit, design, i, alpha)
            row |= {
                "inflation": inflations[i - 1],
                "note": ""
                if mixed is not None
                else "no mixed model: splits of the same rows are no independent pairs"
                if is_resplit(units)
                else f"no mixed model: more than {_MIXED_ROWS} pairs, or no fit",
            }
            if mixed is not None:
                row |= {"mixed_estimate": mixed[0][i], "mixed_p": mixed[1][i]}
            rows.append(row)
    return rows + [_empty("joint", n, len(units), why) for n, why in refused.items()]


def _fit(units: pd.DataFrame, design: NDArray[np.float64]) -> MetaRegression:
    """With a random effect of datasets; slopes may differ between draws that cross the cells."""
    several = units.groupby("draw")["cell"].nunique().min() > 1
    clusters = units["draw"] if several else None
    return meta_regression(units["effect"], units["variance"], design, units["dataset"], clusters)


def _row(
    model: str,
    term: str,
    units: pd.DataFrame,
    fit: MetaRegression,
    design: NDArray[np.float64],
    i: int,
    alpha: float,
) -> dict[str, object]:
    """A term's estimate: column i of the design that the units were fitted with."""
    weights = np.eye(design.shape[1])[i]
    estimate, se, df = fit.combination(weights)
    p, low, high = fit.interval(weights, alpha)
    return {
        "model": model,
        "term": term,
        "estimate": estimate,
        "ci_low": low,
        "ci_high": high,
        "se": se,
        "df": df,
        "p_value": p,
        "per_sd": estimate * float(design[:, i].std(ddof=1)),
        "n_units": len(units),
        "n_datasets": units["dataset"].nunique(),
        "tau": float(np.sqrt(fit.tau2 + fit.tau2_group)),
        "note": "",
    }


def _empty(model: str, term: str, n: int, note: str) -> dict[str, object]:
    return {"model": model, "term": term, "n_units": n, "note": note, "p_value": np.nan}


def _column(units: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A covariate's values [n]; a product's parts are centred first."""
    product = np.ones(len(units))
    for part in name.split(" x "):
        try:
            values = numeric_covariate(units, part).to_numpy(float)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"moderators: no number {part!r} describes the cells; the table has "
                f"{', '.join(descriptors(units))}, and {', '.join(_DERIVED)} where their parts are"
            ) from error
        product = product * (values - np.nanmean(values) if " x " in name else values)
    return product


def _inflations(columns: list[NDArray[np.float64]]) -> list[float]:
    """Variance inflation factor of each column among the others; inf if they determine it."""
    centred = np.column_stack([(c - c.mean()) / c.std() for c in columns])
    factors = []
    for i in range(len(columns)):
        others = np.delete(centred, i, axis=1)
        fit = (
            others @ np.linalg.lstsq(others, centred[:, i], rcond=None)[0]
            if i or others.size
            else 0
        )
        left = float(((centred[:, i] - fit) ** 2).mean())
        factors.append(1 / left if left > 1e-9 else float("inf"))
    return factors


def _mixed(
    units: pd.DataFrame, design: NDArray[np.float64], pairs: pd.DataFrame
) -> tuple[list[float], list[float]] | None:
    """Coefficients and p-values of a mixed model of the pairs, random intercept per dataset."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    keys = ["study", "cell", "chosen_by", "draw"]
    joined = pairs.merge(units[[*keys, "dataset"]].assign(unit=np.arange(len(units))), on=keys)
    if len(joined) > _MIXED_ROWS or len(joined) <= len(units) or is_resplit(units):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scale = float(joined["d"].std()) or 1.0
            fit = MixedLM(joined["d"] / scale, design[joined["unit"]], joined["dataset"]).fit()
        except (np.linalg.LinAlgError, ValueError):
            return None
    p = design.shape[1]
    estimates = [float(v) * scale for v in np.asarray(fit.fe_params)]
    return estimates, [float(v) for v in np.asarray(fit.pvalues)[:p]]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
