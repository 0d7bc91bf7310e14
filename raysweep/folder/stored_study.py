"""The study that an output folder belongs to: its file, and a copy of it that nobody edits.

``study.yaml`` is there to be read, and may be extended by hand. What the results beside it were
made of is said by ``.adopted.json``, with a digest: by it every study is judged that is to go on
there, also the one in ``study.yaml``, and from it a ``study.yaml`` that was damaged is restored.
"""

import contextlib
import difflib
import hashlib
import json
from pathlib import Path

from raysweep.errors import InputError
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Earlier
from raysweep.study.cells import expand
from raysweep.study.reader import StudyFileError, dump_study, parse_study
from raysweep.study.spec import StudyBase
from raysweep.trials.storage import Output
from raysweep.trials.table import PART_SUFFIX, PARTS
from raysweep.trials.trial import TrialResult

STUDY_NAME = "study.yaml"
KEPT_NAME = ".adopted.json"


class StoredStudy:
    """The study of one output folder.

    Args:
        output: the folder.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def study(self) -> StudyBase | None:
        """The study that the folder belongs to, with what was added to it; None if it has none.

        Raises:
            InputError: ``study.yaml`` was changed beyond an extension, or is no study (any more)
                and there is no copy of it.
        """
        text, kept = self._texts()
        if text is None:
            return None if kept is None else self._parsed(kept, KEPT_NAME)
        if kept is None or text == kept:
            return self._parsed(text, STUDY_NAME)
        if _cut_short(text, kept):
            return self._parsed(kept, KEPT_NAME)
        before = self._parsed(kept, KEPT_NAME)
        found = self._parsed(text, STUDY_NAME)
        if self._begun() and not extends(before, found):
            raise InputError(
                f"{self._output.place(STUDY_NAME)}: was changed after results were stored "
                f"beside it; the change is\n{_difference(before, found, 'adopted', 'found now')}\n"
                f"Undo the change, or remove the file: the adopted study is then restored. "
                f"{_advice(before, found)}"
            )
        return found

    def restore(self) -> str:
        """Write ``study.yaml`` again where it is missing or damaged and there is a copy.

        Returns:
            What was done, in one line; empty where there was nothing to do.
        """
        text, kept = self._texts()
        if kept is None or (text is not None and not _cut_short(text, kept)):
            return ""
        with contextlib.suppress(OSError):  # a folder that can only be read
            self._output.write(STUDY_NAME, kept.encode())
        how = "was missing" if text is None else "was damaged"
        return f"{self._output.place(STUDY_NAME)} {how}; the adopted study is used and restored"

    def adopt(self, study: StudyBase) -> str:
        """Make the folder the study's.

        Returns:
            What became of an edited ``study.yaml``, or of a search that is wider now and has
            nothing left to propose, in one line; mostly empty.

        Raises:
            InputError: the folder belongs to a study whose results this one could not use.
        """
        text, kept = self._texts()
        told = ""
        known = text if kept is None else kept
        if known is not None and self._begun() and not (kept is None and _unreadable(known)):
            before = self._parsed(known, STUDY_NAME if kept is None else KEPT_NAME)
            if not extends(before, study):
                raise InputError(
                    f"{self._output.location}: holds the results of another study; the change is\n"
                    f"{_difference(before, study, 'in the folder', 'given now')}\n"
                    f"{_advice(before, study)}"
                )
            told = kind_of(study).widen(self._output, before, study)
        now = dump_study(study)
        # In this order: a driver that is killed in between leaves an extension, as if by hand.
        self._output.write(STUDY_NAME, now.encode())
        content = {"sha256": _digest(now), "study": now}
        self._output.write(KEPT_NAME, (json.dumps(content, indent=1) + "\n").encode())
        if text in (None, kept, now) or kept is None:
            return told
        return (
            f"{self._output.place(STUDY_NAME)} was edited after the last run; it now holds the "
            "study that was given, without the edit"
        )

    def earlier(self, study: StudyBase, results: dict[str, TrialResult]) -> Earlier:
        """What the searches of the folder's study proposed before they were widened.

        Args:
            study: the study that is to go on, also one that the folder has not adopted yet.
            results: all results that are there.
        """

        def before() -> StudyBase | None:
            text, kept = self._texts()
            if kept is None or text == kept or kept == dump_study(study):
                return None
            found = self._parsed(kept, KEPT_NAME)
            return found if found.kind == study.kind else None

        return kind_of(study).earlier(self._output, before, study, results)

    def _begun(self) -> bool:
        """Whether there are results that another study could not use."""
        return bool(self._output.names(PARTS, PART_SUFFIX))

    def _texts(self) -> tuple[str | None, str | None]:
        """The texts of ``study.yaml`` and of its copy; None for one that is not there."""
        content = self._output.read(STUDY_NAME)
        text = None if content is None else content.decode(errors="replace")
        return text, _kept_text(self._output.read(KEPT_NAME))

    def _parsed(self, text: str, name: str) -> StudyBase:
        try:
            return parse_study(text, self._output.place(name), Path.cwd()).as_stored()
        except StudyFileError as error:
            way = (
                "remove the file: the adopted study is then restored"
                if name == STUDY_NAME and self._texts()[1] is not None
                else f"run the study's own file again: raysweep run STUDY --out "
                f"{self._output.argument}"
            )
            raise InputError(f"{error}\nMend it, or {way}") from error


def extends(before: StudyBase, after: StudyBase) -> bool:
    """Whether every result of ``before`` keeps its meaning in ``after``.

    True where only the grids, draws, trials, seeds, resources, texts or the verdict's settings
    differ, none of the cells, draws, seeds or trials of ``before`` is gone, and what is searched
    has the same ranges and choices or wider ones. Where learning
    rates are searched, they must be searched on the same encoders.
    """
    return _extended(before, after) and not kind_of(after).moved(before, after)


def _extended(before: StudyBase, after: StudyBase) -> bool:
    """`extends`, but for what a kind finds moved all the same."""
    if before.kind != after.kind or before.name != after.name:
        return False
    if before.science() != after.science():
        return False
    if not kind_of(after).extends(before, after):
        return False
    draws = {cell.id: set(cell.draws) for cell in expand(after)}
    return all(set(cell.draws) <= draws.get(cell.id, set()) for cell in expand(before))


def _advice(before: StudyBase, after: StudyBase) -> str:
    """What may be done instead of a change that is refused."""
    kind = kind_of(before)
    moved = kind.moved(before, after) if _extended(before, after) else ""
    return moved or f"A study may be extended ({kind.growth}); for anything else give another --out"


def _kept_text(content: bytes | None) -> str | None:
    """The study in a copy; None where there is none, or it is damaged itself."""
    try:
        kept = json.loads(content or b"")
        text = str(kept["study"])
        return text if kept["sha256"] == _digest(text) else None
    except (ValueError, KeyError, TypeError):
        return None


def _cut_short(text: str, kept: str) -> bool:
    """Whether a text is what a full disk or a broken copy leaves of another one."""
    return text != kept and (kept.startswith(text) or "\0" in text or "\ufffd" in text)


def _unreadable(text: str) -> bool:
    try:
        parse_study(text, STUDY_NAME, Path.cwd())
    except StudyFileError:
        return True
    return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _difference(before: StudyBase, after: StudyBase, one: str, other: str) -> str:
    left, right = (dump_study(study).splitlines() for study in (before, after))
    return "\n".join(difflib.unified_diff(left, right, one, other, n=0, lineterm=""))
