"""Tables and small models that the tests of features share."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import save_images, texts

ROWS = 13


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines with a column of captions and one of images."""
    folder = tmp_path_factory.mktemp("table")
    names = save_images(folder, ROWS)
    lines = [
        json.dumps({"caption": text, "picture": name})
        for text, name in zip(texts(ROWS), names, strict=True)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def told() -> tuple[list[str], Callable[[str], None]]:
    """Lines of progress, and what takes them."""
    lines: list[str] = []
    return lines, lines.append
