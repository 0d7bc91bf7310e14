"""Tables on screens of any usual width: every number and verdict is whole."""

import io
import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_runs import study
from rich.console import Console, ConsoleRenderable
from simulate_trials import simulate_forcing

from raysweep.kinds.answer_tables import emergence_table, verdict_table
from raysweep.kinds.fitted_table import Column, FittedTable
from raysweep.study.cells import expand, varying
from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis import forcing_effects

WIDTHS = (80, 100, 120, 200)
OUTCOME = "performance_fused_test"


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    """Effects by both criteria in cells that three axes name, with every verdict."""
    axes = {"dataset": "synthetic", "U": [0, 4], "heterogeneity_2": [1, 3]}
    names = varying(expand(study(data=axes, model={"width": [32, 128]}))).values()
    trials = simulate_forcing(
        effects=[-0.12, -0.03, 0.0, 0.0, 0.0, 0.012, 0.03, 0.12],
        sd_seed=0.006,
        rng=np.random.default_rng(0),
        criteria=("alignment", "performance"),
    )
    found = forcing_effects(trials, performance=OUTCOME)
    assert set(found["verdict"]) == {"helps", "hurts", "equivalent", "inconclusive"}
    cells = sorted(found["cell"].unique())
    return found.assign(label=found["cell"].map(dict(zip(cells, names, strict=True))))


def shown(table: ConsoleRenderable, width: int) -> str:
    screen = Console(width=width, file=io.StringIO())
    screen.print(table)
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    return text


def words_of(row: Any) -> list[str]:
    """All that must be readable of a verdict."""
    points = {name: f"{100 * row[name]:+.2f}" for name in ("effect", "ci_low", "ci_high")}
    return [
        *row["label"].split(),
        *row["options"].split(),
        row["chosen_by"],
        f"{row['strength']:.3g}",
        f"{row['n']:.0f}",
        points["effect"],
        f"({points['ci_low']},",
        f"{points['ci_high']})",
        f"{row['p_adjusted']:.2g}",
        f"{100 * row['effect_vs_placebo']:+.2f}",
        f"{row['alignment_none']:.2f}",
        f"{row['alignment_forced']:.2f}",
        *VERDICT_WORDS[row["verdict"]].split(),
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_verdicts_are_whole(effects: pd.DataFrame, width: int) -> None:
    text = shown(verdict_table(effects, OUTCOME), width)
    wanted = Counter(word for _, row in effects.iterrows() for word in words_of(row))
    assert wanted <= Counter(text.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_verdicts_of_long_numbers_are_whole(effects: pd.DataFrame, width: int) -> None:
    long = effects.assign(
        strength=1.234e-5,
        options="projection=linear temperature=0.0712 stop_gradient=false",
        n=4000,
        effect=-0.1234,
        ci_low=-0.2345,
        ci_high=-0.1001,
        p_adjusted=7.123e-112,
        effect_vs_placebo=-0.1234,
        alignment_none=-0.123,
        verdict="inconclusive",
    )
    text = shown(verdict_table(long, OUTCOME), width)
    wanted = Counter(word for _, row in long.iterrows() for word in words_of(row))
    assert wanted <= Counter(text.split())


def test_a_verdict_takes_one_line_where_there_is_room(effects: pd.DataFrame) -> None:
    lines = shown(verdict_table(effects, OUTCOME), 200).splitlines()
    for _, row in effects.iterrows():
        assert any(Counter(words_of(row)) <= Counter(line.split()) for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_emergent_alignment_is_whole(width: int) -> None:
    measured = {
        **{"best": -0.031, "chance": 0.012, "corrected": 0.512},
        **{"alignment_performance": -0.934, "given_depth": 0.421},
        **{"performance_depth": -0.112, "alignment_depth": 0.998},
    }
    names = [f"synthetic heterogeneity_2={h} redundancy=2" for h in (1, 3)]
    rows = [{"data": name, "U": 12, "draws": 5, "seeds": 20, **measured} for name in names]
    summary = pd.DataFrame(rows).assign(alignment="alignment_unbiased_cka_test")
    text = shown(emergence_table(summary), width)
    numbers = ["12", "5", "20", *(f"{value:.2f}" for value in measured.values())]
    wanted = Counter([*" ".join(names).split(), *numbers, *numbers])
    assert wanted <= Counter(text.split())


def test_what_has_no_room_is_broken_and_never_cut() -> None:
    columns = [Column(f"c{k}", "right", [f"learning_rate=0.0031{k}"]) for k in range(5)]
    text = shown(FittedTable("t", "", [[column] for column in columns]), 60)
    rows = [re.split(r" +", line.strip()) for line in text.splitlines()[4:] if line.strip()]
    whole = ["".join(parts) for parts in zip(*rows, strict=True)]
    assert whole == [column.values[0] for column in columns]
