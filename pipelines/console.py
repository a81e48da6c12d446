"""The console that everything is printed with: texts of others stay texts, numbers stay whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from engine.text import visible

_FOLDED = 24  # a column of texts is not made narrower than this


class PlainConsole(Console):
    """A console on which a text is neither markup (`[red]`, `[link=…]`) nor a control character.

    Names of symbols, messages and cells come from KIS, files and the database. A table is printed
    whole: a file or a pipe is as wide as it takes; on a terminal texts are folded, and where that
    is not enough each cell gets a line of its own. No number is cut.
    """

    def __init__(
        self,
        *,
        file: IO[str] | None = None,
        stderr: bool = False,
        record: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__(
            file=file, stderr=stderr, record=record, width=width, markup=False, emoji=False
        )

    def print(self, *objects: Any, **how: Any) -> None:
        """Print tables whole, and all else as rich does."""
        super().print(*(self._whole(o) if isinstance(o, Table) else o for o in objects), **how)

    def is_whole(self, table: Table) -> bool:
        """Say whether a table is printed with its columns side by side, none of them folded."""
        shapes = [_Breadth(column) for column in table.columns]
        return sum(shape.width for shape in shapes) + len(shapes) - 1 <= self.width

    def _whole(self, table: Table) -> Table:
        shapes = [_Breadth(column) for column in table.columns]
        natural = sum(shape.width for shape in shapes)
        if not self.is_terminal:
            self.width = max(self.width, natural + _edges(table))
            return table
        if natural + _edges(table) <= self.width:
            return table
        least = sum(shape.least for shape in shapes)
        if least + _edges(table) > self.width:
            table.box, table.padding, table.pad_edge = None, (0, 1, 0, 0), False
            if least + _edges(table) > self.width:
                return _line_for_each_cell(table)
        for column, shape in zip(table.columns, shapes, strict=True):
            column.min_width, column.no_wrap = shape.least, shape.is_whole
            column.overflow = "fold"
        return table

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return what is to be written; rich's own control codes come apart from the texts."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)


class _Breadth:
    """How wide a column is, and how narrow it may be: numbers and times stay in one line."""

    def __init__(self, column: Column) -> None:
        self.width = max(map(_width, (column.header, *column.cells)))
        self.is_whole = column.justify == "right" or column.no_wrap
        self.least = self.width if self.is_whole else min(self.width, _FOLDED)


def _width(cell: RenderableType) -> int:
    return max(map(cell_len, str(cell).split("\n")))


def _edges(table: Table) -> int:
    """Return the columns of a terminal that are a table's, not its cells'."""
    _, right, _, left = table.padding
    padding = (left + right) * len(table.columns) - (0 if table.pad_edge else left + right)
    return padding + (len(table.columns) + 1 if table.box else 0)


def _line_for_each_cell(table: Table) -> Table:
    """Return the table's rows one after the other, a line for each cell, as psql's `\\x`."""
    lines = Table(
        title=table.title,
        title_justify="left",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    lines.add_column(overflow="fold")
    lines.add_column(overflow="fold")
    columns: list[Column] = table.columns
    for number, row in enumerate(zip(*(column.cells for column in columns), strict=True), 1):
        lines.add_row(f"row {number}", "", style="bold")
        for column, cell in zip(columns, row, strict=True):
            lines.add_row(Text(str(column.header)), cell)
    return lines
