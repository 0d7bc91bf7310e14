"""Advice as a user gets it, on data in which the answer was put."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import raysweep
from raysweep.advice.advise import advise
from raysweep.advice.answer import DECISIONS
from raysweep.advice.subject import look_at
from raysweep.api.progress import Unheard
from raysweep.cli import app
from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.runners.study_run import Manner
from raysweep.trials.storage import Output
from raysweep_analysis import load_trials

pytestmark = pytest.mark.slow

LOCAL = Manner("local", mlflow=False)
# No test here is about time: advice of a small size, which is reached on any machine.
BUDGET = 300.0


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raysweep.advice.advise._MOST_SEEDS_OF_SPLIT", 1)
        patch.setattr("raysweep.advice.advise._MOST_DRAWS", 10)
        out = data.parent / "out"
        advice = raysweep.advise(data, BUDGET, out, runner="local", progress=False)
    return advice, RunFolder(Output(str(out)))


def test_it_answers_in_words_with_evidence(advised):
    advice, _ = advised
    assert advice.decision in DECISIONS
    said = "\n".join(advice.sentences)
    for words in (
        "The model without forcing trains at learning rate",
        "modality 1 alone",
        "commonest class",
    ):
        assert words in said
    assert Path(advice.report).is_file()
    assert set(advice.effects["chosen_by"]) == {"best", "performance", "alignment"}


def test_search_and_test_never_share_a_seed_or_what_was_tried(advised):
    _, folder = advised
    trials = load_trials(folder.output.location)
    stages = {
        stage: set(rows["seed"]) for stage, rows in trials.groupby(trials["stage"].astype(str))
    }
    assert not stages["search"] & stages["confirm"]
    kept = json.loads(folder.output.read("advice.json"))
    best = max((one for one in kept["rates"]), key=lambda one: one["performance"] or 0)
    around = [best["learning_rate"] * factor for factor in (1 / 3, 1, 3)]
    assert all(np.isclose(rate, around, rtol=1e-5).any() for rate in trials["learning_rate"])
    none = trials[(trials["stage"] == "confirm") & (trials["arm"] == "none")]
    assert none["learning_rate"].nunique() == 1


@pytest.mark.slow
def test_more_budget_goes_on_and_keeps_every_result(advised, data, monkeypatch):
    monkeypatch.setattr("raysweep.advice.advise._MOST_SEEDS_OF_SPLIT", 2)
    monkeypatch.setattr("raysweep.advice.advise._MOST_DRAWS", 10)
    _, folder = advised
    before = load_trials(folder.output.location)
    given = [str(data), "--budget", f"{BUDGET}s", "--runner", "local"]
    shown = CliRunner().invoke(app, ["advise", *given, "--out", folder.output.location])
    assert shown.exit_code == 0, shown.exception
    assert "The model without forcing trains at" in shown.stdout
    assert "trying" not in shown.output
    after = load_trials(folder.output.location)
    keys = ["stage", "arm", "draw", "seed", "strength", "learning_rate"]
    kept = before.merge(after, on=keys, suffixes=("", "_after"))
    assert len(kept) == len(before) < len(after)
    assert (kept["performance_fused_test"] == kept["performance_fused_test_after"]).all()


def test_a_damaged_state_is_told(advised, data, tmp_path):
    output = Output(str(tmp_path / "out"))
    output.write("advice.json", b'{"rates": 3}')
    with pytest.raises(InputError, match=r"advice\.json: damaged"):
        advise(look_at(data, {}), RunFolder(output), 5.0, LOCAL, Unheard())


@pytest.mark.slow
def test_a_budget_that_ends_in_mid_run_answers_from_what_is_there(advised, data, monkeypatch):
    """The alarm rings in the first pack of more seeds: what was finished before is concluded."""
    _, folder = advised
    monkeypatch.setattr("raysweep.advice.advise._CONCLUDING_S", 0.0)
    monkeypatch.setattr("raysweep.advice.advise._OVERHEAD", 1e-6)
    heard = Heard()
    # As of a command that a script has put in the background.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        advice = advise(look_at(data, {}), folder, 4.0, LOCAL, heard)
    finally:
        signal.signal(signal.SIGINT, before)
    assert any("the budget is spent" in line for line in heard.lines)
    assert advice.decision in DECISIONS


@pytest.mark.slow
def test_a_budget_too_small_for_anything_says_so(data, tmp_path):
    with pytest.raises(InputError, match="the budget is spent before anything could be tested"):
        advise(look_at(data, {}), RunFolder(Output(str(tmp_path))), 0.5, LOCAL, Unheard())
