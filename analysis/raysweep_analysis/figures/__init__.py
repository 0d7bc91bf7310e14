"""Figures: functions that take a table and return a matplotlib Figure."""

from raysweep_analysis.figures.boundary import boundary_figure
from raysweep_analysis.figures.dose import dose_overlay_figure, dose_response_figure
from raysweep_analysis.figures.emergence import (
    alignment_performance_figure,
    alignment_trend_figure,
    correlation_boxes_figure,
    depth_map_figure,
)
from raysweep_analysis.figures.forest import effect_forest
from raysweep_analysis.figures.headline import headline
from raysweep_analysis.figures.search import search_figure
from raysweep_analysis.figures.style import Rendered, render, save
from raysweep_analysis.figures.verdict_map import verdict_map

__all__ = [
    "Rendered",
    "alignment_performance_figure",
    "alignment_trend_figure",
    "boundary_figure",
    "correlation_boxes_figure",
    "depth_map_figure",
    "dose_overlay_figure",
    "dose_response_figure",
    "effect_forest",
    "headline",
    "render",
    "save",
    "search_figure",
    "verdict_map",
]
