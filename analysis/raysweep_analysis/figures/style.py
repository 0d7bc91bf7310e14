"""How all figures look: colours with their meaning, one style, and SVG that follows the page.

Colours are safe for the common colour blindnesses (blue against orange, grey for no difference)
and never the only carrier: every verdict has its own marker. Each colour has a light and a dark
version; `Rendered.inline` writes them as CSS variables, so that a page can switch.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import LogFormatterSciNotation

from raysweep.text import visible
from raysweep.trials.columns import column_of
from raysweep.trials.outcomes import digits_of as digits_of
from raysweep.trials.outcomes import outcome_words as outcome_words
from raysweep.trials.outcomes import scale_of as scale_of
from raysweep.trials.storage import Output

T = TypeVar("T")

# name -> (on light paper, on dark paper)
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#15181d"),
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#59636e", "#a3adb8"),
    "grid": ("#e3e7eb", "#2c323a"),
    "band": ("#eef1f4", "#22272e"),
    "helps": ("#1f6fb4", "#62aef0"),
    "hurts": ("#c9520c", "#f2914d"),
    "equivalent": ("#6e7781", "#9aa4af"),
    "inconclusive": ("#8b949e", "#7d8791"),
    "untested": ("#a3abb3", "#6b747d"),
    "equivalent_tile": ("#dfe3e8", "#3a424c"),
    "alignment": ("#7b4ea3", "#bd9be0"),
    "second": ("#0f766e", "#4fc4b4"),
    "third": ("#8a6d00", "#d6b548"),
    "placebo": ("#a39a86", "#8f8a7d"),
    "on_strong": ("#fdfdfe", "#0d1014"),
}
VERDICT_MARKER = {
    "helps": "^",
    "hurts": "v",
    "equivalent": "s",
    "inconclusive": "o",
    "untested": "x",
}
LEANING = {1: "^", -1: "v"}
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_STEPS = 16
_COMMENT = re.compile("<!--.*?-->", re.DOTALL)


def colour(name: str) -> str:
    """The light version of a named colour, as drawn."""
    return COLOURS[name][0]


def _mix(a: str, b: str, share: float) -> str:
    x, y = (np.array(mpl.colors.to_rgb(c)) for c in (a, b))
    return str(mpl.colors.to_hex(x + (y - x) * share))


def _steps(name: str, end: str, low: float, high: float) -> dict[str, tuple[str, str]]:
    """Shades from near the paper to a named colour: name1 .. name16."""
    shares = np.linspace(low, high, _STEPS)
    light = [_mix(COLOURS["paper"][0], COLOURS[end][0], s) for s in shares]
    dark = [_mix(COLOURS["paper"][1], COLOURS[end][1], s) for s in shares]
    return {f"{name}{i + 1}": pair for i, pair in enumerate(zip(light, dark, strict=True))}


SHADES = (
    _steps("helps_", "helps", 0.08, 0.97)
    | _steps("hurts_", "hurts", 0.07, 0.97)
    | _steps("ramp_", "alignment", 0.09, 0.96)
)
ALL_COLOURS = COLOURS | SHADES

# What comes with matplotlib, then what a machine may have for characters that it lacks.
_FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "Arial Unicode MS", "Microsoft YaHei", "PingFang SC", "Hiragino Sans"),
    *("Malgun Gothic", "Noto Emoji", "Symbola", "Segoe UI Symbol", "Apple Symbols"),
    *("Noto Sans Devanagari", "Noto Sans Thai"),
)
_INSTALLED = {font.name for font in fontManager.ttflist}

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", *(name for name in _FALLBACKS if name in _INSTALLED)],
    # A name may hold dollars and backslashes, which are no formulas.
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": colour("ink"),
    "axes.edgecolor": colour("muted"),
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "figure.facecolor": colour("paper"),
    "grid.color": colour("grid"),
    "grid.linewidth": 0.7,
    "text.color": colour("ink"),
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "xtick.labelcolor": colour("ink"),
    "ytick.labelcolor": colour("ink"),
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.facecolor": colour("paper"),
    "svg.fonttype": "path",
    "svg.hashsalt": "raysweep",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
}
WIDTH = 7.0
BEHIND_WORDS = {"facecolor": colour("paper"), "edgecolor": "none", "pad": 0.6}
"""The box of words that would otherwise stand on a line of the grid."""


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style without touching matplotlib's settings for anyone else."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure in inches, 7 wide by default: a text column at 100 %."""
    return Figure(figsize=(width, height), layout="constrained")


def grid_of_axes(
    figure: Figure, n: int, columns: int, share_x: bool = False, share_y: bool = True
) -> list[Axes]:
    """N axes in rows of `columns`, the unused places left empty."""
    rows = -(-n // columns)
    axes = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False)
    flat = [axis for row in axes for axis in row]
    for i in range(n, len(flat)):
        flat[i].set_axis_off()
        flat[i - columns].tick_params(labelbottom=True)
    return flat[:n]


def empty_figure(message: str) -> Figure:
    """A figure that says why there is nothing to see."""
    with styled():
        figure = new_figure(1.2)
        figure.text(0.5, 0.5, message, ha="center", va="center", color=colour("muted"))
    return figure


def diverging(value: float, limit: float) -> str:
    """Shade of an effect in -limit .. limit: blue where forcing helps, orange where it hurts."""
    if not np.isfinite(value) or limit <= 0:
        return colour("paper")
    step = int(np.clip(np.ceil(abs(value) / limit * _STEPS), 1, _STEPS))
    return SHADES[f"{'helps' if value > 0 else 'hurts'}_{step}"][0]


def ramp(share: float) -> str:
    """Shade of a share 0..1, from near the paper to strong."""
    if not np.isfinite(share):
        return colour("paper")
    return SHADES[f"ramp_{int(np.clip(np.floor(share * _STEPS), 0, _STEPS - 1)) + 1}"][0]


def ink_on(shade: str) -> str:
    """Text colour that reads on a shade."""
    red, green, blue = mpl.colors.to_rgb(shade)
    # relative luminance by eye, without the gamma: good enough to choose between two inks
    return colour("on_strong" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.56 else "ink")


def css() -> str:
    """Custom properties of all colours: light, and dark where the reader prefers it."""
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in ALL_COLOURS.items())
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in ALL_COLOURS.items())
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


@dataclass(frozen=True)
class Rendered:
    """A figure as files: `svg` is a whole document, the same for the same figure."""

    svg: str
    png: bytes

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write NAME.png and NAME.svg; returns their paths."""
        output = Output(folder)
        for suffix, content in self.files().items():
            output.write(f"{name}{suffix}", content)
        return [folder / f"{name}{suffix}" for suffix in self.files()]

    def files(self) -> dict[str, bytes]:
        """Suffix of the file's name -> content."""
        return {".png": self.png, ".svg": self.svg.encode()}

    def inline(self, description: str) -> str:
        """The SVG for a page that defines `css()`: its colours are the page's, light or dark.

        Args:
            description: what the figure shows, for readers who do not see it.
        """
        # Matplotlib writes each text as a comment, too, and a text may be the name of a colour.
        text = _COMMENT.sub("", self.svg[self.svg.index("<svg") :])
        for key, (light, _) in ALL_COLOURS.items():
            text = text.replace(light, f"var(--{key})")
        label = visible(description).replace("&", "&amp;").replace('"', "&quot;")
        label = label.replace("<", "&lt;")
        return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def render(figure: Figure, name: str, dpi: int = 200) -> Rendered:
    """Draw a figure as SVG and PNG.

    Args:
        figure: the figure; its layout is worked out once and then kept.
        name: distinguishes the ids of its SVG from those of others on the same page.
        dpi: of the PNG.
    """
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # A character that no font of this machine has is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas = FigureCanvasAgg(figure)
        # Letters are a few per cent narrower at screen resolution: lay out at the final one.
        figure.set_dpi(dpi)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        png, svg = io.BytesIO(), io.StringIO()
        canvas.print_png(png, metadata={"Software": None})
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return Rendered(visible(svg.getvalue()), png.getvalue())


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg into a folder; returns their paths."""
    return render(figure, name).save(folder, name)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, `+1.2` or a true minus."""
    # adding zero turns a rounded -0.0 into 0.0
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def step_of(values: Sequence[float]) -> float:
    """The smallest step between different values; 1 where there is only one."""
    steps = np.diff(np.unique(np.asarray(values, float)))
    return float(steps.min()) if len(steps) else 1.0


def counted(counts: Iterable[float], what: str) -> str:
    """`n = 10 draws per cell`, or a range where they differ."""
    known = [int(n) for n in counts]
    low, high = min(known), max(known)
    return f"n = {low if low == high else f'{low}{DASH}{high}'} {what}"


def spaced(items: Sequence[T], most: int) -> list[T]:
    """At most so many items, evenly spaced over all of them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def folded(label: object, width: int = 24, lines: int = 4) -> str:
    """A user's text over as many lines as it needs, cut where it is longer than a figure holds."""
    text = visible(str(label))
    return "\n".join(
        textwrap.wrap(
            text[: 2 * lines * width],
            width,
            break_on_hyphens=False,
            max_lines=lines,
            placeholder=ELLIPSIS,
        )
    )


class _Powers(LogFormatterSciNotation):
    """The ticks of a logarithmic axis as plain numbers, 0.01 and 10: no formula."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}".replace("-", MINUS) if super().__call__(x, pos) else ""


def logarithmic(axis: Axes) -> None:
    """Make the horizontal axis a logarithmic one."""
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(_Powers())
    axis.xaxis.set_minor_formatter(_Powers(labelOnlyBase=False))


def metric_words(column: str) -> str:
    """`alignment_unbiased_cka_test` -> `unbiased CKA, test`."""
    said = column_of(column)
    name = said.metric if said.family == "alignment" else said.stem
    name = name.replace("_", " ").replace("cka", "CKA").replace("knn", "kNN")
    return f"{name}, {said.split}" if said.split else column


def column_words(column: str) -> str:
    """The words of a metric of alignment, or of any other outcome."""
    return (
        metric_words(column) if column_of(column).family == "alignment" else outcome_words(column)
    )
