"""What an analysis asks for, and what the study beside a table asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import parse_study
from raysweep.study.spec import StudyBase
from raysweep.trials.columns import MEASURED_SPLITS, PERFORMANCE, column_of, named
from raysweep.trials.storage import Output
from raysweep_analysis.load import Source
from raysweep_analysis.pairs import Unit
from raysweep_analysis.preregistration import PLAN_NAME, AnalysisPlan, read_plan

STUDY_NAME = "study.yaml"


@dataclass(frozen=True)
class Settings:
    """What is tested and how.

    Attributes:
        performance: the primary outcome.
        alpha: error rate.
        margin: of equivalence, in the outcome's unit.
        unit: `auto`, `seed` or `draw`.
        alignment: the alignment column to report; by default the first of the same split.
        looks: units at each look of a sequential study.
        alphas, margins: further ones of `multiverse`, margins as multiples of the usual one.
    """

    performance: str = PERFORMANCE
    alpha: float = 0.05
    margin: float = 0.005
    unit: Unit = "auto"
    alignment: str | None = None
    looks: tuple[int, ...] = ()
    alphas: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()


@dataclass(frozen=True)
class Beside:
    """What lies beside a trial table.

    Attributes:
        study: text of the resolved study; empty if there is none.
        plan: the plan registered before the first trial, or None.
        plan_digest: the hash stored with it.
        settings: what the study asks the analysis to test.
        science: digest of what the study's numbers depend on; None without a study.
    """

    study: str = ""
    plan: AnalysisPlan | None = None
    plan_digest: str = ""
    settings: Settings = Settings()
    science: str | None = None


def beside(source: Source | Sequence[Source]) -> Beside:
    """Read study and plan beside a table, if the source is one folder or file.

    Raises:
        InputError: a study or plan that is there but cannot be read.
    """
    if not isinstance(source, str | Path):
        return Beside()
    location = str(source)
    folder = (location.rpartition("/")[0] or ".") if location.endswith(".parquet") else location
    output = Output(folder)
    study, plan = (_text(output, name) for name in (STUDY_NAME, PLAN_NAME))
    registered, digest = read_plan(plan, f"{folder}/{PLAN_NAME}") if plan else (None, "")
    if not study:
        return Beside(study, registered, digest)
    parsed = parse_study(study, f"{folder}/{STUDY_NAME}", Path.cwd())
    return Beside(study, registered, digest, _settings(parsed), science_digest(parsed))


def measured_alignment(settings: Settings, trials: pd.DataFrame) -> str | None:
    """The alignment column that the settings name, if the table has it."""
    return settings.alignment if settings.alignment in trials else None


def _settings(study: StudyBase) -> Settings:
    tested = study.tested
    split = column_of(tested.performance).split
    confirm, choices = getattr(study, "confirm", None), getattr(study, "multiverse", None)
    return Settings(
        performance=tested.performance,
        alpha=tested.alpha,
        margin=tested.margin,
        alignment=named("alignment", study.metric, split if split in MEASURED_SPLITS else "test"),
        looks=confirm.sequential if confirm is not None else (),
        alphas=choices.alpha if choices is not None else (),
        margins=choices.margin if choices is not None else (),
    )


def _text(output: Output, name: str) -> str:
    content = output.read(name)
    return "" if content is None else content.decode(errors="replace")
