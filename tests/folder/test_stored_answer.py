"""The answer that a run's folder keeps."""

import json
from pathlib import Path

import pytest

from raysweep.folder.stored_answer import ANSWER_NAME, store_answer, stored_answer
from raysweep.trials.storage import Output

VERDICTS = {"c": {"alignment": "hurts"}}
INTERVALS = {"c": {"alignment": (-0.07, -0.05)}}


def test_an_answer_that_says_the_same_keeps_its_time(tmp_path: Path) -> None:
    output = Output(tmp_path)
    store_answer(output, "Do not force.", "1 of 1 cell tested", VERDICTS)
    path = tmp_path / ANSWER_NAME
    content = json.loads(path.read_text()) | {"written": "2020-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(content))
    store_answer(output, "Do not force.", "1 of 1 cell tested", VERDICTS)
    found = stored_answer(output)
    assert found is not None
    assert found.written == "2020-01-01T00:00:00+00:00"
    store_answer(output, "Force.", "1 of 1 cell tested", VERDICTS)
    found = stored_answer(output)
    assert found is not None
    assert (found.answer, found.verdicts) == ("Force.", VERDICTS)
    assert found.written > "2026"


def test_intervals_are_kept_and_an_older_answer_has_none(tmp_path: Path) -> None:
    output = Output(tmp_path)
    store_answer(output, "Do not force.", "1 of 1 cell tested", VERDICTS, INTERVALS)
    found = stored_answer(output)
    assert found is not None
    assert found.intervals == INTERVALS
    path = tmp_path / ANSWER_NAME
    content = json.loads(path.read_text())
    del content["intervals"]
    path.write_text(json.dumps(content))
    found = stored_answer(output)
    assert found is not None
    assert found.intervals == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"answer": 1}', "\x00"])
def test_a_damaged_answer_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ANSWER_NAME).write_text(content)
    assert stored_answer(Output(tmp_path)) is None
