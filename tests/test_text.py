"""How messages put things."""

import html
import re
import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from torch._utils import ExceptionWrapper

from raysweep.errors import InputError
from raysweep.text import as_code, as_markdown, counted, raised, visible


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (2, "search", "2 searches"),
        (2, "class", "2 classes"),
        (1, "class", "1 class"),
    ],
)
def test_nouns_agree_with_their_counts(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


def seen(markdown: str) -> str:
    """The words that a page made from Markdown shows, without its spaces."""
    page = MarkdownIt("gfm-like", {"linkify": False}).render(markdown)
    assert not re.findall("<(?!/?(?:p|br|code)[ >/])", page), page
    return "".join(html.unescape(re.sub("<[^>]*>", "", page)).split())


MARKED = st.text(st.sampled_from("\\`*_{}[]()<>#+-=.!|~$&;:/ \n\t12ab\x1b\0图"), max_size=40)


@given(st.one_of(MARKED, st.text(max_size=40)))
@example("<b>bold</b> _a_ `x` [l](http://u) | a | $x$ &amp; ~~s~~")
@example("\t1\n\n    2")
@example("# head\n- item\n1. one\n2) two\n> quote\n***\n---\na\n===\n    code\n```\nfence")
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    assert seen(as_markdown(text)) == "".join(visible(text).split())


@given(MARKED)
def test_code_shows_a_text_as_it_is(text: str) -> None:
    wanted = "".join(visible(text).split())
    if wanted:
        assert seen(f"It was {as_code(text)}") == f"Itwas{wanted}"


TURNED = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of what follows."""


@given(st.text(st.characters(exclude_categories=())))
@example(f"abc{TURNED}.npz")
def test_what_is_visible_can_be_written_and_obeyed_by_no_terminal(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not set(shown) & set(TURNED)
    assert not set(shown) & {chr(c) for c in (*range(9), *range(11, 32), *range(127, 160))}
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def raised_by(message: str, cause: Exception | None = None) -> str:
    """A traceback as a runner keeps it."""
    try:
        raise RuntimeError(message) from cause
    except RuntimeError:
        return traceback.format_exc()


def raised_by_loader() -> str:
    """As torch's loader raises what one of its workers did."""
    try:
        try:
            raise KeyError("five is broken")
        except KeyError:
            wrapper = ExceptionWrapper(where="in a worker")
        wrapper.reraise()
    except KeyError:
        return traceback.format_exc()
    return ""


def raised_in_group() -> str:
    """As tasks that were started together raise."""
    try:
        raise ExceptionGroup("all", [ValueError("a"), KeyError("b")])
    except ExceptionGroup:
        return traceback.format_exc()


def raised_by_raysweep() -> str:
    """An error whose class has a long name."""
    try:
        raise InputError("trial.measure: no rows")
    except InputError:
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (raised_by("boom"), "RuntimeError: boom"),
        (raised_by(""), "RuntimeError"),
        (
            raised_by("CUDA error: device-side assert\n\n  Compile with DSA.\n"),
            "RuntimeError: CUDA error: device-side assert Compile with DSA.",
        ),
        (raised_by("second\nline", ValueError("first")), "RuntimeError: second line"),
        (raised_by_loader(), "KeyError: Caught KeyError in a worker. KeyError: 'five is broken'"),
        (raised_in_group(), "ExceptionGroup: all (2 sub-exceptions); ValueError: a; KeyError: 'b'"),
        (raised_by_raysweep(), "InputError: trial.measure: no rows"),
        ("  File x\nTimeLimit: still running", "TimeLimit: still running"),
        ("the worker died", "the worker died"),
        ("", "no reason given"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
    ],
)
def test_what_was_raised_is_said_with_its_first_line(reason: str, words: str) -> None:
    assert raised(reason) == words
    assert raised(words) == words


def test_what_was_raised_stays_a_line() -> None:
    long = raised(raised_by("very " * 1000))
    assert long.startswith("RuntimeError: very very")
    assert len(long) < 320
