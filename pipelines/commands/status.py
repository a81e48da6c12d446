"""`just status`: how things stand."""

from __future__ import annotations

from engine.log import setup_logging
from engine.store import metadata
from pipelines.commands.options import DatabaseOption, Format
from pipelines.databases import open_reader, run_with_store
from pipelines.reports.terminal import print_frame


def status(*, format: Format = "table", database: DatabaseOption = None) -> int:  # noqa: A002
    """Show the last heartbeat of each component, the last bar of each symbol and what is amiss.

    Parameters
    ----------
    format
        table, json (a list of objects) or csv
    """
    setup_logging()
    with open_reader(database) as opened:
        tables = run_with_store(opened.url, metadata.system_status, component="look")
    for title, frame in tables.items():
        print_frame(frame, format, title)
    return 0
