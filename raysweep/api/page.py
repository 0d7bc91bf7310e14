"""A run as a notebook shows it: the answer, the map of verdicts, the verdicts."""

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raysweep.errors import InputError
from raysweep.text import visible

if TYPE_CHECKING:
    from raysweep.api.run import Run


def run_page(run: "Run") -> str:
    """A run as HTML; nothing of a user's is taken for markup."""
    from raysweep.kinds.display import as_html
    from raysweep.kinds.kind import kind_of

    status = run.status()
    head = f"<p><b>{_escaped(run.study.name)}</b> in <code>{_escaped(run.folder)}</code></p>"
    if not status.done:
        return head + status._repr_html_()
    try:
        conclusion = run._conclusion()
    except InputError as error:
        return f"{head}{status._repr_html_()}<p>{_escaped(str(error))}</p>"
    first, *further = conclusion.sentences or ("",)
    unknown = len(conclusion.unknown)
    tables = kind_of(run.study.resolved).tables(run.study.resolved, conclusion)
    return "".join(
        [
            head,
            "" if status.finished else f"<p>{_escaped(repr(status))}</p>",
            f"<p><b>{_escaped(first)}</b></p>",
            _sentences(further[:unknown]),
            _picture(run),
            as_html(*tables) if tables else "",
            "<details><summary>What else it says</summary>",
            _sentences(further[unknown:]),
            "</details>",
        ]
    )


def _sentences(said: Sequence[str]) -> str:
    """Points of lists, and what stands above them."""
    found = "".join(
        f"<li>{_escaped(line[2:])}</li>"
        if line.startswith("- ")
        else f"</ul><p>{_escaped(line)}</p><ul>"
        for line in said
    )
    return f"<ul>{found}</ul>".replace("<ul></ul>", "")


def _picture(run: "Run") -> str:
    """The map of verdicts, where there is one."""
    from raysweep_analysis.report import pictures

    for picture in pictures(run._conclusion().findings):
        if picture.name == "verdict_map":
            png, size = picture._repr_png_()
            words, content = _escaped(picture.title), base64.b64encode(png).decode()
            return (
                f'<img alt="{words}" width="{size["width"]}" style="max-width: 100%" '
                f'src="data:image/png;base64,{content}">'
            )
    return ""


def _escaped(text: str) -> str:
    return html.escape(visible(text))
