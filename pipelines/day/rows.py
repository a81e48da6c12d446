"""Rows of texts that fit a terminal: whole cells only, each in its place however they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from pipelines.console import PlainConsole

_RULER = PlainConsole(file=StringIO())


@dataclass(frozen=True)
class Column:
    """A column of numbers or short texts; `least` is how wide it is at least, to keep its place.

    Where the terminal is too narrow, the columns of the least worth are left out.
    """

    title: str
    least: int
    worth: int
    right: bool = True

    def shown(self, cell: Text, width: int) -> Text:
        """Return the cell with the blanks that make it as wide as the column."""
        blanks = Text(" " * (width - cell.cell_len))
        return blanks + cell if self.right else cell + blanks


@dataclass(frozen=True)
class Row:
    """What a row is called, the names in the order of liking, and its cells."""

    names: Sequence[str]
    cells: Sequence[Text]


def fitted(title: str, columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Text]:
    """Return a heading and a line for each row, none wider than the terminal.

    A row has the first of its names for which there is room beside its cells, and no cell is cut:
    names give way first, then whole columns.
    """
    widths = [
        max(column.least, cell_len(column.title), *(row.cells[at].cell_len for row in rows), 0)
        for at, column in enumerate(columns)
    ]
    shortest = max([cell_len(row.names[-1]) for row in rows if any(row.cells[:1])] or [6])
    kept = list(range(len(columns)))
    while len(kept) > 1 and shortest + sum(widths[at] + 1 for at in kept) > width:
        kept.remove(min(kept, key=lambda at: columns[at].worth))
    longest = max([cell_len(name) for row in rows for name in row.names] or [0])
    room = min(max(width - sum(widths[at] + 1 for at in kept), 0), max(longest, cell_len(title)))

    def line(names: Sequence[str], cells: Sequence[Text]) -> Text:
        empty = next((n for n, at in enumerate(kept) if cells[at]), len(kept))
        free = room + sum(widths[at] + 1 for at in kept[:empty])
        name = next((name for name in names if cell_len(name) <= free), names[-1])
        parts = [Text(set_cell_size(name, free) if free > 0 else "")]
        for at in kept[empty:]:
            parts += [Text(" "), columns[at].shown(cells[at], widths[at])]
        return Text.assemble(*parts, no_wrap=True)

    heading = line((title,), [Text(column.title) for column in columns])
    heading.stylize("dim")
    return [heading, *(line(row.names, row.cells) for row in rows)]


def wrapped(line: str, width: int, *, style: str = "", most: int = 3) -> list[Text]:
    """Return a line of the log in as many lines as it takes, `most` at most."""
    return list(Text(line, style).wrap(_RULER, width, overflow="fold")[:most])


def beside(parts: Sequence[Text], width: int, gap: str = "   ") -> Text:
    """Return as many of the parts side by side as fit whole, the first ones first."""
    shown = parts[0]
    for part in parts[1:]:
        if shown.cell_len + len(gap) + part.cell_len > width:
            break
        shown = shown + Text(gap) + part
    return shown
