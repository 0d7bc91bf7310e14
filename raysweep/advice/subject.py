"""A data file as the subject of a study: what it is called, and what was seen of it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from raysweep.advice.look import Seen, look
from raysweep.advice.proposal import Proposal, propose
from raysweep.advice.study_file import Rates, Subject
from raysweep.data.registry import default_draws, load
from raysweep.data.views import Views
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.study import checks
from raysweep.study.reader import checked_study
from raysweep.study.spec import Training
from raysweep.study.spec.fields import Scalar
from raysweep.study.yaml_lines import read_document

_DATASET = "arrays"
DEFAULT_RATES = Rates(Training().learning_rate, Training().weight_decay)
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Looked:
    """A data file that was looked at.

    Attributes:
        subject: as the study says it.
        views: its first draw.
        seen: what was seen of it.
        chosen: values of a study that fit it.
    """

    subject: Subject
    views: Views
    seen: Seen
    chosen: Proposal


def look_at(path: str | Path, given: Mapping[str, Scalar], folder: Path | None = None) -> Looked:
    """Read a data file, and look at it.

    Args:
        path: of the file.
        given: other parameters of the dataset, such as the column of the labels.
        folder: where the study will lie, whose paths are relative to it; here by default.

    Raises:
        InputError: the file cannot be read, or is not what was said; lists all its faults.
    """
    where = Path(path)
    beside = where if where.is_absolute() else os.path.relpath(where, folder or Path.cwd())
    data = {"path": str(beside), **given}
    placed = {**data, "path": str(where)}
    views = load(_DATASET, placed)
    seen = look(views)
    draws = len(default_draws(_DATASET, placed))
    subject = Subject(_name(where), where.name, data, draws)
    return Looked(subject, views, seen, propose(seen))


def _name(path: Path) -> str:
    """A name that a study may have, as like the file's as can be."""
    made = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name.split(".")[0])
    return made.strip("-._")[:_LONGEST_NAME].rstrip("-._") or "study"


def study_of(text: str, folder: Path) -> ForcingStudy:
    """The study in the text of a study file, checked.

    Args:
        text: of the file.
        folder: what its paths are relative to.

    Raises:
        InputError: it has faults; lists them all.
    """
    document = read_document(text)
    study = checked_study(document, "study", folder, checks.check, checks.resolve_files)
    return cast(ForcingStudy, study)  # the kind that a study has which names none
