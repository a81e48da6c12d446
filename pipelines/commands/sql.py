"""`just sql`: your query."""

from __future__ import annotations

import polars as pl

from engine.log import setup_logging
from engine.store import Store
from pipelines.commands.options import DatabaseOption, Format
from pipelines.databases import open_reader, run_with_store
from pipelines.read_only import check_reads
from pipelines.reports.readable import readable
from pipelines.reports.terminal import print_frame


def sql(query: str, *, format: Format = "table", database: DatabaseOption = None) -> int:  # noqa: A002
    """Query the database, read-only.

    Parameters
    ----------
    query
        one SQL statement that reads: SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW
    format
        table, json (a list of objects) or csv
    """

    setup_logging()
    check_reads(query)

    async def fetch(store: Store) -> pl.DataFrame:
        return readable(await store.query(query))

    with open_reader(database) as opened:
        frame = run_with_store(opened.url, fetch, component="look")
    print_frame(frame, format)
    return 0
