"""Trial tables with a known truth, drawn in one go: what the analysis is calibrated on."""

from collections.abc import Callable, Sequence

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
    placebo: bool = True,
    draw_effects: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None,
    diverging: float = 0.0,
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
        placebo: whether there is such an arm.
        draw_effects: draws what the true effect of a draw lies off its cell's, of a shape; normal
            of spread `sd_draw` by default. Each criterion has its own.
        diverging: the share of forced runs that diverge, those with the least effect of all.

    Returns:
        A trial table with the columns that the analysis reads.
    """
    cells = len(effects)
    shape = (studies, cells, draws, seeds)
    study, cell, draw, seed = (axis.ravel() for axis in np.indices(shape))
    shared = base + 0.02 * rng.standard_normal(shape)
    cell_effect = np.asarray(effects)[None, :, None, None]
    of_draws = draw_effects or (lambda rng, size: sd_draw * rng.standard_normal(size))
    draw_effect = of_draws(rng, (studies, cells, draws, 1))
    named = {name: np.asarray(values)[cell] for name, values in (characteristics or {}).items()}

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
    for number, criterion in enumerate(criteria):
        if number and draw_effects:
            draw_effect = of_draws(rng, (studies, cells, draws, 1))
        forced = arm("forced", cell_effect + draw_effect, criterion, 1.0)
        if diverging:
            gain = forced["performance_fused_test"] - frames[0]["performance_fused_test"]
            worst = gain <= gain.quantile(diverging)
            forced.loc[worst, ["performance_fused_test", "alignment_cka_test"]] = np.nan
            forced.loc[worst, "status"] = "diverged"
        frames.append(forced)
        if placebo:
            frames.append(arm("placebo", placebo_effect, criterion, 1.0))
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "key", [f"k{i}" for i in range(len(table))])
    return table


def simulate_search(
    *,
    curves: Sequence[np.ndarray],
    strengths: Sequence[float],
    seeds: int = 8,
    draws: int = 1,
    sd: float = 0.01,
    rng: np.random.Generator,
    characteristics: dict[str, Sequence[object]] | None = None,
) -> pd.DataFrame:
    """Search rows: every strength and strength 0 on the same seeds.

    Args:
        curves: the true effect at every strength, one array per cell.
        strengths: positive, increasing.
        seeds: seeds per draw.
        draws: dataset draws per cell.
        sd: spread of a run around its truth, beside what its seed shares.
        rng: source of all randomness.
        characteristics: column -> one value per cell.
    """
    doses = np.array([0.0, *strengths])
    shape = (len(curves), draws, seeds, len(doses))
    truth = np.stack([np.array([0.0, *curve]) for curve in curves])[:, None, None, :]
    shared = 0.7 + 0.02 * rng.standard_normal((*shape[:3], 1))
    accuracy = shared + truth + sd * rng.standard_normal(shape)
    aligned = 0.3 + 0.5 * doses / (1 + doses) + 0.03 * rng.standard_normal(shape)
    cell, draw, seed, dose = (axis.ravel() for axis in np.indices(shape))
    return pd.DataFrame(
        {
            "key": [f"search-{i}" for i in range(cell.size)],
            "study": "s0",
            "cell": np.char.add("c", cell.astype(str)),
            "draw": draw,
            "seed": seed,
            "strength": doses[dose],
            "arm": np.where(dose == 0, "none", "forced"),
            "stage": "search",
            "status": "ok",
            "chosen_by": "",
            "generation": np.where(dose == 0, -1, (dose - 1) // 4),
            "number": dose - 1,
            "objective": "alignment",
            "data": "simulated",
            **{n: np.asarray(v)[cell] for n, v in (characteristics or {}).items()},
            "performance_fused_validation": accuracy.ravel(),
            "performance_fused_test": accuracy.ravel(),
            "alignment_cka_validation": aligned.ravel(),
            "alignment_cka_test": aligned.ravel(),
        }
    )


def simulate_emergence(
    *,
    U: Sequence[int] = tuple(range(9)),
    D_phi: Sequence[int] = (1, 3, 5),
    depths: Sequence[int] = tuple(range(1, 11)),
    draws: int = 1,
    seeds: int = 3,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Runs of strength 0 in which alignment falls with U and follows performance at low U only."""
    shape = (len(U), len(D_phi), len(depths), draws, seeds)
    u, phi, depth, draw, seed = (axis.ravel() for axis in np.indices(shape))
    u_value, phi_value = np.asarray(U)[u], np.asarray(D_phi)[phi]
    depth_value = np.asarray(depths)[depth]
    skill = 0.03 * np.log(depth_value) + 0.02 * rng.standard_normal(u.size)
    coupling = np.clip(1 - u_value / 5, 0, 1)
    alignment = (
        0.9 * (1 - u_value / 9)
        - 0.02 * phi_value
        + 3 * coupling * skill
        + 0.04 * rng.standard_normal(u.size)
    )
    return pd.DataFrame(
        {
            "key": [f"emergence-{i}" for i in range(u.size)],
            "study": "e0",
            "cell": [f"c{a}-{b}-{c}" for a, b, c in zip(u, phi, depth, strict=True)],
            "draw": draw,
            "seed": seed,
            "strength": 0.0,
            "arm": "none",
            "stage": "confirm",
            "status": "ok",
            "chosen_by": "",
            "data": "simulated",
            "R": 8 - u_value,
            "U": u_value,
            "D_phi": phi_value,
            "encoder": "mlp",
            "depth_1": 1,
            "depth_2": depth_value,
            "width_1": 12,
            "width_2": 12,
            "alignment_cka_test": alignment,
            "performance_1_test": 0.7 + 0.01 * rng.standard_normal(u.size),
            "performance_2_test": 0.7 - 0.02 * u_value + skill,
        }
    )
