"""The answer of a run as its folder keeps it, for those who cannot analyse: MLflow, programs."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from raysweep.trials.storage import Output

ANSWER_NAME = "answer.json"
Intervals = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True)
class StoredAnswer:
    """What a run said when it was concluded last.

    Attributes:
        answer: whether to force alignment and how hard, in a sentence.
        state: how many cells that is from.
        written: UTC time, ISO 8601, at which it was first said.
        verdicts: cell id -> criterion -> verdict.
        intervals: cell id -> criterion -> ends of the effect's interval, in the outcome's unit.
    """

    answer: str
    state: str
    written: str
    verdicts: Mapping[str, Mapping[str, str]]
    intervals: Intervals = field(default_factory=dict)


def store_answer(
    output: Output,
    answer: str,
    state: str,
    verdicts: Mapping[str, Mapping[str, str]],
    intervals: Intervals | None = None,
) -> None:
    """Keep an answer; one that says what is there already keeps its time.

    Raises:
        OSError: the output cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found, before = (
        StoredAnswer(answer, state, now, verdicts, intervals or {}),
        stored_answer(output),
    )
    if before is None or replace(found, written=before.written) != before:
        output.write(ANSWER_NAME, json.dumps(asdict(found), indent=2).encode())


def stored_answer(output: Output) -> StoredAnswer | None:
    """The answer in a folder; None where there is none, or where it is damaged."""
    content = output.read(ANSWER_NAME)
    if content is None:
        return None
    try:
        return TypeAdapter(StoredAnswer).validate_json(content, strict=False)
    except ValidationError:
        return None
