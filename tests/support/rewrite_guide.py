"""Rewrites the generated sections of search_spaces/README.md (`make guide`); test_docs compares."""

import re
from pathlib import Path

from raysweep.cli.reference import SECTIONS

GUIDE = Path(__file__).parents[2] / "search_spaces" / "README.md"


def rewritten(text: str) -> str:
    """The guide with every section between its markers made anew."""
    for name, section in SECTIONS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        body = section().strip("\n")
        text, count = re.subn(
            pattern, lambda m, b=body: f"{m[1]}{b}\n{m[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{GUIDE}: expected one section {name}, found {count}")
    return text


if __name__ == "__main__":
    GUIDE.write_text(rewritten(GUIDE.read_text()))
