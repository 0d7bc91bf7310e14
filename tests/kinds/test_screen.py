"""Texts of a user's on the screen: as they are, whatever they hold."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from simulate_trials import simulate_forcing

from raysweep.cli.terminal import Screen
from raysweep.kinds.answer_tables import verdict_table
from raysweep.kinds.display import as_it_is, as_text
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


@pytest.mark.parametrize(
    ("terminal", "said"), [(True, "- one two\n  three\n  /a/long-path\n"), (False, None)]
)
def test_a_sentence_breaks_between_words_on_a_terminal_only(
    terminal: bool, said: str | None
) -> None:
    screen = Screen(width=10, file=io.StringIO(), force_terminal=terminal, color_system=None)
    screen.say("- one two three /a/long-path")
    assert screen.file.getvalue() == (said or "- one two three /a/long-path\n")  # type: ignore[attr-defined]


def test_a_text_has_no_colours_wherever_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in every kernel of a notebook
    assert as_text(as_it_is("x", "bold red")) == "x"


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
