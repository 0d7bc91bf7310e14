"""How messages put things."""

import pytest

from raysweep.wording import counted


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
