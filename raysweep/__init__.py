"""raysweep: when does forcing multimodal representations to align help, and how hard?

    import raysweep

    run = raysweep.run("quickstart")
    print(run.verdicts)

A study is a `Study` or a study file (`load_study`); `run` runs what is missing of it and returns a
`Run`, and `open_run` opens one that is there. `measure` compares two representations by one of the
`metrics`; `losses` are what a study aligns with; `analysis` reads trial tables of any origin.
"""

# Nothing is imported here before it is asked for: workers and the command line come by, the latter
# before it has put aside the user's folders, where any module's name may be taken.

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Run",
    "Study",
    "TrialContext",
    "advise",
    "analysis",
    "decompose",
    "extract_features",
    "load_study",
    "losses",
    "measure",
    "metrics",
    "open_run",
    "run",
    "save_data",
    "seed_everything",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import raysweep.losses as losses
    import raysweep.metrics as metrics
    import raysweep_analysis as analysis
    from raysweep.api.advising import advise, decompose
    from raysweep.api.own_data import save_data
    from raysweep.api.run import Run, open_run, run
    from raysweep.api.study import Study, load_study
    from raysweep.errors import InputError
    from raysweep.features.extract import extract_features
    from raysweep.kinds.trial.context import TrialContext
    from raysweep.kinds.trial.seeding import seed_everything
    from raysweep.metrics.measurement import measure

_MODULES = ("analysis", "losses", "metrics")
_MEMBERS = {
    "InputError": "raysweep.errors",
    "Run": "raysweep.api.run",
    "Study": "raysweep.api.study",
    "TrialContext": "raysweep.kinds.trial.context",
    "advise": "raysweep.api.advising",
    "decompose": "raysweep.api.advising",
    "extract_features": "raysweep.features.extract",
    "load_study": "raysweep.api.study",
    "measure": "raysweep.metrics.measurement",
    "open_run": "raysweep.api.run",
    "run": "raysweep.api.run",
    "save_data": "raysweep.api.own_data",
    "seed_everything": "raysweep.kinds.trial.seeding",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    import importlib

    if name in _MODULES:
        found: object = importlib.import_module(f"raysweep.{name}")
    elif name in _MEMBERS:
        found = getattr(importlib.import_module(_MEMBERS[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
