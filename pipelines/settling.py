"""Which sessions are settled: closed, and every stamp that they owe is stored or explained.

Kept in `settled_sessions`, so that the export and the next validation need not find out again.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.history.owed import market_of, session_of
from engine.store import Store
from engine.store.identifiers import literal, literals

_SESSION = ["symbol", "session"]
_FIGURES = ["owed", "stored", "no_trade", "unavailable"]
_KNOWN = pl.Schema(
    {"symbol": pl.String(), "session": pl.Date()} | dict.fromkeys(_FIGURES, pl.Int64())
)


def span_of(targets: pl.DataFrame) -> tuple[date, date]:
    """Return the first and the last session of targets."""
    days = targets["session"].sort().to_list()
    return days[0], days[-1]


async def settle(
    store: Store, owed: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> None:
    """Keep the sessions of which nothing is open any more, and no others.

    All frames have symbol, session, stamp. A session that is settled with other figures than before
    has yet to be validated.
    """
    figures = _figures(owed, stored, marks, now)
    if figures.is_empty():
        return
    known = await _known(store, figures)
    settled = figures.filter(pl.col("open") == 0).drop("open")
    fresh = settled.join(known, on=[*_SESSION, *_FIGURES], how="anti")
    if fresh.height:
        rows = fresh.with_columns(validated=pl.lit(value=False), updated_at=pl.lit(now))
        await store.merge("settled_sessions", schemas.conform(rows, schemas.SETTLED_SESSIONS))
    torn = known.join(settled, on=_SESSION, how="anti")
    if torn.height:
        keys = ", ".join(f"({literals(key)})" for key in torn.select(_SESSION).iter_rows())
        await store.execute(
            f"DELETE FROM settled_sessions WHERE (symbol, session) IN ({keys})"  # noqa: S608 - quoted
        )


def _figures(
    owed: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Return owed, stored, open, no_trade and unavailable stamps of each sealed session."""
    sealed = [
        (symbol, day, market_of(symbol))
        for symbol, day in owed.select(_SESSION).unique().iter_rows()
        if (session := session_of(symbol, day)) and session.sealed_at <= now
    ]
    schema = {"symbol": pl.String, "session": pl.Date, "market": pl.String}
    states = [
        (pl.col("state") == state).sum().alias(state)
        for state in ("open", "no_trade", "unavailable")
    ]
    return (
        pl.DataFrame(sealed, schema, orient="row")
        .join(owed.group_by(_SESSION).agg(owed=pl.len()), on=_SESSION, how="left")
        .join(stored.group_by(_SESSION).agg(stored=pl.len()), on=_SESSION, how="left")
        .join(marks.group_by(_SESSION).agg(states), on=_SESSION, how="left")
        .with_columns(pl.col(*_FIGURES, "open").fill_null(0).cast(pl.Int64))
    )


async def _known(store: Store, sessions: pl.DataFrame) -> pl.DataFrame:
    first, last = span_of(sessions)
    found = await store.query(
        f"SELECT {', '.join(_KNOWN)} FROM settled_sessions"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(sessions['symbol'].unique().to_list())})"
        f" AND session BETWEEN {literal(first)} AND {literal(last)}"
    )
    return pl.DataFrame(found).cast(_KNOWN).join(sessions, on=_SESSION, how="semi")
