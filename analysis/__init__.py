"""Statistics, figures and the report on trial tables; needs the table alone, no torch or Ray."""

from analysis.boundaries import boundary, lines_by
from analysis.contrasts import forcing_effects
from analysis.doses import dose_response, dose_shapes
from analysis.draws import draw_effects
from analysis.emergence import alignment_performance, emergence_trends
from analysis.emergence_summary import emergence_summary
from analysis.load import load_trials
from analysis.moderation import moderators
from analysis.sample_size import power

__all__ = [
    "alignment_performance",
    "boundary",
    "dose_response",
    "dose_shapes",
    "draw_effects",
    "emergence_summary",
    "emergence_trends",
    "forcing_effects",
    "lines_by",
    "load_trials",
    "moderators",
    "power",
]
