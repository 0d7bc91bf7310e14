"""A user's own function, named in a study file by its dotted path: package.module:function."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import InputError


def imported(path: str, place: str) -> Callable[..., Any]:
    """The function that a dotted path names.

    Args:
        path: "package.module:function".
        place: what takes it, for messages, such as ``loss package.module:function``.

    Raises:
        InputError: the path is malformed, cannot be imported or names nothing callable. Whatever
            else the user's module raises while it is imported goes through.
    """
    module_name, _, name = path.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"{place}: not a dotted path; write package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{place}: cannot import {module_name} ({error}); it must be importable where the "
            "study runs, on every worker"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = "nothing of that name" if function is None else type(function).__name__
        raise InputError(f"{place}: {module_name} has {found}; it must be a function {name}")
    called: Callable[..., Any] = function
    return called


def check_call(
    function: Callable[..., Any],
    place: str,
    form: str,
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    options: Mapping[str, object],
) -> None:
    """Check that a function can be called in this form, without calling it.

    Args:
        function: the user's.
        place: as in `imported`.
        form: how it is called, for the message, such as ``pull(h1, h2, **options)``.
        arguments: those that raysweep gives by place.
        keywords: those that raysweep gives by name.
        options: those that the study file gives.

    Raises:
        InputError: its signature does not allow that.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # Some built-in functions have none to check against.
    try:
        signature.bind(*arguments, **keywords, **options)
    except TypeError as error:
        name = place.partition(":")[2]
        raise InputError(
            f"{place}: the function cannot be called as {form} with options "
            f"{sorted(options)} ({error}); its signature is {name}{signature}"
        ) from error


def source_of(path: str) -> Path:
    """The file of a user's own function.

    Raises:
        InputError: the module has no file.
    """
    module = importlib.import_module(path.partition(":")[0])
    if getattr(module, "__file__", None) is None:
        raise InputError(f"{path}: the module has no source file")
    return Path(str(module.__file__))
