"""How messages put things: counts that agree with their nouns."""


def counted(count: int, noun: str) -> str:
    """A count and what is counted, such as ``1 row`` or ``3 searches``; nouns are regular."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
