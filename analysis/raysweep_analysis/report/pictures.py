"""Which figures a report shows, in which order, with what words."""

from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from raysweep.trials.columns import column_of, named
from raysweep.trials.outcomes import outcome_words
from raysweep.trials.tasks import Task, task_of
from raysweep_analysis import figures
from raysweep_analysis.figures.style import Rendered, render
from raysweep_analysis.load import is_information
from raysweep_analysis.report.findings import Findings

_MOST_ROWS = 2000


@dataclass(frozen=True)
class Picture:
    """A figure with its file name, title, caption and data; a notebook shows it."""

    name: str
    title: str
    caption: str = field(repr=False)
    figure: Figure = field(repr=False)
    data: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    @property
    def csv(self) -> str:
        """The data as CSV; empty where there are none, or more than a page should hold."""
        return self.data.to_csv(index=False) if 0 < len(self.data) <= _MOST_ROWS else ""

    @cached_property
    def rendered(self) -> Rendered:
        """The figure as SVG and PNG."""
        return render(self.figure, self.name)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        # As wide as the SVG, at the resolution of the PNG.
        return self.rendered.png, {"width": round(self.figure.get_figwidth() * 100)}


def pictures(found: Findings) -> list[Picture]:
    """Draw every figure that the findings have something for."""
    drawn = _of_forcing(found) if len(found.effects) else []
    return drawn + _of_emergence(found) + _of_models(found)


def _of_forcing(found: Findings) -> list[Picture]:
    settings, effects = found.settings, found.effects
    outcome = outcome_words(settings.performance)
    drawn = []
    if _heads(found):
        drawn.append(
            Picture(
                "headline",
                "The answer in one picture",
                f"Outcome: {outcome}. Above: one tile per cell, as in the map below. Under it, the "
                "effect in every dataset draw along the characteristic, with the fitted line and "
                "where it crosses zero.",
                figures.headline(found.trials, effects, found.boundaries, settings.alpha),
                effects,
            )
        )
    if (effects["verdict"] != "untested").any():
        drawn += [
            Picture(
                "verdict_map",
                "Where forcing helps, hurts or makes no difference",
                f"Outcome: {outcome}. One tile per cell; the marker is the verdict, the shade the "
                "size of an effect that was found, grey is shown to be no difference, an empty "
                "dashed tile is not known. Numbers: effect, half its interval and the strength.",
                figures.verdict_map(effects),
                effects,
            ),
        ]
    if len(found.curves):
        drawn.append(
            Picture(
                "dose_response",
                "What happens as the strength grows",
                "Search runs against strength 0 of the same seeds, with the closest single-peaked "
                "curve (top) and the closest rising curve (bottom). Exploratory: the search chose "
                "these strengths. Long intervals are cut.",
                figures.dose_response_figure(found.curves, effects),
                found.curves,
            )
        )
    if (effects["verdict"] != "untested").any():
        drawn.append(
            Picture(
                "effects",
                "Effect in every cell",
                "Forced minus not forced on the same seeds, 95 % t interval (not adjusted; the "
                "verdict is). Below each, small: forced minus placebo, what is left once plain "
                "regularisation is taken off. Grey band: the margin of no difference.",
                figures.effect_forest(effects, settings.margin),
                effects,
            )
        )
    if len(found.boundaries) and (found.boundaries["set"] != "none").any():
        drawn.append(
            Picture(
                "boundary",
                "Where the effect changes sign",
                "One point per dataset draw in a cell. The shaded stretch is Fieller's set for the "
                "crossing of the fitted line with zero.",
                figures.boundary_figure(found.trials, found.boundaries, settings.alpha),
                found.boundaries,
            )
        )
    if (found.trials["stage"].astype(str) == "search").any():
        drawn.append(
            Picture(
                "search",
                "How the search for a strength went",
                "Every proposal in order, on the validation split. A search that still rises at "
                "its end had too few trials.",
                figures.search_figure(found.trials, performance=_searched(found)),
                _search_rows(found),
            )
        )
    return drawn


def _search_rows(found: Findings) -> pd.DataFrame:
    """The runs of the search, with what it went by."""
    trials = found.trials[found.trials["stage"].astype(str) == "search"]
    alignment = [c for c in map(str, trials) if column_of(c).family == "alignment"]
    names = ["cell", "arm", "draw", "seed", "number", "strength", _searched(found)]
    wanted = [*names, *(c for c in alignment if column_of(c).split == "validation")]
    return trials[[name for name in wanted if name in trials]]


def _searched(found: Findings) -> str:
    """The performance on validation that a search may have gone by."""
    tested = column_of(found.settings.performance)
    own, usual = tested.on("validation"), named("performance", "fused", "validation")
    if task_of(tested.name) is not Task.CLASSIFICATION:
        usual = named(tested.family, "fused", "validation")
    return own if usual not in found.trials and own in found.trials else usual


def _heads(found: Findings) -> bool:
    """Whether effects were followed along a characteristic of the data, cell by cell."""
    if found.boundaries.empty or (found.effects["verdict"] == "untested").all():
        return False
    fitted = found.boundaries[found.boundaries["set"] != "none"]
    along = fitted["along"].iloc[0] if len(fitted) else ""
    return along in found.effects and not is_information(along) and along != "n_train"


def _of_emergence(found: Findings) -> list[Picture]:
    drawn = []
    along = found.along
    if len(found.trends):
        drawn.append(
            Picture(
                "alignment_trend",
                f"Emergent alignment against {along}",
                "Encoders trained independently. The highest alignment over models, averaged over "
                "seeds; it grows with the number of models by selection alone.",
                figures.alignment_trend_figure(found.trials, along),
                found.summary,
            )
        )
    if len(found.correlations) and along in found.correlations:
        if "D_phi" in found.trials and found.trials["D_phi"].nunique() > 1:
            drawn.append(
                Picture(
                    "depth_maps",
                    "Alignment over encoder depth and heterogeneity",
                    "Mean over seeds and draws of each model.",
                    figures.depth_map_figure(found.trials, along=along),
                )
            )
        drawn += [
            Picture(
                "correlations",
                "Do better models align more?",
                "Correlations over models of one dataset and seed. Depth drives alignment and "
                "performance both, so look at the last panel too: given depth.",
                figures.correlation_boxes_figure(found.correlations, along),
                found.correlations,
            ),
            Picture(
                "alignment_performance",
                "Performance against alignment",
                "One point per model, means over seeds.",
                figures.alignment_performance_figure(found.trials, along=along),
            ),
        ]
    return drawn


def _of_models(found: Findings) -> list[Picture]:
    """Of the metric that stands first: performance, layers, axes."""
    said = found.models
    if said is None:
        return []
    alignment = said.alignments[0]
    drawn = []
    if len(said.correlations):
        drawn.append(
            Picture(
                "model_performance",
                "Do models that perform better align more?",
                "One point per model: its mean alignment over the models of the other side. Band: "
                "from the mean of permuted rows to what 95 % of them stay below.",
                figures.performance_figure(found.trials, alignment),
                said.correlations,
            )
        )
    drawn.append(
        Picture(
            "layer_maps",
            "Which layers are alike?",
            "Every pair of layers of the pairs of models that are most alike, in one scale; the "
            "frame is the best pair. Layer 0 is the embedding.",
            figures.layer_map_figure(found.trials, alignment),
            said.pairs,
        )
    )
    drawn += [
        Picture(
            f"along_{along}",
            f"Alignment along {along}",
            "One line per model, its mean over the models of the other side. Band: from the mean "
            "of permuted rows to what 95 % of them stay below.",
            figures.axis_figure(found.trials, along, alignment),
            said.trends,
        )
        for along in dict.fromkeys(said.trends["along"] if len(said.trends) else ())
    ]
    return drawn
