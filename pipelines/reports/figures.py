"""Figures of sessions, and their missing minutes: counted in the database as far as that suffices.

Of a swept market nearly all sessions are whole, or lack what the ledger explains: the number of
their bars shows it. Only of the others are minutes read, part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from engine.columns import SESSION
from engine.history.archived import archived_bars, months_query
from engine.history.collection import sessions_to_collect
from engine.history.completeness import (
    FIGURES,
    MINUTES,
    MISSING,
    figures,
    ledger_query,
    minutes_until,
)
from engine.history.queries import stamp_queries
from engine.market.expected import SESSIONS, expected_stamps
from engine.market.sessions import Market, previous_sessions, session
from engine.market.symbols import Stock, parse
from engine.store import ledger
from engine.store.identifiers import literal, literals
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.reports.sql_text import sql_text

Ask = Callable[[str], pl.DataFrame]  # a SELECT → its result
LAST_SESSIONS = 5
AT_ONCE = 1_500  # sessions whose minutes are counted at once: half a million rows
NEWEST = pl.Schema([*SESSIONS.items(), ("stamp", pl.Datetime("us"))])
_STAMPS = pl.Schema([("symbol", pl.String()), ("stamp", pl.Datetime("us"))])
_COUNTS = pl.Schema([*SESSIONS.items(), ("bars", pl.Int64()), ("stored", pl.Int64())])
_KEPT = ("owed", "kept_stored", "unavailable", "refused", "no_trade")
_SETTLED = pl.Schema(
    [
        *SESSIONS.items(),
        *((name, pl.Int64()) for name in _KEPT),
        ("is_archived", pl.Boolean()),
    ]
)
_BY_DAY = ["session", "symbol"]
_ANY_STOCK = "005930"  # all stocks keep the same hours


@dataclass(frozen=True)
class SessionFigures:
    """What became by a moment of the minutes of sessions that ought to have been collected."""

    wanted: pl.DataFrame  # SESSIONS
    figures: pl.DataFrame  # FIGURES of those that have begun
    missing: pl.DataFrame  # MINUTES that are missing
    newest: pl.DataFrame  # NEWEST stored stamp of the sessions whose minutes were read


def read_session_figures(
    ask: Ask,
    first: date,
    last: date,
    now: datetime,
    feed: Feed | None = None,
    *,
    with_missing: bool = True,
) -> SessionFigures:
    """Read SessionFigures of the sessions from first to last.

    Without `with_missing` no minute is read either of sessions of which the ledger says what is
    lost.
    """
    counts = _stock_sessions(ask, first, last, now)
    known = pl.concat([counts.select(list(SESSIONS)), _other_sessions(ask, first, last)])
    wanted = _wanted(ask, known, first, last, now, feed)
    settled = _settled(ask, counts, wanted, now)
    if with_missing:
        settled = settled.filter(pl.col("missing") == 0)
    others = wanted.join(settled, on=SESSION, how="anti")
    read = [_read_minutes(ask, part, now) for part in _parts(others)]
    return SessionFigures(
        wanted,
        pl.concat([FIGURES.to_frame(), settled, *(part.figures for part in read)]).sort(SESSION),
        pl.concat([MINUTES.to_frame(), *(part.missing for part in read)]).sort("symbol", "stamp"),
        pl.concat([NEWEST.to_frame(), *(part.newest for part in read)]),
    )


def _stock_sessions(ask: Ask, first: date, last: date, now: datetime) -> pl.DataFrame:
    """Return symbol, session, bars, stored of the stocks of which any bar is in the database.

    `stored` are those bars that stand at a minute until now at which one is expected.
    """
    found = [_COUNTS.to_frame()]
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        begin = datetime.combine(day, time())
        span = {
            "begin": literal(begin),
            "end": literal(begin + timedelta(days=1)),
            "stamps": literals(_expected(day, now)) or "NULL",
        }
        counted = ask(sql_text("standing", "stock_sessions.sql", **span))
        found.append(counted.with_columns(session=pl.lit(day)).select(list(_COUNTS)).cast(_COUNTS))
    return pl.concat(found)


def _other_sessions(ask: Ask, first: date, last: date) -> pl.DataFrame:
    """Return SESSIONS of all else of which anything is stored.

    The state of futures is kept as it comes: only what was to be collected can be missing.
    """
    begin, end = datetime.combine(first, time()), datetime.combine(last, time())
    span = {"begin": literal(begin), "end": literal(end + timedelta(days=2))}  # nights reach on
    known = ask(sql_text("standing", "stored_sessions.sql", **span)).cast(SESSIONS)
    return known.filter(pl.col("session").is_between(first, last))


def _wanted(
    ask: Ask, known: pl.DataFrame, first: date, last: date, now: datetime, feed: Feed | None
) -> pl.DataFrame:
    """Return the sessions that ought to be collected; of `known` ones something is stored."""
    begin = min(first, *previous_sessions(Market.STOCKS, last, LAST_SESSIONS))
    span = {"first": literal(begin), "last": literal(last)}
    planned = ask(sql_text("standing", "planned_sessions.sql", **span)).cast(SESSIONS)
    if planned.is_empty() and begin < first:  # of a time before collectors wrote that down
        before = first - timedelta(days=1)
        bars = _stock_sessions(ask, begin, before, now).select(list(SESSIONS))
        known = pl.concat([known, bars, _other_sessions(ask, begin, before)])
    told = ask(sql_text("standing", "known_sessions.sql", **span)).cast(SESSIONS)
    usual = plan(feed, last).kept if feed else []
    return sessions_to_collect(planned, pl.concat([told, known]), first, last, usual)


def _settled(ask: Ask, counts: pl.DataFrame, wanted: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return FIGURES of the stocks' sessions of which the number of bars says all.

    They are whole, or sealed and have as many bars as when the ledger explained the rest, which it
    still does.
    """
    if wanted.is_empty():
        return FIGURES.to_frame()
    days = wanted["session"].unique().sort()
    span = {"first": literal(days[0]), "last": literal(days[-1])}
    kept = ask(sql_text("standing", "settled_sessions.sql", **span)).cast(_SETTLED)
    expected = {day: len(_expected(day, now)) for day in days}
    sealed = {day: number for day, number in expected.items() if _is_sealed(day, now)}
    day = pl.col("session")
    so_far = day.replace_strict(expected, default=None, return_dtype=pl.Int64())
    in_all = day.replace_strict(sealed, default=None, return_dtype=pl.Int64())
    known = counts.join(wanted, on=SESSION, how="semi")
    is_whole = (pl.col("stored") == so_far) & (so_far > 0)
    whole = known.filter(is_whole)
    in_files = pl.col("bars").is_null() & pl.col("is_archived")
    as_many = pl.col("stored").fill_null(0) == pl.col("kept_stored")
    same = (
        kept.join(wanted, on=SESSION, how="semi")
        .join(whole, on=SESSION, how="anti")
        .join(known, on=SESSION, how="left")
        .filter(pl.col("owed") == in_all, as_many | in_files)
    )
    return pl.concat([_whole_figures(whole), _kept_figures(same)])


def _expected(day: date, now: datetime) -> pl.Series:
    """Return the stamps until now at which a stock ought to have a bar on a day."""
    one = pl.DataFrame({"symbol": [_ANY_STOCK], "session": [day]}, SESSIONS)
    return expected_stamps(one).filter(pl.col("stamp") <= now)["stamp"]


def _is_sealed(day: date, now: datetime) -> bool:
    found = session(Market.STOCKS, day)
    return found is not None and found.sealed_at <= now


def _kept_figures(kept: pl.DataFrame) -> pl.DataFrame:
    """Return FIGURES of sessions that are kept and in which nothing is open."""
    return kept.with_columns(
        expected="owed",
        stored="kept_stored",
        missing=pl.col("unavailable") + pl.col("refused"),
        open=pl.lit(0),
    ).select(pl.col(name).cast(kind) for name, kind in FIGURES.items())


def _whole_figures(counts: pl.DataFrame) -> pl.DataFrame:
    """Return FIGURES of sessions that have all their bars."""
    none = {name: pl.lit(0) for name in ("missing", *MISSING, "no_trade")}
    return counts.with_columns(expected="stored", **none).select(
        pl.col(name).cast(kind) for name, kind in FIGURES.items()
    )


def _parts(sessions: pl.DataFrame) -> list[pl.DataFrame]:
    """Divide sessions by days, so that the minutes of each part fit in memory.

    Stocks are read by themselves, and each part for all its symbols on all its days.
    """
    stocks = [code for code in sessions["symbol"].unique() if isinstance(parse(code), Stock)]
    is_stock = pl.col("symbol").is_in(stocks)
    parts = []
    for kind in (is_stock, ~is_stock):
        part: list[pl.DataFrame] = []
        symbols: set[str] = set()
        for of_day in sessions.filter(kind).sort(_BY_DAY).partition_by("session"):
            of_both = symbols.union(of_day["symbol"])
            if part and len(of_both) * (len(part) + 1) > AT_ONCE:
                parts.append(pl.concat(part))
                part, of_both = [], set(of_day["symbol"])
            part.append(of_day)
            symbols = of_both
        parts += [pl.concat(part)] if part else []
    return parts


def _read_minutes(ask: Ask, sessions: pl.DataFrame, now: datetime) -> SessionFigures:
    """Read the minutes of sessions, count them, and keep those that are missing."""
    begin, end = sessions["session"].min(), sessions["session"].max()
    symbols = sessions["symbol"].unique().sort().to_list()
    rows = ask(f"{ledger_query(begin, end)} AND symbol IN ({literals(symbols)})")  # type: ignore[arg-type]
    stored = _stored(ask, begin, end, symbols)  # type: ignore[arg-type]
    minutes = minutes_until(now, sessions, stored, rows.cast(ledger.ROWS))
    there = minutes.filter(pl.col("state") == "stored")
    newest = there.group_by(SESSION).agg(pl.col("stamp").max()).cast(NEWEST)
    lacking = minutes.filter(pl.col("state").is_in(MISSING))
    return SessionFigures(sessions, figures(minutes), lacking, newest)


def _stored(ask: Ask, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    """Return symbol and stamp of what is stored, in the database and in files."""
    found = [ask(query).cast(_STAMPS) for query in stamp_queries(first, last, symbols)]
    stored = pl.concat([_STAMPS.to_frame(), *found]).rename({"stamp": "timestamp"})
    months = ask(months_query(first, last))
    in_files = archived_bars(months, stored, first, last, symbols)
    bars = stored if in_files is None else in_files.collect()
    return bars.rename({"timestamp": "stamp"})
