"""Frames on the terminal: as a table for people, as JSON or CSV for programs; progress bars."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import polars as pl
from rich.box import SIMPLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from engine.text import visible, visible_json
from pipelines.console import PlainConsole
from pipelines.reports.readable import without_lists

_WIDTH = 200  # columns of a table that goes into a file or a pipe


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
        if not console.is_terminal:
            console.width = _WIDTH  # a file or a pipe has none; do not fold into 80 columns
        console.print(_frame_table(frame, title))


def print_json(text: str) -> None:
    """Print a line of JSON that stays whole where the output's encoding lacks its characters."""
    text = visible_json(text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))  # \\u escapes: the same text to whoever reads JSON
    sys.stdout.write(text + "\n")


def _frame_table(frame: pl.DataFrame, title: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(_plain_text(name), justify="right" if dtype.is_numeric() else "left")
    moments = pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S")
    for row in (
        without_lists(frame).with_columns(moments).select(pl.all().cast(pl.String)).iter_rows()
    ):
        table.add_row(*("" if cell is None else _plain_text(cell) for cell in row))
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
