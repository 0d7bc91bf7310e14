"""What a user's mistake raises, and what ends a run from outside."""


class InputError(ValueError):
    """Something the user gave is wrong: a study file, a dataset, a table, an address, a flag.

    The message is complete: it names the place, the value found there and what would be right.
    The command line prints it without a traceback and exits with code 2.

    Example:
        >>> import raysweep
        >>> try:
        ...     raysweep.load_study("quickstarts")
        ... except raysweep.InputError as error:
        ...     print(str(error).partition(";")[0])
        quickstarts: neither a study file nor a bundled study (did you mean quickstart?)
    """


class RunnerLost(RuntimeError):
    """What runs the packs is gone in mid run; what is finished is kept, and can be gone on with."""
