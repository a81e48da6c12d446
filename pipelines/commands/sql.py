"""`just sql`: your query, and what there is to ask for."""

from __future__ import annotations

import polars as pl

from engine.errors import InputError
from engine.log import setup_logging
from engine.store import Store
from engine.store.archive import ARCHIVED, MONTHS_QUERY
from engine.store.identifiers import literal
from pipelines.commands.options import DatabaseOption, Format
from pipelines.console import PlainConsole
from pipelines.databases import open_reader, run_with_store
from pipelines.read_only import check_reads
from pipelines.reports.readable import readable
from pipelines.reports.sql_text import sql_text
from pipelines.reports.terminal import print_frame


def sql(
    query: str | None = None,
    *,
    tables: bool = False,
    describe: str | None = None,
    format: Format = "table",  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """Query the database, read-only.

    Parameters
    ----------
    query
        one SQL statement that reads: SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW
    tables
        list the tables and views instead, with what they hold
    describe
        list the columns of this table or view instead, with units and meaning
    format
        table (one line a column where the terminal is too narrow), json (a list of objects) or csv
    """

    setup_logging()
    if [query is not None, tables, describe is not None].count(True) != 1:
        raise InputError(
            'give one of: a query in quotes, as in just sql "SELECT * FROM gaps"; --tables;'
            " --describe TABLE"
        )
    if query is not None:
        check_reads(query)

    async def fetch(store: Store) -> pl.DataFrame:
        if describe is not None:
            return await _columns(store, describe)
        return readable(await store.query(query or sql_text("describe", "tables.sql")))

    with open_reader(database) as opened:
        frame = run_with_store(opened.url, fetch, component="look")
        if ARCHIVED.name in (query or ""):
            _say_what_is_in_files(run_with_store(opened.url, _months_in_files, component="look"))
    print_frame(frame, format)
    return 0


async def _months_in_files(store: Store) -> pl.DataFrame:
    return pl.DataFrame(await store.query(f"{MONTHS_QUERY} ORDER BY month"))


def _say_what_is_in_files(months: pl.DataFrame) -> None:
    """Say which bars SQL cannot see, on standard error."""
    if months.height:
        first, last = months["month"][0], months["month"][-1]
        PlainConsole(stderr=True).print(
            f"⚠️ {ARCHIVED.name} from {first:%Y-%m} to {last:%Y-%m} is in files, which SQL does not"
            ' see: scan("stocks_1m") reads both'
        )


async def _columns(store: Store, table: str) -> pl.DataFrame:
    """Return the columns of a table or view. Raises InputError, with the names that there are."""
    text = sql_text("describe", "columns.sql", table=literal(table))
    columns = readable(await store.query(text))
    if columns.is_empty():
        known = readable(await store.query(sql_text("describe", "tables.sql")))["name"]
        raise InputError(f"no table or view is called {table!r}; there are: {', '.join(known)}")
    return columns
