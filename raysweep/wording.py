"""How messages put things: counts that agree with their nouns."""


def counted(count: int, noun: str) -> str:
    """A count and what is counted, such as ``1 row`` or ``3 searches``; nouns are regular."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def last_line(message: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
