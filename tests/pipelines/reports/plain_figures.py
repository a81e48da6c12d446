"""The plain definition of figures: every minute of every session is read, and counted."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine.history.archived import archived_bars, months_query
from engine.history.collection import sessions_to_collect
from engine.history.completeness import ledger_query, minutes_until
from engine.history.queries import stamp_queries
from engine.market import told_once
from engine.market.expected import SESSIONS
from engine.market.nights import session_of
from engine.market.sessions import Market, previous_sessions
from engine.store import ledger
from engine.store.identifiers import literal
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.reports.figures import Ask
from pipelines.reports.sql_text import sql_text

_STAMPS = pl.Schema([("symbol", pl.String()), ("stamp", pl.Datetime("us"))])


def read_minutes(
    ask: Ask, first: date, last: date, now: datetime, feed: Feed | None = None
) -> pl.DataFrame:
    """Return MINUTES by now of all sessions from first to last that ought to be collected."""
    stored = _stored(ask, first, last)
    # The state of futures is kept as it comes: only what was to be collected can be missing.
    bars = stored.filter(~pl.col("symbol").str.contains(told_once.NAMES))
    known = _sessions(bars)
    begin = min(first, *previous_sessions(Market.STOCKS, last, 5))
    span = {"first": literal(begin), "last": literal(last)}
    planned = ask(sql_text("standing", "planned_sessions.sql", **span)).cast(SESSIONS)
    if planned.is_empty():
        earlier = _stored(ask, begin, first)
        earlier = earlier.filter(~pl.col("symbol").str.contains(told_once.NAMES))
        known = pl.concat([known, _sessions(earlier)]).unique()
    told = ask(sql_text("standing", "known_sessions.sql", **span)).cast(SESSIONS)
    usual = plan(feed, last).kept if feed else []
    wanted = sessions_to_collect(planned, pl.concat([told, known]), first, last, usual)
    rows = ask(ledger_query(first, last)).cast(ledger.ROWS)
    return minutes_until(now, wanted, stored, rows)


def _sessions(stored: pl.DataFrame) -> pl.DataFrame:
    session = session_of(pl.col("symbol"), pl.col("stamp"))
    return stored.select("symbol", session=session).unique()


def _stored(ask: Ask, first: date, last: date) -> pl.DataFrame:
    found = [ask(query).cast(_STAMPS) for query in stamp_queries(first, last)]
    stored = pl.concat([_STAMPS.to_frame(), *found]).rename({"stamp": "timestamp"})
    in_files = archived_bars(ask(months_query(first, last)), stored, first, last)
    bars = stored if in_files is None else in_files.collect()
    return bars.rename({"timestamp": "stamp"})
