"""Why there is no verdict: counted in the rows, and the same sentence in every place."""

import numpy as np
import pytest
from tiny_runs import study
from tiny_trials import rows_of, trial

from raysweep.folder.causes import cause, causes, limits, sentences
from raysweep.kinds.forcing.search import Outcome, choose
from raysweep.study.spec import Search
from raysweep.trials.trial import Arm, Proposal


def facts(stage: str = "search", arm: str = "forced", status: str = "ok", **more: object):
    return {"cell": "c", "stage": stage, "arm": arm, "status": status, "diverged_step": -1, **more}


def test_a_search_that_chooses_nothing_says_why() -> None:
    constant = "representations of modality 1 are constant"
    undefined = facts(undefined_validation=constant)
    assert cause([undefined] * 12) == f"alignment undefined in 12 of 12 trials: {constant}"
    diverged = [facts(status="diverged", diverged_step=step) for step in (7, 3, 9)]
    assert cause(diverged) == "all 3 forced trials of the search diverged, from step 3"
    mixed = cause([*diverged, undefined])
    assert mixed.startswith("3 of 4 forced trials of the search diverged, from step 3 and ")
    assert mixed.endswith(f"alignment undefined in 1 of 4 trials: {constant}")
    assert cause([*diverged, undefined, facts()]) == ""


def test_an_alignment_that_is_undefined_is_a_cause_by_alignment_alone() -> None:
    said = "representations of modality 1 are constant"
    trials = [facts(undefined_validation=said)] * 2
    by_alignment = f"alignment undefined in 2 of 2 trials: {said}"
    assert causes(trials, ["alignment"]) == {"": by_alignment}
    assert causes(trials, ["alignment", "performance"]) == {"alignment": by_alignment}
    assert causes(trials, ["performance"]) == {}
    # Beside the metric that the search goes by there may be others.
    trials = [facts(undefined_validation="rsa cannot be told", alignment_cka_validation=0.5)] * 2
    assert causes(trials, ["alignment"], "cka") == {}
    assert causes(trials, ["alignment"], "rsa") != {}
    diverged = [facts(status="diverged", diverged_step=0)] * 2
    both = causes(diverged, ["alignment", "performance"])
    assert both == {"": "all 2 forced trials of the search diverged, from step 0"}


def test_each_arm_serves_the_criterion_that_chose_its_strength() -> None:
    lost = facts("confirm", status="diverged", diverged_step=3, chosen_by="alignment")
    kept = [facts("confirm", chosen_by="performance"), facts("confirm", "none", chosen_by="")]
    found = causes([lost, lost, *kept], ["alignment", "performance"])
    assert found == {"alignment": "all 2 forced trials diverged, from step 3"}
    shared = {**lost, "chosen_by": "alignment+performance"}
    found = causes([shared, shared, kept[1]], ["alignment", "performance"])
    assert found == {"": "all 2 forced trials diverged, from step 3"}


def test_one_seed_of_every_strength_is_enough_to_lose_them_all() -> None:
    trials = [
        facts(number=number, status=status, diverged_step=4)
        for number in range(3)
        for status in ("ok", "diverged")
    ]
    said = (
        "3 of 6 forced trials of the search diverged, from step 4, at least one of every strength"
    )
    assert cause(trials) == said
    assert cause([*trials, facts(number=3)]) == ""
    none = facts("search", "none", "diverged")
    assert cause([t for t in trials if t["status"] == "diverged"] + [none]) == (
        "all 3 forced trials of the search diverged, from step 4, and so did all of strength 0"
    )


def test_arms_of_which_no_seed_is_left_in_both() -> None:
    trials = [
        facts("confirm", arm, "diverged" if seed == lost else "ok", diverged_step=1, seed=seed)
        for arm, lost in (("forced", 0), ("none", 1))
        for seed in (0, 1)
    ]
    assert cause(trials) == (
        "never both arms of a seed: 1 of 2 forced trials diverged, from step 1 and 1 of 2 trials "
        "of strength 0 diverged, from step 1"
    )
    both = [facts("confirm", arm, seed=2) for arm in ("forced", "none")]
    assert cause([*trials, *both]) == ""


def test_what_a_verdict_lacks_is_no_cause() -> None:
    said = "representations of modality 2 are constant"
    trials = [facts("confirm", undefined_test=said), facts("confirm", "none")]
    placebo = [facts("confirm", "placebo", steps=6, unforced_steps=6)] * 2
    assert cause([*trials, *placebo]) == ""
    assert limits([*trials, *placebo]) == [
        "no placebo to compare with: nothing was forced in any step of 2 of 2 placebo trials: the "
        "alignment loss was undefined or had no gradient",
        f"alignment undefined in 1 of 1 forced trial: {said}",
    ]
    assert limits([facts("confirm"), facts("confirm", "none")]) == []


def test_an_emergence_study_names_its_tuning_or_its_pairs() -> None:
    def encoder(number: int, status: str) -> dict[str, object]:
        return facts("tune", "none", status, diverged_step=2, number=number, modality=2)

    tuned = [encoder(0, "ok"), encoder(0, "diverged"), encoder(1, "diverged")]
    assert causes(tuned, ()) == {
        "": "2 of 3 encoders of modality 2 diverged, from step 2, at least one of every proposal"
    }
    assert causes([*tuned, encoder(2, "ok")], ()) == {}
    pairs = [facts("measure", "none", "diverged", diverged_step=9)] * 2
    assert causes(pairs, ()) == {"": "all 2 pairs diverged, from step 9"}
    pairs = [facts("measure", "none", undefined_test="representations of modality 1 are constant")]
    assert cause(pairs) == (
        "alignment undefined in 1 of 1 pair: representations of modality 1 are constant"
    )


def test_old_tables_and_missing_values_give_no_cause() -> None:
    nan = float("nan")
    assert cause([facts(), facts("confirm")]) == ""
    assert cause([facts("confirm", steps=nan, unforced_steps=nan, undefined_validation=nan)]) == ""
    assert cause([]) == ""


def test_arms_that_all_diverged_are_named() -> None:
    forced = facts("confirm", status="diverged", diverged_step=5)
    none = facts("confirm", "none", status="diverged", diverged_step=2)
    assert cause([forced] * 4) == "all 4 forced trials diverged, from step 5"
    assert "all 2 trials of strength 0 diverged, from step 2" in cause([forced] * 4 + [none] * 2)


def test_cells_of_one_cause_share_a_line() -> None:
    found = {("a", ""): "same", ("b", ""): "same", ("c", "alignment"): "same", ("c", ""): "other"}
    labels = {"a": "U=0", "b": "U=2", "c": "U=4"}
    rest = ["U=4 by alignment: same", "U=4: other"]
    assert sentences(found, labels) == ["U=0, U=2: same", *rest]
    assert sentences(found, labels, most=1) == ["U=0 and 1 more cell: same", *rest]


@pytest.mark.parametrize("engine", ["kernel", "torch"])
@pytest.mark.parametrize(
    ("loss", "forced", "placebo"),
    [
        ("infonce", 2, 2),  # of one row it is 0
        ("cosine", 0, 2),  # a placebo's only row has no other partner
        ("idle_losses:undefined", 6, 6),
        ("idle_losses:flat", 6, 6),
        ("idle_losses:sometimes", 2, 2),
    ],
)
def test_rows_count_the_steps_in_which_nothing_was_forced(
    engine: str, loss: str, forced: int, placebo: int
) -> None:
    # Two epochs of 65 rows in batches of 32: the last batch has one row.
    wanted = study(data__train=65, training__engine=engine)
    # A flat loss is refused where study files are checked; data can make any loss flat.
    alignment = wanted.alignment.model_copy(update={"loss": loss, "options": {}})
    wanted = wanted.model_copy(update={"alignment": alignment})
    arms = [(0.0, Arm.NONE), (0.5, Arm.FORCED), (0.5, Arm.PLACEBO)]
    rows = rows_of(wanted, [trial(wanted, s, arm=arm) for s, arm in arms])
    assert [row["steps"] for row in rows] == [6, 6, 6]
    assert [row["unforced_steps"] for row in rows] == [6, forced, placebo]


def test_a_loss_whose_gradient_breaks_diverges_and_forced_nothing_then() -> None:
    wanted = study(alignment={"loss": "idle_losses:gradient_breaks"})
    [row] = rows_of(wanted, [trial(wanted, 0.5)])
    assert (row["status"], row["diverged_step"], row["steps"]) == ("diverged", 0, 1)


def test_constant_representations_are_named() -> None:
    wanted = study(model={"width": 8, "depth": 1, "encoder": "own_encoders:silent"})
    [row] = rows_of(wanted, [trial(wanted)])
    for split in ("validation", "test"):
        assert row[f"alignment_unbiased_cka_{split}"] is None
        assert row[f"undefined_{split}"] == "representations of modalities 1 and 2 are constant"
    plain = study()
    [row] = rows_of(plain, [trial(plain)])
    assert row["undefined_test"] == ""


def test_the_end_that_is_defined_is_confirmed() -> None:
    outcomes = [Outcome(Proposal(s), np.nan, p) for s, p in ((0.1, 0.6), (1.0, 0.7))]
    assert choose(Search(objective="both"), outcomes) == {"performance": Proposal(1.0)}
    assert choose(Search(objective="performance"), outcomes) == {"performance": Proposal(1.0)}
    assert choose(Search(objective="alignment"), outcomes) == {}
    diverged = [Outcome(Proposal(0.1), np.nan, np.nan)]
    assert choose(Search(objective="both"), diverged) == {}
