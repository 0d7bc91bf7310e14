"""What the site has beside `docs/`: pages and pictures that lie elsewhere in the repository.

A hook of MkDocs. Links stay as they work on a disk; here they are turned to where the site has the
page. What the site does not have, such as a folder of sources, becomes plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "search_spaces/README.md": "studies.md",
    "search_spaces/paper/RESULTS.md": "paper.md",
    "cluster/README.md": "clusters.md",
    "examples/models/README.md": "models.md",
    "tests/benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
}
_PICTURES = ("search_spaces/**/*.png", "examples/**/*.png")
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add pages and pictures."""
    for source, uri in PAGES.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for path in sorted(found for pattern in _PICTURES for found in ROOT.glob(pattern)):
        uri = f"pictures/{path.relative_to(ROOT).as_posix()}"
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files of the repository to where the site has them."""
    places = {str(Path(file.abs_src_path).resolve()): file.src_uri for file in files}
    folder = Path(page.file.abs_src_path).resolve().parent

    def turned(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        uri = places.get(str((folder / target).resolve()))
        if uri is None:
            return found["text"]
        there = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        return f"{found['picture']}[{found['text']}]({there}{'#' + anchor if anchor else ''})"

    return _LINK.sub(turned, markdown)
