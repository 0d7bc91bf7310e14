"""Two linear views that are to agree, by scikit-learn alone: strength is its own regulariser.

Least squares of each view, and strength x the squared distance of what the two predict on rows
without labels (co-regularised least squares: Sindhwani, Niyogi and Belkin 2005). As rows of one
ridge regression: [x1, 0] -> y, [0, x2] -> y and sqrt(strength) [x1, -x2] -> 0.
"""

import numpy as np
from sklearn.linear_model import Ridge

import raysweep


def views(draw: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two noisy views of one signal, and the signal."""
    random = np.random.default_rng(draw)
    signal = random.normal(size=(rows, 1))
    x1, x2 = (signal * 0.5 + random.normal(size=(rows, 12)) for _ in range(2))
    return x1, x2, signal[:, 0]


def run(trial: raysweep.TrialContext) -> dict[str, float]:
    """R squared of the mean of both views; few rows have labels, and which is the seed's."""
    x1, x2, y = views(trial.draw, 900)
    train = np.random.default_rng(trial.seed).permutation(500)
    labelled, other = train[:30], train[30:]
    paired = other
    if trial.arm == "placebo":
        paired = np.roll(other, 1)
    nothing = np.zeros_like(x1)
    pull = np.sqrt(trial.strength)
    x = np.concatenate(
        [
            np.hstack([x1, nothing])[labelled],
            np.hstack([nothing, x2])[labelled],
            pull * np.hstack([x1[other], -x2[paired]]),
        ]
    )
    target = np.concatenate([y[labelled], y[labelled], np.zeros(len(other))])
    fitted = Ridge(alpha=1e-3, fit_intercept=False).fit(x, target)
    metrics = {}
    for split, rows in {"validation": slice(500, 700), "test": slice(700, 900)}.items():
        guessed = np.hstack([x1, x2])[rows] @ fitted.coef_ / 2
        wrong = np.square(y[rows] - guessed).mean() / np.var(y[rows])
        metrics[f"r2_{split}"] = 1 - float(wrong)
    return metrics
