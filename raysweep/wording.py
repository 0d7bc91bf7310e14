"""How messages put things: counts that agree with their nouns, and characters that can be shown."""

import re

# Control characters but for tab and newline, and halves of surrogate pairs.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def counted(count: int, noun: str) -> str:
    """A count and what is counted, such as ``1 row`` or ``3 searches``; nouns are regular."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def last_line(message: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def visible(text: str) -> str:
    """A text as it can be shown: of control characters and half characters their escapes.

    A terminal would obey them, and no page or figure can hold them. Newlines and tabs stay.
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
