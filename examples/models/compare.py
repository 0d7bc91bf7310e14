"""Alignment of the models whose features `raysweep features` took: a table, and a figure.

python compare.py features name picture
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from raysweep import metrics

METRICS = ["mutual_knn", "unbiased_cka"]


def compare(folder: Path, columns: list[str]) -> pd.DataFrame:
    """All pairs of models of different columns: the best pair of layers, and chance.

    Args:
        folder: of the features, files ``MODEL.COLUMN.safetensors``.
        columns: of the table, each a side.
    """
    sides = {
        column: {
            path.name.removesuffix(f".{column}.safetensors"): path
            for path in sorted(folder.glob(f"*.{column}.safetensors"))
        }
        for column in columns
    }
    return metrics.measure_models(sides, METRICS, permutations=199)


def draw(folder: Path, columns: list[str], table: pd.DataFrame) -> Figure:
    """Mutual kNN of every pair of layers, a map for each pair of models."""
    one, other = columns
    best = table[table["metric"] == "mutual_knn"]
    figure = Figure(figsize=(4.6 * len(best), 4), layout="constrained")
    for place, row in enumerate(best.to_dict("records"), start=1):
        axis = figure.add_subplot(1, len(best), place)
        layers = metrics.measure_models(
            {
                side: {row[f"model_{k}"]: folder / f"{row[f'model_{k}']}.{side}.safetensors"}
                for k, side in ((1, one), (2, other))
            },
            ["mutual_knn"],
            every_pair=True,
            permutations=0,
        )
        grid = layers.pivot(index="layer_1", columns="layer_2", values="value")
        shown = axis.imshow(grid, origin="lower", cmap="viridis", vmin=0, aspect="auto")
        axis.plot(row["layer_2"], row["layer_1"], "s", markerfacecolor="none", color="white")
        axis.set(xlabel=f"layer of {row['model_2']}", ylabel=f"layer of {row['model_1']}")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title(f"{row['value']:.3f} at the best pair, {row['chance']:.3f} by chance")
        figure.colorbar(shown, label="mutual kNN (k = 10)", shrink=0.8)
    return figure


if __name__ == "__main__":
    at, names = Path(sys.argv[1]), sys.argv[2:]
    found = compare(at, names)
    print(found.to_string(index=False, float_format="{:.3f}".format))
    draw(at, names, found).savefig(at / "layers.png", dpi=110)
