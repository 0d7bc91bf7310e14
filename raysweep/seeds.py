"""Independent seeds from names: (study seed, purpose, ...) -> integer.

Every random choice in raysweep takes its seed from here, so that a result depends on what was asked
for and never on which worker, pack or order it ran in.
"""

import hashlib
import json

# One for all: json.dumps makes an encoder for every call, and a large study has 100,000 keys.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def derive_seed(*parts: int | float | str) -> int:
    """A 63-bit seed that is a pure function of its parts.

    Args:
        *parts: what the seed is for, from general to particular, such as
            ``(study_seed, "init", modality, draw, seed)``. Types matter: ``1`` and ``"1"`` differ.

    Returns:
        An integer in 0 .. 2**63 - 1: the leading bits of the SHA-256 of the parts as JSON, so that
        seeds of different parts are unrelated (neighbouring integers are not neighbouring seeds).
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def content_key(content: object, digits: int = 20) -> str:
    """A hexadecimal name for a JSON-like value: equal contents, equal names.

    Args:
        content: nested dicts, lists, strings, numbers, booleans and None; key order is ignored.
        digits: length of the name; 20 hexadecimal digits are 80 bits.
    """
    return text_key(canonical_text(content), digits)


def canonical_text(content: object) -> str:
    """A JSON-like value as the one text that equal contents have (ASCII)."""
    return _CANONICAL.encode(content)


def text_key(text: str, digits: int = 20) -> str:
    """The hexadecimal name of a text; `content_key` names the canonical text of a value."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
