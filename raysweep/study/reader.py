"""The reader of study files: YAML in, a checked study out, or every fault at once.

A fault names the file and line (or the ``--set`` override) it came from, the key, the value found
and what would be right.
"""

import codecs
import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raysweep.errors import InputError
from raysweep.kinds.kind import kind_named, kind_names
from raysweep.study.partial import read_partial
from raysweep.study.spec import StudyBase
from raysweep.study.yaml_lines import (
    Document,
    Fault,
    Location,
    assign,
    joined,
    read_document,
    shown,
    write_document,
)
from raysweep.text import counted

Check = Callable[[Mapping[str, Any], Path], list[Fault]]

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}


class StudyFileError(InputError):
    """A study file with faults; the message lists them all."""

    def __init__(self, source: str, lines: Sequence[str]) -> None:
        self.faults = tuple(lines)
        count = counted(len(lines), "fault")
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in lines)]))


def load_study(
    path: str | Path,
    overrides: Sequence[str] = (),
    check: Check | None = None,
    complete: Callable[[StudyBase, Path], StudyBase] | None = None,
) -> StudyBase:
    """Read and check a study file.

    Args:
        path: the YAML file.
        overrides: assignments such as ``search.trials=8`` or ``data.0.U=[0, 4]``, applied before
            the checks.
        check: further checks on the raw document that need registries (``checks.check``); it
            also gets the folder that relative paths are relative to.
        complete: turns the valid study into the resolved one (``checks.resolve``).

    Raises:
        InputError: the file cannot be read.
        StudyFileError: the study has faults; the message lists all of them.
    """
    folder = Path(path).resolve().parent
    return parse_study(read_text(path), str(path), folder, overrides, check, complete)


def read_text(path: str | Path) -> str:
    """The text of a study file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return _decoded(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason})") from error


def _decoded(content: bytes) -> str:
    try:
        # With a byte order mark it may be UTF-16 (YAML 1.2, 5.2).
        return content.decode("utf-16" if content[:2] in _UTF16_MARKS else "utf-8")
    except UnicodeDecodeError as error:
        line = len(content[: error.start + 1].splitlines())
        raise ValueError(
            f"line {line}: the byte {content[error.start]:#04x} is not {error.encoding}; save the "
            "file as utf-8"
        ) from error


def parse_study(
    text: str,
    source: str,
    folder: Path,
    overrides: Sequence[str] = (),
    check: Check | None = None,
    complete: Callable[[StudyBase, Path], StudyBase] | None = None,
) -> StudyBase:
    """`load_study` for a text that is already at hand; ``source`` names it in messages."""
    document, lines = document_in(text, source), []
    for override in overrides:
        try:
            assign(document, override)
        except InputError as error:
            lines.append(str(error))
    return checked_study(document, source, folder, check, complete, lines)


def document_in(text: str, source: str) -> Document:
    """A study as it is written, unchecked.

    Raises:
        StudyFileError: it is no YAML, or no mapping.
    """
    try:
        return read_document(text)
    except InputError as error:
        raise StudyFileError(source, [str(error)]) from error


def checked_study(
    document: Document,
    source: str,
    folder: Path,
    check: Check | None = None,
    complete: Callable[[StudyBase, Path], StudyBase] | None = None,
    lines: Sequence[str] = (),
) -> StudyBase:
    """`load_study` for a document, however it was given; ``lines`` are faults found before."""
    study, faults = _validated(document)
    if check is not None:
        faults += check(document.value, folder)
    unread = {document.written(place) for place in document.unread}
    # What could not be read is told as such, and not again as a missing value.
    faults = document.faults + [f for f in faults if document.written(f.location) not in unread]
    if lines or faults or study is None:
        ordered = sorted(faults, key=lambda f: (_line(document.origin(f.location)), str(f)))
        told = list(lines)
        for fault in ordered:
            places = (document.origin(fault.location), joined(document.written(fault.location)))
            told.append(": ".join([*filter(None, places), fault.message]))
        raise StudyFileError(source, list(dict.fromkeys(told)))
    return complete(study, folder) if complete is not None else study


def dump_study(study: StudyBase) -> str:
    """The resolved study as YAML; `load_study` reads it back to an equal study."""
    plain = study.model_dump(mode="json")
    for part in (plain, *(p for p in plain.values() if isinstance(p, dict))):
        # An option of a metric may be None by choice; a field of a part that is None was not given.
        for key in [k for k, v in part.items() if v is None]:
            del part[key]
    return write_document(plain)


def _validated(document: Document) -> tuple[StudyBase | None, list[Fault]]:
    """The study, or its faults."""
    model = kind_named(document.value.get("kind")).study
    found = read_partial(model, document.value, model.stand_ins)
    faults = []
    for finding in found.findings:
        given = [place for place in finding.places if document.has(place)]
        place = (given or finding.places)[0]
        message = _message(finding.detail, place, model)
        spelled = document.spelled.get(document.written(place))
        if finding.detail["type"] == "string_type" and spelled:
            value = finding.detail["input"]
            message = (
                f"expected text, found {spelled}, which YAML reads as {shown(value)}; quote it"
            )
        faults.append(Fault(place, message))
    return (None if faults else found.part), faults


def _message(detail: Any, at: Location, study: type[StudyBase]) -> str:
    value, kind = detail["input"], detail["type"]
    message = detail["msg"].removeprefix("Value error, ")
    found = f"found {shown(value)}"
    match kind:
        case "extra_forbidden":
            key = str(at[-1])
            kinds = ((name, kind_named(name).study) for name in kind_names())
            other = next((name for name, kind in kinds if key in kind.model_fields), None)
            if len(at) == 1 and other is not None:
                own = study.model_fields["kind"].default
                return f"a key of studies with kind: {other}; this one has kind: {own}"
            return unknown_name("key", key, _keys_at(at[:-1], study))
        case "missing":
            return "missing; this key is required"
        case "too_short":
            return "the list is empty; give at least one value"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            choices = list(kind_names()) if at == ("kind",) else choices
            if not isinstance(value, str):
                return f"expected one of {', '.join(choices)}, {found}"
            return unknown_name("value", value, choices)
        case "value_error":
            plain = not isinstance(value, BaseModel | dict | list | tuple)
            return f"{message}; {found}" if plain else message
        case _ if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, {found}"
    return f"{message.replace('Input should be', 'must be')}, {found}"


def unknown_name(what: str, name: str, choices: Sequence[str]) -> str:
    """A message for a name that is not among the choices, with the nearest one if it is near."""
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown {what} {shown(name)}{hint}; choose from {', '.join(choices)}"


def _keys_at(location: Location, study: type[StudyBase]) -> list[str]:
    model: Any = study
    names = iter(location)
    for part in names:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = _model_in(field.annotation) if field is not None else None
        if model is None or field is None:
            return []
        for _ in range(_own_keys(field.annotation)):
            next(names, None)  # a name that the user chose
    return [name for name in model.model_fields if name not in ("files", "code_folders")]


def _own_keys(annotation: Any) -> int:
    """How many keys in a row are names of the user's, before those of a model."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _own_keys(arguments[0])
    return 1 + _own_keys(arguments[1]) if origin is dict else 0


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for argument in typing.get_args(annotation):
            found = _model_in(argument)
            if found is not None:
                return found
    return None


def _line(origin: str) -> int:
    return int(origin.removeprefix("line ")) if origin.startswith("line ") else 10**9
