"""`just status`: how things stand."""

from __future__ import annotations

from functools import partial

from engine.clock import WallClock
from engine.history.listings import NAMES, learn_names
from engine.history.scan import query
from engine.log import setup_logging
from engine.store import metadata
from engine.store.connection import Connection, fetch_frame
from pipelines.commands.options import DatabaseOption, Format
from pipelines.databases import Database, open_reader, run_with_store
from pipelines.feed import configured_feed
from pipelines.reports.standing import Standing, present_moment, read_standing
from pipelines.reports.status import print_status, print_status_json
from pipelines.texts import texts_for


def status(
    *,
    format: Format = "table",  # noqa: A002
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Say whether all is well, what the last sessions lack and why, and which bars came last.

    The exit code is 0 if all is well, 1 if something is wrong (minutes are missing, or no collector
    is running although it should), 2 if that is unknown (no data, or no database).

    Parameters
    ----------
    format
        table, json (a list of objects) or csv
    json
        print one JSON object with everything, for machines
    """
    setup_logging()
    with open_reader(database) as opened:
        standing, stream = _read(opened), opened.settings.kis.stream
        tables = run_with_store(opened.url, metadata.system_status, component="look")
        learn_names(query(opened.url, NAMES))
        names = texts_for(opened.settings.language).name_of
    if json:
        print_status_json(standing, tables, stream=stream)
    else:
        print_status(standing, tables, format, stream=stream, names=names)
    return standing.exit_code


def _read(opened: Database) -> Standing:
    """Read how things stand in one short transaction."""
    simulated = opened.kind == "simulation"
    settings = opened.settings
    feed = configured_feed(settings) if settings.has_credentials and not simulated else None
    connection = Connection(opened.url, "look")
    try:
        with connection.transaction(read_only=True) as cursor:
            ask = partial(fetch_frame, cursor)
            now = present_moment(ask, WallClock(), simulated=simulated)
            return read_standing(ask, now, simulated=simulated, feed=feed)
    finally:
        connection.close()
