"""How messages put things: counts that agree with their nouns, and characters that can be shown."""

import re

# Control characters but for tab and newline, separators of lines, embeddings, overrides and
# isolates of direction (Unicode Annex 9), halves of surrogate pairs, and what no XML may hold.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

_TRACEBACK = "Traceback (most recent call last):"
_LONGEST = 300
"""Characters of what was raised."""

# What begins or ends something in Markdown (CommonMark 0.31, and GitHub's tables): anywhere, and
# at the start of a line.
_MARKED = re.compile(r"[\\`*_\[\]<>&#|~$]")
_AT_START = re.compile(r"^(\s*\d*)([-+=.)])")


def counted(count: int, noun: str) -> str:
    """A count and what is counted, such as ``1 row`` or ``3 searches``; nouns are regular."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def duration(seconds: float) -> str:
    """A time in words, such as ``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def in_a_line(text: str) -> str:
    """A text as it can be shown in one line, as a comment: of newlines and tabs escapes, too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def as_markdown(text: str) -> str:
    """Markdown that shows a text as it is, lines included."""
    escaped = _MARKED.sub(r"\\\g<0>", visible(text))
    return "  \n".join(_AT_START.sub(r"\1\\\2", line) for line in escaped.split("\n"))


def as_code(text: str) -> str:
    """A text in one line as Markdown's code, whatever it holds."""
    line = " ".join(visible(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def go_on(place: str) -> str:
    """What a run that ended early leaves, and how to go on with it."""
    return f"everything finished is kept. Go on with: raysweep resume {place}"


def last_line(message: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def raised(reason: str) -> str:
    """Why something failed, in one line: of a traceback what was raised, else the last line.

    A message may have many lines, whose first says what happened and whose last is often advice
    (CUDA's, say). So all of them are given, cut where they are longer than a line should be.

    Args:
        reason: a traceback as Python prints it, or any other text.
    """
    lines = reason.strip().splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    # The frames are indented, what was raised is not; of a chain the last was not caught.
    after = lines[starts[-1] + 1 :] if starts else []
    while after and (after[0].startswith(" ") or not after[0]):
        after = after[1:]
    words = " ".join(" ".join(after).split())
    if not words:
        return last_line(reason)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()} ..."


def visible(text: str) -> str:
    """A text as it can be shown: of control characters and half characters their escapes.

    A terminal would obey them, and no page or figure can hold them; what turns the direction of
    writing would turn the words behind it, too. Newlines and tabs stay.
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
