"""`just symbols`: what is listed, by code or Korean name."""

from __future__ import annotations

from engine.history.listings import search_listings
from engine.history.scan import query
from pipelines.commands.options import DatabaseOption, Format
from pipelines.databases import open_reader
from pipelines.history.job import HistoryJob
from pipelines.history.listings import refresh_listings
from pipelines.history.request import BackfillContext
from pipelines.reports.sql_text import sql_text
from pipelines.reports.terminal import print_frame


def symbols(
    text: str = "",
    /,
    *,
    refresh: bool = False,
    format: Format = "table",  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """List shares, ETFs and others of KOSPI and KOSDAQ: code, Korean name, market, kind, state.

    They are those of KIS's master files, which `just live` fetches each day before the open. What
    is listed no more, or has another name by now, stays and says so.

    Parameters
    ----------
    text
        the beginning of a code, or a part of a name; without it everything
    refresh
        fetch the master files first
    format
        table, json or csv
    """
    if refresh:

        async def fetch(context: BackfillContext) -> int:
            await refresh_listings(context)
            return 0

        HistoryJob(None, database, (), collects=True).collect(fetch)
    with open_reader(database) as opened:
        stated = query(opened.url, sql_text("listings", "states.sql"))
    found = search_listings(stated, text)
    title = (
        f"{found.height:,} found" if stated.height else "listed (just symbols --refresh fetches)"
    )
    print_frame(found, format, title)
    return 0
