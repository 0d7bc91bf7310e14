"""Trials of a user's own, looked at seed by seed."""

from pathlib import Path

from trial_runs import ran, study

from raysweep_analysis import forcing_effects, load_trials

LOOKS = [4, 6, 10]


def test_verdicts_are_the_truth_with_fewer_trials(tmp_path: Path) -> None:
    wanted = study(confirm={"seeds": 10, "sequential": LOOKS})
    assert ran(wanted, tmp_path / "early").finished
    trials = load_trials(tmp_path / "early")
    effects = forcing_effects(trials, "f1_test", margin=0.02, looks=LOOKS).set_index("genre")
    assert effects["verdict"].to_dict() == {
        "helps": "helps",
        "hurts": "hurts",
        "nothing": "equivalent",
    }
    confirmed = trials[trials["stage"] == "confirm"]
    assert len(confirmed) <= 3 * 3 * 6
    arms = confirmed.groupby("genre")["arm"].unique()
    assert set(arms["nothing"]) == {"none", "forced"}
    assert set(arms["helps"]) == {"none", "forced", "placebo"}
