"""The effects so far of a run: the numbers of the analysis on the rows that are there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_runs import drawn_row, opened, study
from simulate_trials import simulate_forcing

from raysweep.kinds.display import as_text, status_table
from raysweep.kinds.so_far import SoFar, of_folder
from raysweep.trials.effect_so_far import EffectSoFar
from raysweep.trials.table import Row, results_of, write_part
from raysweep_analysis import forcing_effects
from raysweep_analysis.so_far import effects_so_far

OUTCOME = "performance_fused_test"
COLUMNS = ["cell", "chosen_by", "strength", "n", "unit", "effect", "ci_low", "ci_high"]


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("draws", [1, 3])
def test_numbers_are_those_of_the_analysis_on_the_same_rows(share: float, draws: int) -> None:
    rng = np.random.default_rng(draws)
    trials = simulate_forcing(
        effects=[-0.05, 0.0, 0.02],
        draws=draws,
        rng=rng,
        criteria=("alignment", "performance"),
    )
    seen = trials[rng.random(len(trials)) < share]
    wanted = forcing_effects(seen, OUTCOME)
    wanted = wanted[wanted["n"] > 0][COLUMNS].reset_index(drop=True)
    found = effects_so_far(seen, OUTCOME)[COLUMNS]
    order = ["cell", "chosen_by"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        wanted.sort_values(order, ignore_index=True),
        check_dtype=False,
        rtol=1e-12,
    )


def confirmed(folder: Path, most: int) -> tuple[SoFar, list[Row], object]:
    """A drawn run of so many packs, what it has found so far, and its confirm rows."""
    planned = study(
        search={"trials": 4, "generation": 2, "seeds": 2, "objective": "both"},
        confirm={"seeds": 4},
    )
    place = opened(folder, planned)
    sweep, so_far = place.open_sweep(planned), of_folder(place, planned)
    found: list[Row] = []
    for _ in range(most):
        pack = sweep.next_pack()
        if pack is None:
            break
        rows = [{**drawn_row(planned, t), "chosen_by": t.chosen_by} for t in pack.trials]
        write_part(place.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
        so_far.take_in(rows)
        found += [row for row in rows if row["stage"] == "confirm"]
        for cell in sweep.cells:
            so_far.of(cell.id)
    return so_far, found, sweep


def test_effects_follow_the_packs_and_are_the_same_from_the_folder(tmp_path: Path) -> None:
    so_far, rows, sweep = confirmed(tmp_path, most=16)
    again = of_folder(opened(tmp_path, sweep.study), sweep.study)  # type: ignore[attr-defined]
    frame = pd.DataFrame(rows)
    wanted = effects_so_far(frame, OUTCOME)
    assert len(wanted)
    for cell in sweep.cells:  # type: ignore[attr-defined]
        of_cell = wanted[wanted["cell"] == cell.id]
        for source in (so_far, again):
            found = {e.chosen_by: (e.n, e.effect, e.low, e.high) for e in source.of(cell.id)}
            assert set(found) == set(of_cell["chosen_by"])
            for row in of_cell.to_dict("records"):
                numbers = [row[name] for name in ("n", "effect", "ci_low", "ci_high")]
                np.testing.assert_allclose(found[row["chosen_by"]], numbers, rtol=1e-12)


def test_the_table_shows_effects_only_where_they_are_asked_for(tmp_path: Path) -> None:
    so_far, _, sweep = confirmed(tmp_path, most=16)
    effects = [effect for cell in sweep.cells for effect in so_far.of(cell.id)]  # type: ignore[attr-defined]
    shown = as_text(status_table(sweep, so_far))  # type: ignore[arg-type]
    assert effects
    assert all(word in shown for effect in effects for word in str(effect).split(" ", 1))
    assert "no verdict" in shown
    assert "so far" not in as_text(status_table(sweep))  # type: ignore[arg-type]


def test_rows_that_cannot_be_read_end_no_run(tmp_path: Path) -> None:
    _, rows, sweep = confirmed(tmp_path, most=16)
    # Two runs of one arm and seed: the analysis refuses such a table.
    broken = [*rows, *({**row, "key": f"{row['key']}0"} for row in rows)]
    so_far = SoFar(sweep.study, lambda: broken)  # type: ignore[attr-defined]
    assert all(so_far.of(cell.id) == () for cell in sweep.cells)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("effect", "shown"),
    [
        (EffectSoFar("", 1.0, 3, -0.0646, -0.0728, -0.0564, OUTCOME), "-6.46 (-7.28, -5.64)"),
        (EffectSoFar("", 1.0, 1, 0.001, np.nan, np.nan, OUTCOME), "+0.10"),
        (EffectSoFar("", 1.0, 2, 0.25, -0.5, 1.0, "loss_fused_test"), "+0.25 (-0.5, +1)"),
    ],
)
def test_effects_are_told_in_the_unit_of_the_outcome(effect: EffectSoFar, shown: str) -> None:
    assert str(effect) == shown


@pytest.mark.parametrize("draws", [1, 12])
def test_intervals_of_a_sequential_study_are_never_surer_than_its_verdicts(draws: int) -> None:
    rng = np.random.default_rng(3)
    seeds = 12 if draws == 1 else 2
    trials = simulate_forcing(effects=[-0.02, 0.0], draws=draws, seeds=seeds, rng=rng)
    looks = (4, 6, 12)
    unit = trials["seed" if draws == 1 else "draw"].rank(method="dense")
    for there in range(3, 13):
        seen = trials[unit <= there]
        found = effects_so_far(seen, OUTCOME, looks=looks)
        once = effects_so_far(seen, OUTCOME)
        assert (found["ci_low"] < once["ci_low"]).all()
        assert (found["ci_high"] > once["ci_high"]).all()
        if there in looks:
            final = forcing_effects(seen, OUTCOME, looks=looks).reset_index(drop=True)
            numbers = ["effect", "ci_low", "ci_high"]
            pd.testing.assert_frame_equal(found[numbers], final[numbers], rtol=1e-12)
