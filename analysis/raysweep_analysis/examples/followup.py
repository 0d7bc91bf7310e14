# %% [markdown]
# # From a trial table to the follow-up's curves
# Run the cells one by one, or all with `python -m raysweep_analysis.examples.followup FOLDER`; a
# second argument reads another table. `tables.md` has every table.
# %%
"""Performance and alignment against strength at each redundancy (arXiv 2511.12121)."""

import sys
from pathlib import Path

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.examples import FOLLOWUP
from raysweep_analysis.examples.strengths import ALIGNMENT, PERFORMANCE, followup_tables

out = Path(sys.argv[1] if len(sys.argv) > 1 else "figures")
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Search rows make the curves, confirm rows test the strength that they chose
# %%
trials = analysis.load_trials(sys.argv[2] if len(sys.argv) > 2 else FOLLOWUP)
curves = analysis.dose_response(trials, PERFORMANCE, ALIGNMENT)
effects = analysis.forcing_effects(trials, PERFORMANCE, alignment=ALIGNMENT)
curves.to_csv(out / "curves.csv", index=False)
effects.to_csv(out / "effects.csv", index=False)

# %% [markdown]
# ## Does the best strength grow with redundancy?
# %%
figures.save(figures.dose_overlay_figure(curves, effects), out, "strength_by_redundancy")
(out / "tables.md").write_text(followup_tables(trials), encoding="utf-8")
