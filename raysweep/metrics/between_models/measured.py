"""Alignment of all pairs of models of two or more sides, as a table."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from raysweep.metrics.between_models.scoring import Metrics, Scored, score_models
from raysweep.metrics.preprocessing import NONE, Preprocessing

if TYPE_CHECKING:
    import pandas as pd

CONCATENATED = -1
"""All layers side by side, among numbers of layers."""


def measure_models(
    sides: Mapping[str, object],
    metrics: Metrics = "mutual_knn",
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
    found = [
        row
        for scored in score_models(
            sides,
            metrics,
            permutations=permutations,
            seed=seed,
            groups=groups,
            preprocessing=preprocessing,
            concatenated=concatenated,
            store=store,
        )
        for row in _rows(scored, every_pair, concatenated)
    ]
    # Workers that train import the metrics too, and need no tables.
    import pandas as pd

    return pd.DataFrame(found).astype({"layer_1": "Int64", "layer_2": "Int64"})


def _rows(scored: Scored, every_pair: bool, concatenated: bool) -> Iterator[dict[str, object]]:
    """The rows of the table of one pair of models."""
    counts = scored.scores.shape[1:]
    found = scored.each() if every_pair else scored.best()
    for index in range(len(found.raw)):
        pair = divmod(index, counts[1])
        if not every_pair:
            pair = int(found.layer_1[index]), int(found.layer_2[index])
        yield {
            "side_1": scored.left.side,
            "model_1": scored.left.name,
            "side_2": scored.right.side,
            "model_2": scored.right.name,
            "metric": scored.metric.name,
            **{
                f"layer_{side}": layer_number(at, count, concatenated)
                for side, at, count in zip((1, 2), pair, counts, strict=True)
            },
            "value": float(found.raw[index]),
            "chance": float(found.chance[index]),
            "corrected": float(found.corrected[index]),
            "p": float(found.p_value[index]),
            "n": scored.left.rows,
        }


def layer_number(at: int, count: int, concatenated: bool) -> int | None:
    """The number of a layer in a table; none where no pair is defined.

    Args:
        at: which of the layers that were scored; -1 for none.
        count: how many there are.
        concatenated: whether the last one is all of them side by side.
    """
    if at < 0:
        return None
    return CONCATENATED if concatenated and at == count - 1 else at
