"""Python values in the place of a study file: the same document, without lines."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.errors import InputError
from raysweep.study.yaml_lines import Document, Fault, Location, joined, shown

_DEEPEST = 20


@dataclass
class Keywords(Document):
    """A document that was given as keywords: a place in it is told by its name alone."""

    def origin(self, location: Location) -> str:
        """Nothing: there are no lines."""
        return ""


def read_keywords(keywords: Mapping[str, Any]) -> Keywords:
    """Keywords as a document, with what is no plain value among its faults."""
    document = Keywords()
    document.value = _construct(keywords, (), document, "keyword")
    return document


def put(document: Document, keyword: str, value: object) -> None:
    """Change a document by a keyword such as ``search__trials=8``.

    Args:
        document: changed in place.
        keyword: keys with two underscores, or points, between them.
        value: of any kind that stands in a study.

    Raises:
        InputError: the document has no such place.
    """
    names = keyword.split("." if "." in keyword else "__")
    origin = f"{keyword}={shown(value)}"
    at, target = document.place(names, origin)
    document.forget(at)
    target[at[-1]] = _construct(value, at, document, origin)


def _construct(value: Any, at: Location, document: Document, origin: str) -> Any:
    """A value as plain ones: arrays and tuples as lists, paths as text."""
    document.origins[at] = origin
    if hasattr(value, "tolist"):  # of NumPy or torch, one number or many
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if len(at) > _DEEPEST:
        raise InputError(f"{joined(at[:3])}: nested too deeply")
    if isinstance(value, Mapping):
        found = {}
        for key, item in value.items():
            if isinstance(key, str):
                found[key] = _construct(item, (*at, key), document, origin)
            else:
                message = f"a key is {shown(key)}; write plain names"
                document.faults.append(Fault(at, message))
        return found
    if isinstance(value, list | tuple | range):
        return [_construct(item, (*at, i), document, origin) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    document.faults.append(Fault(at, f"cannot be read as a value (found {shown(value)})"))
    document.unread.append(at)
    return None
