"""How messages put things: counts that agree with their nouns, and characters that can be shown."""

import re

# Control characters but for tab and newline, separators of lines, embeddings, overrides and
# isolates of direction (Unicode Annex 9), halves of surrogate pairs, and what no XML may hold.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

_TRACEBACK = "Traceback (most recent call last):"
# What torch puts into the message of an error that another process of a loader raised.
_RELAYED = f"Original {_TRACEBACK}"
_OF_GROUP = f"+ Exception Group {_TRACEBACK}"
_GROUP_MARGIN = re.compile(r"^ *(?:[|+](?: |$))?")
_GROUP_RULE = re.compile(r"^ *(?:\+-)?\+-{2,}")
_OWN_MODULES = re.compile(r"^raysweep(?:\.\w+)*\.(?=\w+(?::|$))")
_LONGEST = 300
"""Characters of what was raised."""

# What begins or ends something in Markdown (CommonMark 0.31, and GitHub's tables): anywhere, and
# at the start of a line.
_MARKED = re.compile(r"[\\`*_\[\]<>&#|~$]")
_AT_START = re.compile(r"^(\d*)([-+=.)])")


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
    # Indented, a line would be code; what it is shown as has no indents.
    lines = (line.lstrip() for line in escaped.split("\n"))
    return "  \n".join(_AT_START.sub(r"\1\\\2", line) for line in lines)


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
    grouped = [n for n, line in enumerate(lines) if line.lstrip().startswith(_OF_GROUP)]
    starts = [n for n, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    if grouped and grouped[-1] > max(starts, default=-1):
        words = "; ".join(_of_group(lines[grouped[-1] + 1 :]))
    else:
        # The frames are indented, what was raised is not; of a chain the last was not caught.
        after = lines[starts[-1] + 1 :] if starts else []
        words = " ".join(" ".join(_without_frames(after)).split())
    words = _OWN_MODULES.sub("", words)
    if not words:
        return last_line(reason)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()} ..."


def _without_frames(lines: list[str]) -> list[str]:
    """What was raised, of lines of a traceback below its first, also where it tells of another."""
    said: list[str] = []
    in_frames = True
    for line in lines:
        if line.startswith(_RELAYED):
            in_frames = True
        elif not in_frames or (line and not line.startswith(" ")):
            in_frames = False
            said.append(line)
    return said


def _of_group(lines: list[str]) -> list[str]:
    """A group of exceptions and those in it, of lines of its traceback below the first."""
    plain = [_GROUP_MARGIN.sub("", line) for line in lines if not _GROUP_RULE.match(line)]
    return [line for line in plain if line[:1].strip() and not line.endswith(_TRACEBACK)]


def visible(text: str) -> str:
    """A text as it can be shown: of control characters and half characters their escapes.

    A terminal would obey them, and no page or figure can hold them; what turns the direction of
    writing would turn the words behind it, too. Newlines and tabs stay.
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
