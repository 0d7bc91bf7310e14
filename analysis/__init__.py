"""Statistics, figures and the report on trial tables; needs the table alone, no torch or Ray."""

from analysis.contrasts import forcing_effects
from analysis.load import load_trials

__all__ = ["forcing_effects", "load_trials"]
