"""The only reader of study files: YAML in, a checked study out, or every fault at once.

A fault names the file and line (or the ``--set`` override) it came from, the key, the value found
and what would be right.
"""

import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from raysweep.errors import InputError
from raysweep.spec import Study

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a study file: where, and a message that says what is right."""

    location: Location
    message: str


class StudyFileError(InputError):
    """A study file with faults; the message lists them all."""

    def __init__(self, source: str, lines: Sequence[str]) -> None:
        self.faults = tuple(lines)
        count = f"{len(lines)} fault{'s' if len(lines) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in lines)]))


class _Loader(yaml.SafeLoader):
    """SafeLoader that also reads ``1e-3`` as a number, as every user expects (YAML 1.2)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass
class _Document:
    """A YAML document as plain values, with the origin of every key."""

    value: Any
    origins: dict[Location, str]
    faults: list[Fault]

    def origin(self, location: Location) -> str:
        for end in range(len(location), -1, -1):
            if location[:end] in self.origins:
                return self.origins[location[:end]]
        return "line 1"


def load_study(
    path: str | Path,
    overrides: Sequence[str] = (),
    check: Callable[[Mapping[str, Any], Path], list[Fault]] | None = None,
    complete: Callable[[Study, Path], Study] | None = None,
) -> Study:
    """Read and check a study file.

    Args:
        path: the YAML file.
        overrides: assignments such as ``search.trials=8`` or ``data.0.U=[0, 4]``, applied before
            the checks.
        check: further checks on the raw document that need registries (``vocabulary.check``); it
            also gets the folder that relative paths are relative to.
        complete: turns the valid study into the resolved one (``vocabulary.resolve``).

    Raises:
        InputError: the file cannot be read.
        StudyFileError: the study has faults; the message lists all of them.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason})") from error
    return parse_study(text, str(path), source.resolve().parent, overrides, check, complete)


def parse_study(
    text: str,
    source: str,
    folder: Path,
    overrides: Sequence[str] = (),
    check: Callable[[Mapping[str, Any], Path], list[Fault]] | None = None,
    complete: Callable[[Study, Path], Study] | None = None,
) -> Study:
    """`load_study` for a text that is already at hand; ``source`` names it in messages."""
    document = _read(text, source)
    _apply(document, overrides)
    faults = list(document.faults)
    study = None
    try:
        study = Study.model_validate(document.value)
    except ValidationError as error:
        faults += _faults(error, document.value)
    if check is not None:
        faults += check(document.value, folder)
    if faults or study is None:
        ordered = sorted(faults, key=lambda f: (_line(document.origin(f.location)), str(f)))
        lines = [
            f"{document.origin(f.location)}: {_dotted(f.location)}{f.message}" for f in ordered
        ]
        raise StudyFileError(source, list(dict.fromkeys(lines)))
    return complete(study, folder) if complete is not None else study


def dump_study(study: Study) -> str:
    """The resolved study as YAML; `load_study` reads it back to an equal study."""
    plain = study.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def _read(text: str, source: str) -> _Document:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            found = "an empty file" if node is None else "something else"
            raise StudyFileError(source, [f"line 1: found {found}; a study is a mapping of keys"])
        document = _Document(None, {}, [])
        document.value = _construct(loader, node, (), document)
        return document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or str(error)
        raise StudyFileError(source, [f"line {line}: not valid YAML: {problem}"]) from error
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: yaml.Node, at: Location, document: _Document) -> Any:
    document.origins.setdefault(at, f"line {node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            location = (*at, key)
            line = f"line {key_node.start_mark.line + 1}"
            if key in result:
                document.faults.append(
                    Fault(location, f"this key stands twice (again at {line}); keep one")
                )
            document.origins.setdefault(location, line)
            result[key] = _construct(loader, value_node, location, document)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, item, (*at, index), document)
            for index, item in enumerate(node.value)
        ]
    return loader.construct_object(node, deep=True)


def _apply(document: _Document, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, equals, text = override.partition("=")
        origin = f"--set {override}"
        if not equals or not key.strip():
            raise InputError(f"{origin}: expected KEY=VALUE, such as search.trials=8")
        try:
            value = _Loader(text).get_single_data()
        except yaml.YAMLError as error:
            raise InputError(f"{origin}: {text!r} is not a YAML value") from error
        steps: list[str | int] = [int(s) if s.isdigit() else s for s in key.strip().split(".")]
        target = document.value
        for depth, step in enumerate(steps[:-1]):
            try:
                if isinstance(target, dict) and step not in target:
                    target[step] = {}
                target = target[step]
            except (KeyError, IndexError, TypeError) as error:
                where = ".".join(map(str, steps[: depth + 1]))
                raise InputError(f"{origin}: the study has no {where}") from error
        last = steps[-1]
        fits = isinstance(target, dict) or (
            isinstance(target, list) and isinstance(last, int) and last < len(target)
        )
        if not fits:
            raise InputError(f"{origin}: the study has no {key.strip()}")
        target[last] = value
        location = tuple(steps)
        for known in [k for k in document.origins if k[: len(location)] == location]:
            del document.origins[known]
        document.origins[location] = origin


def _faults(error: ValidationError, raw: Any) -> list[Fault]:
    found = []
    for detail in error.errors(include_url=False):
        location = tuple(
            part for part in detail["loc"] if not (isinstance(part, str) and "[" in part)
        )
        value = detail["input"]
        kind = detail["type"]
        message = detail["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            message = unknown_name("key", str(location[-1]), _keys_at(location[:-1]))
        elif kind == "missing":
            message = "missing; this key is required"
        elif kind == "too_short":
            message = "the list is empty; give at least one value"
        elif kind == "value_error":
            if not isinstance(value, BaseModel | dict | list | tuple):
                message = f"{message}; found {value!r}"
        elif kind == "model_type":
            message = f"expected a mapping of keys, found {value!r}"
        else:
            message = f"{message[0].lower()}{message[1:]}, found {value!r}"
        found.append(Fault(location, message))
    return found


def unknown_name(what: str, name: str, choices: Sequence[str]) -> str:
    """A message for a name that is not among the choices, with the nearest one if it is near."""
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown {what} {name!r}{hint}; choose from {', '.join(choices)}"


def _keys_at(location: Location) -> list[str]:
    model: Any = Study
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = _model_in(field.annotation) if field is not None else None
        if model is None:
            return []
    return [name for name in model.model_fields if name != "files"]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for argument in typing.get_args(annotation):
            found = _model_in(argument)
            if found is not None:
                return found
    return None


def _dotted(location: Location) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _line(origin: str) -> int:
    return int(origin.removeprefix("line ")) if origin.startswith("line ") else 10**9
