"""Looking at the database from the command line: `krt sql` and `krt status`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

import polars as pl
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.clock import WallClock
from engine.configuration import load
from engine.store import Store, metadata
from pipelines.databases import Kind, database, kind_of
from pipelines.reports.readable import readable, without_lists

Answer = TypeVar("Answer")
_PAPER = 200  # columns
Format = Literal["table", "json", "csv"]
Which = Annotated[
    Kind | None,
    Parameter(help="live or simulation; live where there are credentials; yours knows by itself"),
]


def sql(query: str, *, format: Format = "table", database: Which = None) -> int:  # noqa: A002
    """Query the database, read-only.

    Parameters
    ----------
    query
        one SQL statement
    format
        table, json (a list of objects) or csv
    """

    async def answer(store: Store) -> pl.DataFrame:
        return readable(await store.query(query))

    write(ask(answer, database), format)
    return 0


def status(*, format: Format = "table", database: Which = None) -> int:  # noqa: A002
    """Show the last heartbeat of each component, the last bar of each symbol and what is amiss.

    Parameters
    ----------
    format
        table, json (a list of objects) or csv
    """
    for title, frame in ask(metadata.system_status, database).items():
        write(frame, format, title)
    return 0


def ask(question: Callable[[Store], Awaitable[Answer]], which: Kind | None) -> Answer:
    """Put a question to the database that the settings name."""
    configuration, yours = load()
    with database(configuration, yours, kind_of(configuration, yours, which)) as url:
        return asyncio.run(_asked(url, question))


async def _asked(url: str, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
    store = Store(url, WallClock(), component="look")
    try:
        return await question(store)
    finally:
        await store.close()


def write(frame: pl.DataFrame, how: Format, title: str = "") -> None:
    """Write a frame to standard output."""
    if how == "json":
        sys.stdout.write(frame.write_json() + "\n")
    elif how == "csv":
        sys.stdout.write(without_lists(frame).write_csv())
    else:
        console = Console()
        if not console.is_terminal:
            console.width = _PAPER  # a file or a pipe has no width; do not fold into 80 columns
        console.print(_table(frame, title))


def _table(frame: pl.DataFrame, title: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    for name, kind in frame.schema.items():
        table.add_column(_text(name), justify="right" if kind.is_numeric() else "left")
    moments = pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S")
    for row in (
        without_lists(frame).with_columns(moments).select(pl.all().cast(pl.String)).iter_rows()
    ):
        table.add_row(*("" if cell is None else _text(cell) for cell in row))
    return table


def _text(cell: str) -> Text:
    """Return the cell as it is: neither markup nor commands to the terminal, whoever wrote it."""
    shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in cell)
    return Text("".join(shown))
