"""How a trial of one's own is trained, searched for none and forced alike: the truth is known."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import table
from trial_runs import SUPPORT, ran, study

import raysweep
from raysweep.kinds.kind import kind_of
from raysweep.kinds.trial.tried import try_out
from raysweep.study.cells import expand
from raysweep.study.reader import StudyFileError, dump_study, parse_study
from raysweep_analysis import forcing_effects, load_trials

RATES = {"learning_rate": [0.001, 0.01, 0.1]}
TUNED: dict[str, Any] = {
    "trial": "own_tuned:tuned",
    "grid": {"genre": ["horror", "war"]},
    "search": {
        "trials": 4,
        "seeds": 1,
        "strength": {"low": 0.5, "high": 2},
        "training": {"options": RATES, "trials": 8},
    },
    "confirm": {"seeds": 6},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tuned") / "out"
    sweep = ran(study(**TUNED), found)
    assert not sweep.failures
    return found


def test_the_two_estimands_are_the_truth(folder: Path) -> None:
    """Best against best it makes no difference; at the rates that are best for none it hurts."""
    effects = forcing_effects(load_trials(folder), "f1_test", margin=0.02)
    assert set(effects["chosen_by"]) == {"best", "performance"}
    for _, row in effects.iterrows():
        truth = {"best": 0.0, "performance": -0.1}[row["chosen_by"]]
        assert abs(row["effect"] - truth) < 0.01, row
        verdict = {"best": "equivalent", "performance": "hurts"}[row["chosen_by"]]
        assert row["verdict"] == verdict


def test_arms_are_confirmed_with_what_was_best_for_them(folder: Path) -> None:
    rows = table(folder)
    confirm = rows[rows["stage"] == "confirm"]
    seen = confirm.groupby(["arm", "chosen_by"], dropna=False)["training_learning_rate"].unique()
    rates = {where: list(found) for where, found in seen.items()}
    assert rates == {
        ("none", ""): [0.01],
        ("forced", "best"): [0.001],
        ("placebo", "best"): [0.001],
        ("forced", "performance"): [0.01],
        ("placebo", "performance"): [0.01],
    }
    tuned = rows[rows["stage"] == "tune"].groupby(["cell", "arm"]).size().unstack()
    assert (tuned["none"] == 3).all()  # all that there are
    assert (tuned["forced"] == 8).all()


def test_a_range_is_searched_with_an_equal_budget() -> None:
    from raysweep.kinds.forcing.cell_search import Phase, proposals_of
    from raysweep.kinds.forcing.tuning import propose_for_none, propose_with_strength

    options = {
        "rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "layers": {"low": 1, "high": 3},
        "drop": [0, 0.5],
    }
    wanted = study(**{**TUNED, "search": {"trials": 4, "training": {"options": options}}})
    [cell, *_] = expand(wanted)
    none, both, strength = (
        proposals_of(wanted, cell, phase) for phase in (Phase.NONE, Phase.BOTH, Phase.STRENGTH)
    )
    assert none == both + strength == 12 + 4
    found = propose_for_none(wanted.search, 1, (), 8)
    found += propose_with_strength(wanted.search, 1, (), 8)
    for proposal in found:
        settings = dict(proposal.training)
        assert list(settings) == ["drop", "layers", "rate"]
        assert 1e-4 <= settings["rate"] <= 1e-1
        assert settings["layers"] in (1, 2, 3)
        assert isinstance(settings["layers"], int)
        assert settings["drop"] in (0, 0.5)
    assert parse_study(dump_study(wanted), "again", SUPPORT) == wanted


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"learning_rate": [0.01, 0.1, 1]}, "learning_rate 0.01 (the least) in 1 of 1 cell."),
        (
            {"learning_rate": {"low": 1e-4, "high": 0.011, "scale": "log"}},
            "learning_rate near 0.011 (the most) in 1 of 1 cell.",
        ),
        ({"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}}, ""),
        ({"learning_rate": [0.001, 0.01], "net": ["a", "b", "c"], "deep": [True, False, 2]}, ""),
    ],
)
def test_a_setting_that_is_best_at_an_end_of_its_range_is_told(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    search = {**TUNED["search"], "training": {"options": options, "trials": 24}}
    wanted = study(**{**TUNED, "grid": None, "search": search, "confirm": {"seeds": 1}})
    remarks = kind_of(wanted).remarks(ran(wanted, tmp_path))
    found = [line for line in remarks if "search.training" in line]
    best = "Best without forcing is what lies at an end of search.training: "
    assert found == ([best + told] if told else [])


def test_a_command_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import json, os, sys\n"
        "facts = json.load(open(os.environ['RAYSWEEP_TRIAL']))\n"
        "assert float(sys.argv[1]) == facts['training']['learning_rate']\n"
        "f1 = facts['training']['learning_rate'] + facts['seed'] / 1e6\n"
        "json.dump({'f1_validation': f1, 'f1_test': f1}, open(facts['results'], 'w'))\n"
    )
    search = {"trials": 1, "seeds": 1, "training": {"options": RATES, "trials": 1}}
    wanted = study(
        tmp_path,
        trial={"command": ["python", "train.py", "{training_learning_rate}"]},
        grid=None,
        search=search,
        confirm={"seeds": 2},
    )
    sweep = ran(wanted, tmp_path / "out")
    assert not sweep.failures, sweep.failures
    rows = table(tmp_path / "out")
    assert (rows["f1_test"] - rows["training_learning_rate"]).abs().max() < 0.01
    assert json.loads(json.dumps(rows["training_learning_rate"].max())) == 0.1
    with pytest.raises(StudyFileError, match=r"unknown placeholder '\{training_rate\}'"):
        study(tmp_path, trial={"command": ["python", "{training_rate}"]}, search=search)


def test_trials_by_hand_and_short_ones_have_settings() -> None:
    trial = raysweep.TrialContext.by_hand(training={"learning_rate": 0.5})
    assert dict(trial.training) == {"learning_rate": 0.5}
    assert dict(raysweep.TrialContext.by_hand().training) == {}
    assert any("none twice: equal" in line for line in try_out(study(**TUNED)))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({}, r"search\.training\.options: missing"),
        ({"options": {}}, r"search\.training\.options"),
        ({"options": {"genre": [1, 2]}}, "genre is an axis of grid, of which each value is a cell"),
        ({"options": {"learning rate": [1]}}, "learning rate: expected names of a letter"),
        ({"options": {"rate": [1, 1]}}, "rate: values used twice: 1"),
        ({"options": {"rate": {"low": 2, "high": 1}}}, "upside down"),
        ({"learning_rate": [0.1]}, "unknown key 'learning_rate'.*choose from options, trials"),
    ],
)
def test_faults(training: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError, match=f"(?s){message}"):
        study(**{**TUNED, "search": {"training": training}})
