"""The first sentence of an answer."""

import pandas as pd
import pytest

from raysweep_analysis.decision import counts, decision


def effects(*rows: tuple[str, str, str, float, float], placebo: str = "") -> pd.DataFrame:
    """Rows of cell, criterion, verdict, strength and effect as a share."""
    table = pd.DataFrame(rows, columns=["cell", "chosen_by", "verdict", "strength", "effect"])
    return table.assign(
        verdict_vs_placebo=placebo,
        performance="performance_fused_test",
        reason="3 seeds would have found an effect of 8 points or more; the rest",
    )


COST = [("a", "alignment", "hurts", 2.15, -0.122), ("b", "alignment", "hurts", 8.95, -0.015)]
NONE = [
    ("a", "performance", "equivalent", 0.01, 0.0),
    ("b", "performance", "equivalent", 0.09, 0.0),
]
GAIN = [("a", "performance", "helps", 0.5, 0.012), ("b", "performance", "helps", 1.5, 0.03)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            COST,
            "Do not force alignment: at strengths 2.15 to 8.95 it costs 1.5 to 12.2 points in all "
            "2 cells.",
        ),
        (
            COST + NONE,
            "Do not force alignment: at strengths 2.15 to 8.95 it costs 1.5 to 12.2 points in all "
            "2 cells; at strengths 0.01 to 0.09 it makes no difference (shown within 0.5 points in "
            "all 2 cells).",
        ),
        (
            GAIN,
            "Force alignment: at strengths 0.5 to 1.5 it gains 1.2 to 3.0 points in all 2 cells.",
        ),
        (
            [GAIN[0], NONE[1]],
            "Force alignment in some cells: at strength 0.5 it gains 1.2 points in 1 of 2 cells; "
            "at strength 0.09 it makes no difference (shown within 0.5 points in 1 of 2 cells).",
        ),
        (
            COST + GAIN,
            "Force alignment weakly: at strengths 0.5 to 1.5 it gains 1.2 to 3.0 "
            "points in all 2 cells; at strengths 2.15 to 8.95 it costs 1.5 to 12.2 points in all "
            "2 cells.",
        ),
        (
            [*NONE, ("c", "performance", "inconclusive", 1.0, 0.01)],
            "Forcing alignment makes no difference: at strengths 0.01 to 0.09 shown within 0.5 "
            "points in 2 of 3 cells; 1 of 3 cells is not known.",
        ),
        (
            [("a", "performance", "inconclusive", 1.0, 0.01)],
            "Not known whether to force alignment: 3 seeds would have found an effect of 8 points "
            "or more.",
        ),
    ],
)
def test_the_sentence_says_whether_and_how_hard(
    rows: list[tuple[str, str, str, float, float]], expected: str
) -> None:
    assert decision(effects(*rows), margin=0.005) == expected


def test_what_shuffled_pairs_give_as_well_is_said() -> None:
    table = effects(*GAIN, placebo="helps")
    assert "beyond what shuffled pairs give" in decision(table, 0.005)
    table.loc[0, "verdict_vs_placebo"] = "inconclusive"
    assert "only in 1 of these shown to be more than shuffled pairs give" in decision(table, 0.005)
    table.loc[0, "verdict_vs_placebo"] = ""
    assert "beyond" not in decision(table, 0.005)
    assert "only in 1 of the 1 that have a placebo" in decision(table, 0.005)
    table["verdict_vs_placebo"] = "equivalent"
    assert decision(table, 0.005).startswith("It is not shown that alignment is what helps: ")


def test_where_strengths_overlap_it_depends() -> None:
    table = effects(*COST, *GAIN)
    table.loc[3, "strength"] = 4.0
    assert decision(table, 0.005).startswith("It depends whether to force alignment: ")


def test_few_cells_do_not_speak_for_many() -> None:
    same = [(f"c{i}", "alignment", "equivalent", 0.1, 0.0) for i in range(99)]
    said = decision(effects(COST[0], *same), 0.005)
    assert said.startswith("Do not force alignment in some cells: ")
    half = [(f"d{i}", "alignment", "inconclusive", 0.1, 0.0) for i in range(99)]
    said = decision(effects(*same, *half), 0.005)
    assert said.startswith("Not known in 99 of 198 cells, no difference in the others: ")
    assert said.count("not known") == 0


def test_best_against_best_is_never_mixed_with_another_estimand() -> None:
    best = [("a", "best", "equivalent", 0.3, 0.0), ("b", "best", "equivalent", 0.4, 0.0)]
    table = effects(*COST, *best)
    assert "costs" not in decision(table, 0.005)
    assert "best against best" in decision(table, 0.005)
    assert counts(table) == "Forcing alignment makes no difference in all 2 cells."
    # Where only some cells have it, the others are not left out.
    assert "costs" in decision(effects(*COST, best[0]), 0.005)


def test_losses_are_read_in_their_unit() -> None:
    table = effects(*COST).assign(performance="loss_fused_test")
    assert "costs 0.015 to 0.122 nats" in decision(table, 0.01)
