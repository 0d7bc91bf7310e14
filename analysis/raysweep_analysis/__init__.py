"""Statistics, figures and the report on trial tables; needs the table alone, no torch or Ray.

Example:
    >>> from raysweep import analysis
    >>> from raysweep.analysis.examples import FORCING
    >>> trials = analysis.load_trials(FORCING)
    >>> effects = analysis.forcing_effects(trials, performance="performance_2_test")
    >>> effects[["n", "verdict"]].head(2).values.tolist()
    [[15, 'hurts'], [15, 'inconclusive']]
"""

import sys

if sys.argv[:1] == ["-m"] and __name__ in sys.orig_argv:
    # python -m raysweep_analysis: this is the program, and no library of another one.
    from raysweep.plugins import import_path

    import_path.put_users_aside()

# Nothing is imported here before it is asked for: much of it takes seconds, and before the lines
# above any of it could have been the user's.

__all__ = [
    "alignment_performance",
    "axis_trends",
    "boundary",
    "dose_response",
    "dose_shapes",
    "draw_effects",
    "emergence_summary",
    "emergence_trends",
    "forcing_effects",
    "information",
    "lines_by",
    "load_trials",
    "model_correlations",
    "model_pairs",
    "moderators",
    "multiverse",
    "pilot_spread",
    "pooled_effects",
    "power",
    "robustness",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from raysweep_analysis.boundaries import boundary, lines_by
    from raysweep_analysis.choices import multiverse, robustness
    from raysweep_analysis.contrasts import forcing_effects
    from raysweep_analysis.doses import dose_response, dose_shapes
    from raysweep_analysis.draws import draw_effects
    from raysweep_analysis.emergence import alignment_performance, emergence_trends
    from raysweep_analysis.emergence_table import emergence_summary
    from raysweep_analysis.load import load_trials
    from raysweep_analysis.models import axis_trends, model_correlations, model_pairs
    from raysweep_analysis.moderation import moderators
    from raysweep_analysis.pilot import pilot_spread
    from raysweep_analysis.pooling import pooled_effects
    from raysweep_analysis.sample_size import power
    from raysweep_analysis.told import information

_MEMBERS = {
    "alignment_performance": "emergence",
    "axis_trends": "models",
    "boundary": "boundaries",
    "dose_response": "doses",
    "dose_shapes": "doses",
    "draw_effects": "draws",
    "emergence_summary": "emergence_table",
    "emergence_trends": "emergence",
    "forcing_effects": "contrasts",
    "information": "told",
    "lines_by": "boundaries",
    "load_trials": "load",
    "model_correlations": "models",
    "model_pairs": "models",
    "moderators": "moderation",
    "multiverse": "choices",
    "pilot_spread": "pilot",
    "pooled_effects": "pooling",
    "power": "sample_size",
    "robustness": "choices",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _MEMBERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    member = getattr(importlib.import_module(f"{__name__}.{_MEMBERS[name]}"), name)
    globals()[name] = member
    return member


def __dir__() -> list[str]:
    return sorted(__all__)
