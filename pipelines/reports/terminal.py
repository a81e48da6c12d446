"""Frames on the terminal: as a table for people, as JSON or CSV for programs; progress bars."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import polars as pl
from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from engine.text import visible, visible_json
from pipelines.console import PlainConsole
from pipelines.reports.readable import without_lists

_FOLDED = 24  # a column of texts is not made narrower than this
_EDGES = 3  # columns of a table's cell that are not its text


def print_frame(
    frame: pl.DataFrame,
    format: Literal["table", "json", "csv"],  # noqa: A002 - as the option is called
    title: str = "",
    *,
    file: TextIO | None = None,
) -> None:
    """Print a frame to standard output; a table may go to another file."""
    if format == "json":
        print_json(frame.write_json())
    elif format == "csv":
        text = without_lists(frame).write_csv()
        # To a program the data as they are, to a person what a terminal can show.
        sys.stdout.write(visible(text, keep="\n") if sys.stdout.isatty() else text)
    else:
        console = PlainConsole(file=file)
        console.print(frame_table(frame, title, console))


def print_json(text: str) -> None:
    """Print a line of JSON that stays whole where the output's encoding lacks its characters."""
    text = visible_json(text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))  # \\u escapes: the same text to whoever reads JSON
    sys.stdout.write(text + "\n")


def frame_table(frame: pl.DataFrame, title: str, console: Console) -> Table:
    """Return the frame as a table in which nothing is cut.

    On a terminal that is too narrow for the numbers and times side by side, it has one line for
    each column, row after row, as psql's `\\x auto`. A file or a pipe is as wide as the table.
    """
    moments = pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S")
    cells = (
        without_lists(frame)
        .with_columns(moments)
        .select(pl.all().cast(pl.String).fill_null(""))
        .select(pl.all().map_elements(lambda cell: visible(cell, keep="\n"), pl.String))
    )
    widths = {name: _width(name, cells[name]) for name in cells.columns}
    if not console.is_terminal:
        console.width = max(console.width, sum(widths.values()) + _EDGES * len(widths) + 1)
    least = {
        name: min(width, _FOLDED) if frame.schema[name] == pl.String else width
        for name, width in widths.items()
    }
    if sum(least.values()) + _EDGES * len(least) + 1 > console.width:
        return _line_for_each_column(cells, title)
    table = Table(title=title or None, title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(
            _plain_text(name),
            justify="right" if dtype.is_numeric() else "left",
            min_width=least[name],
            overflow="fold",
        )
    for row in cells.iter_rows():
        table.add_row(*map(Text, row))
    return table


def _width(name: str, cells: pl.Series) -> int:
    """Return the columns of a terminal that the widest line of a name and its cells takes."""
    lines = (line for text in (visible(name), *cells.unique()) for line in text.split("\n"))
    return max(map(cell_len, lines))


def _line_for_each_column(cells: pl.DataFrame, title: str) -> Table:
    table = Table(
        title=title or None, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for number, row in enumerate(cells.iter_rows(), 1):
        table.add_row(f"row {number}", "", style="bold")
        for name, cell in zip(cells.columns, row, strict=True):
            table.add_row(_plain_text(name), Text(cell))
    return table


def _plain_text(cell: str) -> Text:
    """Return the cell as it is: data must not become markup or commands to the terminal."""
    return Text(visible(cell, keep="\n"))


def plain_table(title: str) -> Table:
    """Return an empty table with its title and without lines between the columns."""
    return Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if standard error is a terminal; yield how to move it: done, total."""
    columns = [TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = PlainConsole(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
