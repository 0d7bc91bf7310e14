# %% [markdown]
# # From a trial table to the verdict, the boundary and the curves
# Run the cells one by one, or all with `python -m raysweep_analysis.examples.forcing FOLDER`.
# %%
"""Forced alignment: verdicts, boundary, dose response and search from a trial table."""

import sys
from pathlib import Path

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.examples import TUNED

out = Path(sys.argv[1] if len(sys.argv) > 1 else "figures")
out.mkdir(parents=True, exist_ok=True)
performance = "performance_fused_population"

# %% [markdown]
# ## Verdicts: paired arms on fresh seeds, the draw as unit
# %%
trials = analysis.load_trials(TUNED)
effects = analysis.forcing_effects(trials, performance)
effects.to_csv(out / "effects.csv", index=False)
figures.save(figures.verdict_map(effects), out, "verdict_map")
figures.save(figures.effect_forest(effects), out, "effects")

# %% [markdown]
# ## Where the effect changes sign
# A line for each width, number of rows and heterogeneity: their effects differ.
# %%
crossings = analysis.boundary(trials, performance, by=analysis.lines_by(trials))
crossings.to_csv(out / "boundaries.csv", index=False)
figures.save(figures.boundary_figure(trials, crossings), out, "boundary")

# %% [markdown]
# ## The answer in one picture: verdicts above lines
# %%
figures.save(figures.headline(trials, effects, crossings), out, "headline")

# %% [markdown]
# ## What happens as the strength grows, and how the search went
# Search rows are exploratory: they chose the strength that the confirm rows test.
# %%
curves = analysis.dose_response(trials, performance)
figures.save(figures.dose_response_figure(curves, effects), out, "dose_response")
figures.save(figures.search_figure(trials), out, "search")
