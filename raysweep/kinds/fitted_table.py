"""Tables for the screen that fit it, however narrow it is."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from raysweep.kinds.display import as_it_is

Justify = Literal["left", "right"]


@dataclass(frozen=True)
class Column:
    """A column for the screen; a line break in it is a space where there is room."""

    title: str
    justify: Justify
    values: Sequence[str]
    colours: Mapping[str, str] = field(default_factory=dict)

    def cell(self, row: int, narrow: bool) -> Text:
        """One value, in its colour if it has one."""
        value = self.values[row]
        shown = value if narrow else value.replace("\n", " ")
        return as_it_is(shown, self.colours.get(value, ""))


@dataclass(frozen=True)
class FittedTable:
    """A table that fits the screen: where its columns do not, those of a stack share one."""

    title: str
    caption: str
    stacks: Sequence[Sequence[Column]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        flat = self._table([[column] for stack in self.stacks for column in stack], narrow=False)
        boundless = options.update(width=sys.maxsize)
        if console.measure(flat, options=boundless).maximum <= options.max_width:
            yield flat
            return
        narrow = self._table(self.stacks, narrow=True)
        fits = console.measure(narrow, options=boundless).minimum <= options.max_width
        yield narrow if fits else self._table(self.stacks, narrow=True, whole=False)

    def _table(
        self, stacks: Sequence[Sequence[Column]], narrow: bool, whole: bool = True
    ) -> RichTable:
        table = RichTable(
            title=as_it_is(self.title, "table.title"),
            title_justify="left",
            caption=as_it_is(self.caption, "table.caption"),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            leading=int(narrow),
        )
        for number, stack in enumerate(stacks):
            title = "\n".join(column.title for column in stack)
            # The first column gives way, in whole words where it can; where that is not enough all
            # do: numbers may be broken, and are never cut.
            table.add_column(
                as_it_is(title if narrow else title.replace("\n", " ")),
                justify=stack[-1].justify,
                no_wrap=whole and number > 0,
                overflow="fold",
            )
        for row in range(len(stacks[0][0].values)):
            table.add_row(
                *(Text("\n").join(column.cell(row, narrow) for column in stack) for stack in stacks)
            )
        return table
