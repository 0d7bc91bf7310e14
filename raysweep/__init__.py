"""raysweep: when does forcing multimodal representations to align help, and how hard?"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the analysis when it is first asked for: workers never need it."""
    if name == "analysis":
        import importlib  # not before the command line has put the user's folders aside

        return importlib.import_module("raysweep.analysis")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
