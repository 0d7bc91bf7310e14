"""How messages put things."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from raysweep.wording import as_code, as_markdown, counted, visible


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
@example("# head\n- item\n1. one\n2) two\n> quote\n***\n---\na\n===\n    code\n```\nfence")
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    assert seen(as_markdown(text)) == "".join(visible(text).split())


@given(MARKED)
def test_code_shows_a_text_as_it_is(text: str) -> None:
    wanted = "".join(visible(text).split())
    if wanted:
        assert seen(f"It was {as_code(text)}") == f"Itwas{wanted}"


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_visible_can_be_written_and_obeyed_by_no_terminal(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not set(shown) & {chr(c) for c in (*range(9), *range(11, 32), *range(127, 160))}
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text
