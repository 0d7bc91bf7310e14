"""Which arrays or columns of a file are the modalities, the label, the split and the groups."""

import difflib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from raysweep.data.files.opened import open_source
from raysweep.data.files.source import Source
from raysweep.data.sequences import told_by
from raysweep.errors import InputError
from raysweep.study.spec.fields import listed
from raysweep.text import counted

MODALITIES = tuple(f"modality_{k}" for k in range(1, 5))
USUAL = ("x1", "x2", "x3", "x4")
LABELS = ("y", "label")
SPLIT, GROUPS = "split", "groups"
PLACES = ("label", SPLIT, GROUPS)
"""Parameters that say where something stands in a file, and nothing of the data themselves."""


@dataclass(frozen=True)
class Wanted:
    """What a study says of a file; None where it leaves that out.

    Attributes:
        modalities: of modality 1 to 4: a name, several between commas, or patterns such as img_*.
        count: how many modalities; None for as many as are named or found.
        label: the same of the label; several columns are a one-hot label.
        split: the name of the splits.
        groups: the name of the groups.
    """

    modalities: tuple[str | None, ...] = (None,) * len(MODALITIES)
    count: int | None = None
    label: str | None = None
    split: str | None = None
    groups: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, object]) -> "Wanted":
        """What the parameters of a data block say."""
        said = {key: v if isinstance(v, str) else None for key, v in parameters.items()}
        count = parameters.get("modalities")
        return cls(
            tuple(said.get(key) for key in MODALITIES),
            count if isinstance(count, int) else None,
            said.get("label"),
            said.get("split"),
            said.get("groups"),
        )

    @property
    def named(self) -> bool:
        """Whether it names modalities."""
        return any(text is not None for text in self.modalities)


@dataclass(frozen=True)
class Part:
    """Arrays or columns that are one thing.

    Attributes:
        name: what it is called: as the study says it, else by the array.
        members: the arrays or columns, in their order.
        said: whether the study names it.
    """

    name: str
    members: tuple[str, ...]
    said: bool


@dataclass(frozen=True)
class Chosen:
    """What the names of a file are.

    Attributes:
        modalities: two to four, or fewer where a fault is noted.
        label, split, groups: None without.
    """

    modalities: tuple[Part, ...]
    label: Part | None
    split: str | None
    groups: str | None

    def unused(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of a file's names that are none of these."""
        used = {self.split, self.groups, *(self.label.members if self.label else ())}
        used.update(name for part in self.modalities for name in part.members)
        return tuple(name for name in names if name not in used)


def choose(source: Source, wanted: Wanted, faults: list[str]) -> Chosen:
    """What each name of a file is: as the study says, else by the usual names.

    Args:
        source: the file.
        wanted: what the study says.
        faults: where to note what does not fit.
    """
    label = _label(source, wanted.label, faults)
    split = _single(source, "split", wanted.split, SPLIT, faults)
    groups = _single(source, "groups", wanted.groups, GROUPS, faults)
    taken = {name for name in (split, groups) if name} | set(label.members if label else ())
    named = wanted.named
    modalities = _said(source, wanted.modalities, taken, faults) if named else _usual(source, taken)
    if wanted.count is not None and modalities:
        if len(modalities) < wanted.count or (named and len(modalities) > wanted.count):
            there = listed(part.name for part in modalities)
            faults.append(f"modalities is {wanted.count}, and there are {len(modalities)}: {there}")
        modalities = modalities[: wanted.count]
    missing = [n for n in USUAL[:2] if not (named or modalities) and n not in source.names]
    if label is None and wanted.label is None:
        missing.append(LABELS[0])
    if missing and (named or (modalities and source.noun == "column")):
        found = listed(prefixes(source.names))
        faults.append(f"no {source.noun} y or label; found {found}, expected label: NAME")
    elif missing:
        faults.append(_nothing(source, missing, taken))
    if not (named or modalities):
        # What is there of the usual names is looked at all the same.
        modalities = [Part(n, (n,), False) for n in USUAL[:2] if n in source.names]
    return Chosen(tuple(modalities), label, split, groups)


def modalities_of(path: str, wanted: Wanted) -> int:
    """How many modalities a study has of a file, without reading them.

    Raises:
        InputError: there is no such file.
    """
    return len(choose(open_source(path), wanted, []).modalities)


def _label(source: Source, said: str | None, faults: list[str]) -> Part | None:
    if said is None:
        there = [name for name in LABELS if name in source.names]
        return Part(there[0], (there[0],), False) if there else None
    try:
        return Part(said, _members(source, "label", said), True)
    except InputError as error:
        faults.append(str(error))
        return None


def _single(
    source: Source, key: str, said: str | None, usual: str, faults: list[str]
) -> str | None:
    if said is None:
        return usual if usual in source.names else None
    if said in source.names:
        return said
    faults.append(_unknown(source, key, said))
    return None


def _said(
    source: Source, texts: Sequence[str | None], taken: set[str], faults: list[str]
) -> list[Part]:
    """The modalities that a study names."""
    given = [text for text in texts if text is not None]
    gaps = [key for key, text in zip(MODALITIES, texts[: len(given)], strict=False) if text is None]
    if gaps:
        faults.append(f"{listed(gaps)} is missing; number the modalities from 1 on")
    elif len(given) < 2:
        faults.append("modality_2 is missing; give two to four modalities")
    parts = []
    for key, text in zip(MODALITIES, texts, strict=True):
        if text is None:
            continue
        try:
            members = _members(source, key, text)
        except InputError as error:
            faults.append(str(error))
            continue
        both = [name for name in members if name in taken]
        if both:
            faults.append(
                f"{key}: {text} takes {listed(both, 5)}, too, which is label, split or groups; "
                f"give names or patterns that leave it out"
            )
        parts.append(Part(text, members, True))
    count = Counter(name for part in parts for name in part.members)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        faults.append(
            f"{source.noun} {listed(twice, 5)} {'is' if len(twice) == 1 else 'are'} in more than "
            "one modality; give each to one"
        )
    return parts


def _usual(source: Source, taken: set[str]) -> list[Part]:
    """The modalities by their usual names, else the two-dimensional arrays there are."""
    there = [name for name in USUAL if name in source.names]
    if not {*USUAL[:2]} & {*there}:
        free = [name for name in source.names if name not in taken]
        flat = [name for name in free if source.dimensions(name) == 2]
        if not 2 <= len(flat) <= len(USUAL):
            beside = {other for name in free for other in told_by(free, name)}
            several = [n for n in free if source.dimensions(n) in (2, 3, 4) and n not in beside]
            flat = several if 2 <= len(several) <= len(USUAL) else []
        return [Part(n, (n,), False) for n in flat]
    if not {*USUAL[:2]} <= {*there}:
        return []
    # Numbered without a gap, or they are not meant so.
    whole = [name for k, name in enumerate(there) if name == USUAL[k]]
    return [Part(name, (name,), False) for name in whole]


def _members(source: Source, key: str, text: str) -> tuple[str, ...]:
    """The names that a text stands for.

    Raises:
        InputError: it stands for none, or for one twice.
    """
    if text in source.names:
        return (text,)
    found: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        if word in source.names:
            found.append(word)
            continue
        matching = [name for name in source.names if fnmatchcase(name, word)]
        if not matching or not word:
            raise InputError(_unknown(source, key, word))
        found += matching
    twice = [name for name, times in Counter(found).items() if times > 1]
    if twice:
        raise InputError(f"{key}: {text} takes {listed(twice, 5)} twice; give each once")
    return tuple(found)


def _unknown(source: Source, key: str, word: str) -> str:
    lower = {name.lower(): name for name in source.names}
    close = difflib.get_close_matches(word.lower(), lower, n=1)
    meant = f"did you mean {lower[close[0]]}? " if close else ""
    what = f"no {source.noun} is called {word}" if word else "a name is empty"
    found = source.names if source.noun == "array" else prefixes(source.names)
    return f"{key}: {what} ({meant}found {listed(found) or 'none'})"


def _nothing(source: Source, missing: Sequence[str], taken: set[str]) -> str:
    """What is wrong with a file in which the usual names are missing, and what would help."""
    found = listed(prefixes(source.names)) or "none"
    usual = "x1 [n, d1], x2 [n, d2], y [n] and, if wanted, split [n]"
    if source.noun == "array":
        found = listed(source.names, 30) or "none"
    message = f"no {source.noun} {', '.join(missing)}; found {found}, expected "
    free = [name for name in source.names if name not in taken]
    proposed = [f"modality_{k}: {p}" for k, p in enumerate(_proposed(source, free), start=1)]
    if LABELS[0] in missing:
        proposed.append(f"label: {free[-1] if free else 'NAME'}")
    if source.noun == "array" and len(proposed) < 2:
        return message + usual
    if source.noun == "array":
        return f"{message}{usual}; or say in the data block which is which ({', '.join(proposed)})"
    if len(proposed) < 2:
        proposed = ["modality_1: NAME, NAME", "modality_2: PREFIX_*", "label: NAME"]
    flags = " ".join(_flag(said) for said in proposed)
    return (
        f"{message}that the data block says which is which, such as {'; '.join(proposed)} (of init "
        f"and advise: {flags})"
    )


def _flag(said: str) -> str:
    """A line of a data block as an option of a command."""
    key, value = said.split(": ", 1)
    return f"--{'modality' if key in MODALITIES else key} {shlex.quote(value)}"


def _proposed(source: Source, names: Sequence[str]) -> list[str]:
    """Patterns or names that may be modalities, at most as many as there may be."""
    patterns = [p.partition(" (")[0] for p in prefixes(names) if p.endswith(")")]
    if patterns:
        return patterns[: len(MODALITIES)]
    return [n for n in names if (source.dimensions(n) or 0) >= 2][: len(MODALITIES)]


def prefixes(names: Iterable[str]) -> list[str]:
    """Names, those that differ in a number at the end as ``img_* (512 columns)``."""
    groups: dict[str, list[str]] = {}
    for name in names:
        stem = re.sub(r"\d+$", "", name)
        groups.setdefault(f"{stem}*" if stem and stem != name else name, []).append(name)
    return [
        f"{pattern} ({counted(len(of), 'column')})" if len(of) > 1 else of[0]
        for pattern, of in groups.items()
    ]
