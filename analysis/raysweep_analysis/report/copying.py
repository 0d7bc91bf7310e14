"""What lets a reader take figures and data from the page: one small script, and no network.

The page's policy names the script by its hash, so that no other runs. Where none runs at all, as in
a frame that forbids it, its buttons stay hidden and the files beside the page are named.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

_SCRIPT = Path(__file__).parent / "templates" / "copying.js"


@cache
def script() -> str:
    """The script as it stands in the page."""
    return _SCRIPT.read_text(encoding="utf-8")


def digest(content: str) -> str:
    """The hash of a script as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
