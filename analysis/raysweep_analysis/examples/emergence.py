# %% [markdown]
# # From a trial table to the paper's figures
# Every cell is a step; run them one by one in an editor that knows `# %%`, or all with
# `python -m raysweep_analysis.examples.emergence FOLDER`, which leaves figures and tables in the
# folder; `tables.md` has every table of search_spaces/paper/RESULTS.md. Two more arguments read
# other tables: the study in the paper's settings, and the one of several draws.
# %%
"""Emergent alignment: the figures of arXiv 2502.16282 from a trial table."""

import sys
from pathlib import Path

import numpy as np

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.examples import DRAWS, EMERGENCE, published
from raysweep_analysis.examples.results import emergence_tables

out = Path(sys.argv[1] if len(sys.argv) > 1 else "figures")
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The table: one row is a pair of encoders that never met
# %%
trials = analysis.load_trials(sys.argv[2] if len(sys.argv) > 2 else EMERGENCE)
pairs = trials[trials["stage"] == "measure"]

# %% [markdown]
# ## Figure 4: the highest alignment falls with uniqueness
# Beside the paper's numbers, and with U = 8, which the paper's loop leaves out.
# %%
figures.save(figures.alignment_trend_figure(pairs), out, "figure_4")
published.beside_figure_4(pairs).to_csv(out / "figure_4.csv")
published.trend_of_figure_4(pairs).to_csv(out / "figure_4_trend.csv")

# %% [markdown]
# ## Figure 6: alignment over encoder depth and heterogeneity
# %%
figures.save(figures.depth_map_figure(pairs), out, "figure_6")

# %% [markdown]
# ## Figure 7: do better models align more?
# Depth drives alignment and performance both, so the correlation given depth is the fourth panel.
# %%
correlations = analysis.alignment_performance(pairs, permutations=199)
figures.save(figures.correlation_boxes_figure(correlations), out, "figure_7")
published.beside_figure_7(correlations).to_csv(out / "figure_7.csv")

# %% [markdown]
# ## Figure 9: performance against alignment
# %%
figures.save(figures.alignment_performance_figure(pairs), out, "figure_9")

# %% [markdown]
# ## What an honest reimplementation should find, and what was found
# %%
published.bands(pairs, correlations).to_csv(out / "bands.csv", index=False)

# %% [markdown]
# ## The corrected way: several draws, chance taken off
# A claim about U is one about datasets, so the unit is the draw; and the best of many pairs of
# layers is compared with the best of as many shuffled ones.
# %%
drawn = analysis.load_trials(sys.argv[3] if len(sys.argv) > 3 else DRAWS)
corrected = "corrected_unbiased_cka_test"
rng = np.random.default_rng(0)
figures.save(figures.alignment_trend_figure(drawn, alignment=corrected), out, "figure_4_corrected")
analysis.emergence_trends(drawn, alignment=corrected, rng=rng).to_csv(
    out / "trend_corrected.csv", index=False
)
several = analysis.alignment_performance(drawn, permutations=199, rng=rng)
figures.save(figures.correlation_boxes_figure(several), out, "figure_7_draws")
published.beside_figure_7(several).to_csv(out / "figure_7_draws.csv")
analysis.emergence_summary(drawn, several).to_csv(out / "summary_draws.csv", index=False)

# %% [markdown]
# ## Every table in one file
# %%
text = emergence_tables(trials, drawn, correlations, several)
(out / "tables.md").write_text(text, encoding="utf-8")
