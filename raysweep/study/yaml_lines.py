"""YAML as plain values that remember where they came from: a line, or a ``--set`` override.

Readers of YAML 1.1 and of 1.2 differ in what some plain words are. Where one of the two is plainly
meant it is read (``1e-3`` is a number, ``2024-01-01`` a text); what could be either, as ``010`` and
``1:30``, is a fault.
"""

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from raysweep.errors import InputError

Location = tuple[str | int, ...]

_DEEPEST = 20
_MOST_VALUES = 50_000


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a study file: where, and a message that says what is right."""

    location: Location
    message: str


@dataclass
class Document:
    """A YAML document as plain values.

    Attributes:
        value: the document.
        origins: place -> where it was given, such as ``line 3`` or ``--set search.trials=8``.
        faults: what is wrong with the YAML itself, such as a key that stands twice.
        unread: places whose value could not be read; ``value`` has None there.
        spelled: places of plain words that are no text to YAML -> the word, such as ``no``.
        values: how many values there are, aliases resolved.
        checked: the mappings whose keys were checked, by their ids, which they keep from reuse.
    """

    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[Location, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unread: list[Location] = field(default_factory=list)
    spelled: dict[Location, str] = field(default_factory=dict)
    values: int = 0
    checked: dict[int, yaml.Node] = field(default_factory=dict)

    def origin(self, location: Location) -> str:
        """Where a place was given, or the nearest place around it."""
        known = self.written(location)
        while known and known not in self.origins:
            known = known[:-1]
        return self.origins.get(known, "line 1")

    def written(self, location: Location) -> Location:
        """A place as the document has it: where one value stands for a list, without an index."""
        at: Location = ()
        for step in location:
            if not isinstance(step, int) or (*at, step) in self.origins or at not in self.origins:
                at = (*at, step)
        return at

    def has(self, location: Location) -> bool:
        """Whether the place itself was given."""
        return location in self.origins

    def place(self, names: Sequence[str], origin: str) -> tuple[Location, Any]:
        """The place that names lead to, and the mapping or list that holds it.

        Args:
            names: from the outermost in; parts that are left out are opened.
            origin: by what the place is asked for, for messages.

        Raises:
            InputError: the document has no such place.
        """
        at: Location = ()
        target: Any = self.value
        for name in names:
            if at:
                target = _opened(target, at, self, origin)
            if isinstance(target, list):
                if not re.fullmatch(r"[0-9]{1,9}", name) or int(name) >= len(target):
                    raise InputError(
                        f"{origin}: the study has no {joined((*at, name))}; "
                        f"{joined(at)} is a list with the entries 0..{len(target) - 1}"
                    )
                at = (*at, int(name))
            elif isinstance(target, dict):
                at = (*at, name)
            else:
                raise InputError(f"{origin}: {joined(at)} is {shown(target)}, which has no parts")
        return at, target

    def forget(self, at: Location) -> None:
        """Leave out what is known of a place and all in it: another value is put there."""
        for known in [k for k in self.origins if k[: len(at)] == at]:
            del self.origins[known]
        self.faults = [f for f in self.faults if f.location[: len(at)] != at]
        self.unread = [place for place in self.unread if place[: len(at)] != at]
        self.spelled = {k: v for k, v in self.spelled.items() if k[: len(at)] != at}


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads numbers as users expect (YAML 1.2): ``1e-3``, ``-.5``, ``0o17``."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes lists of plain values in one line, and quotes what `_Loader` reads."""


_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_OTHER_LINE_ENDS = "\r\x85\u2028\u2029\ufeff"
_COLLECTIONS = (f"{_TAG}map", f"{_TAG}seq")
_OCTAL_OR_NOT = re.compile(r"[-+]?0[0-9_]*[0-9]")
_NUMBERS = {
    "float": r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+|[-+]\.[0-9]+",
    "int": rf"[-+]?0o[0-7]+|{_OCTAL_OR_NOT.pattern}",
}
for _kind_of, _pattern in _NUMBERS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            _TAG + _kind_of, re.compile(f"^(?:{_pattern})$"), list("-+0123456789.")
        )


def _represent_sequence(dumper: _Dumper, values: Sequence[Any]) -> yaml.Node:
    flat = not any(isinstance(v, dict | list | tuple) for v in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _represent_text(dumper: _Dumper, value: str) -> yaml.Node:
    # Other styles lose these: YAML 1.1 takes them for the end of a line.
    style = '"' if any(mark in value for mark in _OTHER_LINE_ENDS) else None
    return dumper.represent_scalar(f"{_TAG}str", value, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_sequence)
_Dumper.add_representer(tuple, _represent_sequence)


def read_document(text: str) -> Document:
    """Read a YAML document that is a mapping.

    Raises:
        InputError: it is not, or not YAML at all; the message starts with the line.
    """
    try:
        node = _composed(text)
        if not isinstance(node, yaml.MappingNode):
            found = "an empty file" if node is None else _kind(node)
            raise InputError(f"line 1: found {found}; a study is a mapping of keys")
        document = Document()
        document.value = _construct(node, (), document)
        return document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        if isinstance(error, yaml.reader.ReaderError):
            line = len(text[: error.position + 1].splitlines())
        raise InputError(f"line {line}: not valid YAML: {_problem(error)}") from error


def write_document(value: dict[str, Any]) -> str:
    """Plain values as YAML, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def assign(document: Document, override: str) -> None:
    """Change a document by an override such as ``search.trials=8`` or ``data.0.U=[0, 4]``.

    Raises:
        InputError: not KEY=VALUE, the value is not YAML, or the document has no such place.
    """
    key, equals, text = override.partition("=")
    origin = f"--set {override}"
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{origin}: expected KEY=VALUE, such as search.trials=8")
    at, target = document.place(names, origin)
    document.forget(at)
    try:
        node = _composed(text)
        value = None if node is None else _construct(node, at, document, origin)
    except yaml.YAMLError as error:
        raise InputError(
            f"{origin}: {shown(text)} is not a YAML value ({_problem(error)})"
        ) from error
    document.origins.setdefault(at, origin)
    target[at[-1]] = value


def shown(value: object) -> str:
    """A value as it is written in messages: cut where it is long."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 80
    return shortener.repr(value)


def joined(location: Location) -> str:
    """A place as users write it: ``data.0.U``."""
    return ".".join(map(str, location))


def _composed(text: str) -> yaml.Node | None:
    loader = None
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
        return node
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a single value"


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character {chr(error.character)!r} is not allowed"
    problem = getattr(error, "problem", None) or str(error)
    # YAML 1.2 takes a tab between key and value; this reader, like most of YAML 1.1, does not.
    return f"{problem} (a tab; write spaces)" if r"'\t'" in problem else problem


def _construct(node: yaml.Node, at: Location, document: Document, origin: str = "") -> Any:
    """A node as plain values; records where each came from, by line or as ``origin``."""
    document.origins.setdefault(at, origin or f"line {node.start_mark.line + 1}")
    document.values += 1
    if len(at) > _DEEPEST or document.values > _MOST_VALUES:
        # Aliases that contain themselves, or one another many times, would have no end.
        raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and node.tag not in _COLLECTIONS:
        document.faults.append(Fault(at, f"the tag {node.tag} is not known; leave it out"))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, document, origin)
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(item, (*at, index), document, origin)
            for index, item in enumerate(node.value)
        ]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node, at, document)


def _mapping(
    node: yaml.MappingNode, at: Location, document: Document, origin: str
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in _entries(node, at, document):
        location = (*at, key_node.value)
        document.origins.setdefault(location, origin or f"line {key_node.start_mark.line + 1}")
        result[key_node.value] = _construct(value_node, location, document, origin)
    return result


def _check_keys(node: yaml.MappingNode, at: Location, document: Document) -> None:
    """Note keys of a mapping that stand twice or are no names, once however often it is merged."""
    if id(node) in document.checked:
        return
    document.checked[id(node)] = node
    seen: set[str] = set()
    for key_node, _ in node.value:
        line = f"line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            document.faults.append(Fault(at, f"a key is {_kind(key_node)}; write plain names"))
        elif key_node.value in seen:
            location = (*at, key_node.value)
            document.faults.append(
                Fault(location, f"this key stands twice (again at {line}); keep one")
            )
        else:
            seen.add(key_node.value)


def _entries(
    node: yaml.MappingNode, at: Location, document: Document, depth: int = 0
) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values of a mapping: those of mappings that it merges (``<<``) first.

    Its own keys win over those that are merged, and of these the first mapping's.
    """
    document.values += depth > 0
    if depth > _DEEPEST or document.values > _MOST_VALUES:
        raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=node.start_mark)
    _check_keys(node, at, document)
    own = [(k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode)]
    names = {k.value for k, _ in own}
    merged: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
    for key_node, value_node in own:
        if key_node.tag != _MERGE:
            continue
        several = isinstance(value_node, yaml.SequenceNode)
        for part in value_node.value if several else [value_node]:
            if isinstance(part, yaml.MappingNode):
                for entry in _entries(part, at, document, depth + 1):
                    merged.setdefault(entry[0].value, entry)
            else:
                document.faults.append(
                    Fault(
                        (*at, key_node.value),
                        f"merges mappings, as in <<: *name, and found {_kind(part)}",
                    )
                )
    kept = [entry for name, entry in merged.items() if name not in names]
    return kept + [(k, v) for k, v in own if k.tag != _MERGE]


def _scalar(node: yaml.ScalarNode, at: Location, document: Document) -> Any:
    try:
        value = _plain_value(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = _problem(error) if isinstance(error, yaml.YAMLError) else str(error)
        document.faults.append(Fault(at, f"cannot be read as a value ({reason})"))
        document.unread.append(at)
        return None
    if not isinstance(value, str) and node.style is None:
        document.spelled[at] = node.value
    return value


def _plain_value(node: yaml.ScalarNode) -> Any:
    """A scalar as a plain value.

    Raises:
        yaml.YAMLError: readers differ in what it is, or it is nothing plain.
        ValueError: it looks like a number, a date or a text, and is none.
    """
    written, kind = node.value, node.tag.removeprefix(_TAG)
    if kind == "int" and _OCTAL_OR_NOT.fullmatch(written):
        raise yaml.YAMLError(
            f"some readers of YAML take {written} for an octal number and others for a decimal "
            f"one; write {int(written)}, or 0o for an octal one, or '{written}' for a text"
        )
    loader = _Loader("")
    try:
        # A plain = or << that is no key.
        value = written if kind in ("value", "merge") else loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
    if isinstance(value, str):
        return _whole_characters(value)
    if kind == "timestamp":
        return written
    if kind in ("int", "float") and ":" in written:
        raise yaml.YAMLError(
            f"some readers of YAML take {written} for {value:.12g} and others for a text; write "
            f"{value:.12g}, or '{written}' in quotes"
        )
    return value


def _whole_characters(text: str) -> str:
    """A text in which two escapes make up one character, as JSON writes those beyond U+FFFF."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ValueError("an escape such as \\ud800 is half a character") from error


def _opened(target: Any, at: Location, document: Document, origin: str) -> Any:
    """What stands at a place; a new part where the document leaves it out."""
    if isinstance(target, dict) and target.get(at[-1]) is None:
        document.origins.setdefault(at, origin)
        target[at[-1]] = {}
    return target[at[-1]]
