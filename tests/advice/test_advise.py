"""Advice as a user gets it, on data in which the answer was put."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from raysweep.advice.advise import advise
from raysweep.advice.answer import DECISIONS
from raysweep.advice.subject import look_at
from raysweep.api.progress import Unheard
from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.runners.study_run import Manner
from raysweep.trials.storage import Output
from raysweep_analysis import load_trials

LOCAL = Manner("local", mlflow=False)


class Heard(Unheard):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two modalities that both tell of the label, and nothing that alignment could add."""
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    x1, x2 = (rng.normal(size=(160, 4)) + 0.8 * y[:, None] for _ in range(2))
    path = tmp_path_factory.mktemp("advice") / "mine.npz"
    np.savez(path, x1=x1, x2=x2, y=y)
    return path


@pytest.fixture(scope="module")
def advised(data):
    folder = RunFolder(Output(str(data.parent / "out")))
    heard = Heard()
    return advise(look_at(data, {}), folder, 25.0, LOCAL, heard), folder, heard


def test_it_answers_in_words_with_evidence(advised):
    advice, _, _ = advised
    assert advice.decision in DECISIONS
    said = "\n".join(advice.sentences)
    for words in ("Both arms train at learning rate", "modality 1 alone", "commonest class"):
        assert words in said
    assert Path(advice.report).is_file()
    assert len(advice.effects) == 2


def test_search_and_test_never_share_a_seed_or_what_was_tried(advised):
    _, folder, _ = advised
    trials = load_trials(folder.output.location)
    stages = {
        stage: set(rows["seed"]) for stage, rows in trials.groupby(trials["stage"].astype(str))
    }
    assert not stages["search"] & stages["confirm"]
    kept = json.loads(folder.output.read("advice.json"))
    best = max((one for one in kept["rates"]), key=lambda one: one["performance"] or 0)
    assert set(trials["learning_rate"]) == {best["learning_rate"]}


def test_more_budget_goes_on_and_keeps_every_result(advised, data):
    _, folder, _ = advised
    before = load_trials(folder.output.location)
    heard = Heard()
    began = time.monotonic()
    advise(look_at(data, {}), folder, 12.0, LOCAL, heard)
    assert not any("trying" in line for line in heard.lines)
    after = load_trials(folder.output.location)
    keys = ["stage", "arm", "draw", "seed", "strength"]
    kept = before.merge(after, on=keys, suffixes=("", "_after"))
    assert len(kept) == len(before)
    assert (kept["performance_fused_test"] == kept["performance_fused_test_after"]).all()
    assert time.monotonic() - began < 60


def test_a_damaged_state_is_told(advised, data, tmp_path):
    output = Output(str(tmp_path / "out"))
    output.write("advice.json", b'{"rates": 3}')
    with pytest.raises(InputError, match=r"advice\.json: damaged"):
        advise(look_at(data, {}), RunFolder(output), 5.0, LOCAL, Unheard())
