"""Optuna's samplers as every search here uses them."""

import optuna


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
