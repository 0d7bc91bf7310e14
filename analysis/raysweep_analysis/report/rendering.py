"""Pages from templates; no text in them is markup but that of the templates and `Markup`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from raysweep.text import visible
from raysweep_analysis.figures.style import css

_TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **values: object) -> str:
    """A page as one HTML text, with the style that all pages have.

    Args:
        template: name of its file.
        **values: what it shows. Jinja escapes text, after what does not print is made visible.
    """
    environment = Environment(
        autoescape=True,
        finalize=_shown,
        keep_trailing_newline=True,
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
    )
    style = Markup(css() + (_TEMPLATES / "page.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **values)


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
