"""Optuna's samplers and distributions as every search here uses them."""

from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from raysweep.study.spec import LogRange, OptionRange


def tpe_sampler(seed: int, startup: int) -> optuna.samplers.TPESampler:
    """TPE as every search here uses it, whatever Optuna's own defaults are.

    Optuna 5.0 changed the defaults of both settings, the first of them for one objective alone.

    Args:
        seed: of this generation.
        startup: so many proposals are random.
    """
    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=startup,
        # Strength and options are drawn from one density: the best strength hangs on the options.
        multivariate=True,
        # The proposals of a generation keep away from each other.
        constant_liar=True,
    )


def distribution(values: LogRange | OptionRange | tuple[Any, ...]) -> BaseDistribution:
    """What Optuna draws a setting from: of the training, or of the loss."""
    if isinstance(values, LogRange):
        return FloatDistribution(values.low, values.high, log=True)
    if not isinstance(values, OptionRange):
        return CategoricalDistribution(values)
    log = values.scale == "log"
    if values.whole:
        return IntDistribution(values.low, values.high, log=log)
    return FloatDistribution(values.low, values.high, log=log)


def as_printed(value: Any, values: LogRange | OptionRange | tuple[Any, ...]) -> Any:
    """What was drawn; from a range with 6 significant digits, as tables show it."""
    if isinstance(values, tuple):
        return value
    return min(
        max(value if isinstance(value, int) else float(f"{value:.6g}"), values.low), values.high
    )
