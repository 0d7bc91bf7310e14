"""A run as a notebook shows it: the answer, the map of verdicts, the verdicts."""

import base64
import html
from typing import TYPE_CHECKING

from raysweep.errors import InputError
from raysweep.text import visible

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.api.run import Run

_COLUMNS = (
    *("label", "chosen_by", "strength", "n", "effect", "ci_low", "ci_high"),
    *("effect_vs_placebo", "p_adjusted", "verdict"),
)
_MOST_ROWS = 60


def run_page(run: "Run") -> str:
    """A run as HTML; nothing of a user's is taken for markup."""
    status = run.status()
    head = f"<p><b>{_escaped(run.study.name)}</b> in <code>{_escaped(run.folder)}</code></p>"
    if not status.done:
        return head + status._repr_html_()
    try:
        answer, verdicts = run.answer, run.verdicts
    except InputError as error:
        return f"{head}{status._repr_html_()}<p>{_escaped(str(error))}</p>"
    sentences = "".join(f"<li>{_escaped(line.removeprefix('- '))}</li>" for line in answer)
    unfinished = "" if status.finished else f"<p>{_escaped(repr(status))}</p>"
    return f"{head}{unfinished}<ul>{sentences}</ul>{_picture(run)}{_table(verdicts)}"


def _picture(run: "Run") -> str:
    """The map of verdicts, where there is one."""
    from raysweep_analysis.report import pictures

    for picture in pictures(run._conclusion().findings):
        if picture.name == "verdict_map":
            content = base64.b64encode(picture.rendered.png).decode()
            words = _escaped(picture.title)
            return (
                f'<img alt="{words}" style="max-width: 100%" src="data:image/png;base64,{content}">'
            )
    return ""


def _table(verdicts: "pd.DataFrame") -> str:
    columns = [name for name in _COLUMNS if name in verdicts] or list(verdicts.columns)
    shown = verdicts[columns].head(_MOST_ROWS)
    texts = shown.select_dtypes(exclude="number").columns
    shown = shown.assign(**{name: shown[name].astype(str).map(visible) for name in texts})
    more = len(verdicts) - len(shown)
    rest = f"<p>and {more} more rows in <code>Run.verdicts</code></p>" if more > 0 else ""
    return shown.to_html(index=False, escape=True, na_rep="", float_format="{:.4g}".format) + rest


def _escaped(text: str) -> str:
    return html.escape(visible(text))
