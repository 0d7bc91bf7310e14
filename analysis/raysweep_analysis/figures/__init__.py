"""Figures: functions that take a table and return a matplotlib Figure."""

from raysweep_analysis.figures.boundary import boundary_figure as boundary_figure
from raysweep_analysis.figures.dose import dose_overlay_figure as dose_overlay_figure
from raysweep_analysis.figures.dose import dose_response_figure as dose_response_figure
from raysweep_analysis.figures.emergence import (
    alignment_performance_figure as alignment_performance_figure,
)
from raysweep_analysis.figures.emergence import alignment_trend_figure as alignment_trend_figure
from raysweep_analysis.figures.emergence import correlation_boxes_figure as correlation_boxes_figure
from raysweep_analysis.figures.emergence import depth_map_figure as depth_map_figure
from raysweep_analysis.figures.forest import effect_forest as effect_forest
from raysweep_analysis.figures.headline import headline as headline
from raysweep_analysis.figures.models import axis_figure as axis_figure
from raysweep_analysis.figures.models import layer_map_figure as layer_map_figure
from raysweep_analysis.figures.models import performance_figure as performance_figure
from raysweep_analysis.figures.search import search_figure as search_figure
from raysweep_analysis.figures.specifications import specification_curve as specification_curve
from raysweep_analysis.figures.style import Rendered as Rendered
from raysweep_analysis.figures.style import render as render
from raysweep_analysis.figures.style import save as save
from raysweep_analysis.figures.verdict_map import verdict_map as verdict_map
