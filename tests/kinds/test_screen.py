"""Texts of a user's on the screen: as they are, whatever they hold."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from simulate_trials import simulate_forcing

from raysweep.cli.terminal import Screen
from raysweep.kinds.answer_tables import verdict_table
from raysweep_analysis import forcing_effects

MARKED = ["[bold]x[/bold]", "[/]", "[red", ":smile:", "\\[b]", "{x} %s %(y)s", "`a` | *b*", "$x$"]
OBEYED = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\rb": r"a\rb",
    "a\x08b": r"a\x08b",
    "\x9b2J": r"\x9b2J",
    "\x00": r"\x00",
    "\udcff": r"\udcff",
}


def printed(screen: Console, shown: object) -> str:
    screen.print(shown)
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    text.encode()
    return text


@pytest.mark.parametrize("text", [*MARKED, *OBEYED, "中文 שלום é 😀"])
def test_a_line_is_printed_as_it_is(text: str) -> None:
    screen = Screen(width=100, file=io.StringIO(), force_terminal=True, color_system=None)
    assert printed(screen, f"<{text}>") == f"<{OBEYED.get(text, text)}>\n"


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    return forcing_effects(simulate_forcing(effects=[0.0], rng=np.random.default_rng(0)))


@pytest.mark.parametrize("text", [*MARKED, *(t for t in OBEYED if t != "\udcff")])
def test_a_cell_is_called_as_it_is_in_the_verdicts(effects: pd.DataFrame, text: str) -> None:
    screen = Console(width=200, file=io.StringIO())  # one that takes markup
    named = effects.assign(label=f"<{text}>", options=f"o={text}")
    lines = printed(screen, verdict_table(named, text)).splitlines()
    shown = OBEYED.get(text, text)
    assert shown in lines[0]
    assert all(f"{mark}{shown}" in "\n".join(lines) for mark in ("<", "o="))
    if text in OBEYED:
        assert text not in "\n".join(lines)
