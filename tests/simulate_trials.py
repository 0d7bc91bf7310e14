"""Trial tables with a known truth, drawn in one go: what the analysis is calibrated on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def simulate_forcing(
    *,
    effects: Sequence[float],
    studies: int = 1,
    draws: int = 1,
    seeds: int = 12,
    sd_seed: float = 0.01,
    sd_draw: float = 0.0,
    placebo_effect: float = 0.0,
    base: float = 0.7,
    alignment_gain: float = 0.2,
    rng: np.random.Generator,
    characteristics: dict[str, Sequence[object]] | None = None,
    criteria: Sequence[str] = ("alignment",),
) -> pd.DataFrame:
    """A table of confirm rows: three arms in every cell of every study.

    Args:
        effects: the true forced - none of each cell, in units of accuracy.
        studies: independent repetitions of the whole study.
        draws: dataset draws per cell.
        seeds: seeds per draw.
        sd_seed: spread of a paired difference over seeds.
        sd_draw: spread of the true effect over draws.
        placebo_effect: the true placebo - none.
        base: mean accuracy of arm none.
        alignment_gain: how far forcing raises the alignment.
        rng: source of all randomness.
        characteristics: column -> one value per cell.
        criteria: the values of `chosen_by`.

    Returns:
        A trial table with the columns that the analysis reads.
    """
    cells = len(effects)
    shape = (studies, cells, draws, seeds)
    study, cell, draw, seed = (axis.ravel() for axis in np.indices(shape))
    shared = base + 0.02 * rng.standard_normal(shape)
    cell_effect = np.asarray(effects)[None, :, None, None]
    draw_effect = sd_draw * rng.standard_normal((studies, cells, draws, 1))
    named = {
        name: np.asarray(values)[cell] for name, values in (characteristics or {}).items()
    }

    def arm(name: str, shift: np.ndarray | float, chosen_by: str, strength: float) -> pd.DataFrame:
        noise = sd_seed / np.sqrt(2) * rng.standard_normal(shape)
        aligned = 0.3 + (alignment_gain if name == "forced" else 0.0)
        return pd.DataFrame(
            {
                "study": np.char.add("s", study.astype(str)),
                "cell": np.char.add("c", cell.astype(str)),
                "draw": draw,
                "seed": seed + 1000,
                "strength": strength,
                "arm": name,
                "stage": "confirm",
                "status": "ok",
                "chosen_by": chosen_by,
                "data": "simulated",
                **named,
                "performance_fused_test": (shared + shift + noise).ravel(),
                "alignment_cka_test": aligned + 0.05 * rng.standard_normal(cell.size),
            }
        )

    frames = [arm("none", 0.0, "", 0.0)]
    for criterion in criteria:
        frames.append(arm("forced", cell_effect + draw_effect, criterion, 1.0))
        frames.append(arm("placebo", placebo_effect, criterion, 1.0))
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "key", [f"k{i}" for i in range(len(table))])
    return table
