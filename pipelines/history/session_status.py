"""What is kept of each closed session. Settled: every owed stamp is stored or explained.

It stands in `kept_sessions`, so that the export need not find out again.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.clock import Clock
from engine.history.gaps import find_gaps
from engine.market.expected import market_of, session_of
from engine.market.symbols import CHAIN_MARKET
from engine.store import Store
from engine.store.identifiers import literal, literals

_SESSION = ["symbol", "session"]
_FIGURES = ["owed", "stored", "no_trade", "unavailable", "open"]
_KNOWN = pl.Schema(
    {"symbol": pl.String(), "session": pl.Date(), "market": pl.String()}
    | dict.fromkeys(_FIGURES, pl.Int64())
    | {"validated": pl.Boolean()}
)


def span_of(targets: pl.DataFrame) -> tuple[date, date]:
    """Return the first and the last session of targets."""
    days = targets["session"].sort().to_list()
    return days[0], days[-1]


async def settle(
    store: Store, owed: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> None:
    """Write down the figures of closed sessions. All frames have symbol, session, stamp.

    A session with other figures than before has yet to be validated.
    """
    figures = _figures(owed, stored, marks, now)
    fresh = figures.join(await figures_of(store, figures), on=[*_SESSION, *_FIGURES], how="anti")
    if fresh.height:
        rows = fresh.with_columns(validated=pl.lit(value=False), updated_at=pl.lit(now))
        await store.merge("kept_sessions", schemas.conform(rows, schemas.KEPT_SESSIONS))


async def unsettled(store: Store, targets: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return the targets that need a look: not settled, or lacking more than is explained.

    Years are looked through at once (`engine.history.gaps`), so that a backfill of a whole history
    costs what its holes cost.
    """
    known = (await figures_of(store, targets)).filter(pl.col("open") == 0)
    lacking = (
        (await find_gaps(store, known.select(_SESSION), clock))
        .group_by(_SESSION)
        .agg(pl.col("bars").sum().alias("lacking"))
    )
    explained = pl.col("no_trade") + pl.col("unavailable")
    quiet = known.join(lacking, on=_SESSION, how="left").filter(
        pl.col("lacking").fill_null(0) == explained, pl.col("market") != CHAIN_MARKET
    )
    return targets.join(quiet, on=_SESSION, how="anti")


async def mark_validated(
    store: Store, good: pl.DataFrame, bad: pl.DataFrame, now: datetime
) -> None:
    """Write down which settled sessions (symbol, session) the checks found good, and which bad."""
    verdicts = pl.concat(
        [
            good.select(_SESSION).with_columns(good=True),
            bad.select(_SESSION).with_columns(good=False),
        ]
    )
    known = await figures_of(store, verdicts)
    settled = pl.col("good") & (pl.col("open") == 0)
    rows = known.join(verdicts, on=_SESSION).filter(pl.col("validated") != settled)
    if rows.height:
        rows = rows.with_columns(validated=settled, updated_at=pl.lit(now))
        await store.merge("kept_sessions", schemas.conform(rows, schemas.KEPT_SESSIONS))


async def validated_sessions(store: Store) -> pl.DataFrame:
    """Return symbol, session of all that are settled and validated: what may be exported."""
    found = await store.query(
        "SELECT symbol, session FROM kept_sessions WHERE open = 0 AND validated ORDER BY 1, 2"
    )
    return pl.DataFrame(found)


def _figures(
    owed: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Return owed, stored, open, no_trade and unavailable stamps of each sealed session."""
    sealed = [
        (symbol, day, market_of(symbol))
        for symbol, day in owed.select(_SESSION).unique().iter_rows()
        if (session := session_of(symbol, day)) and session.sealed_at <= now
    ]
    schema = {name: _KNOWN[name] for name in (*_SESSION, "market")}
    states = [
        (pl.col("state") == state).sum().alias(state)
        for state in ("open", "no_trade", "unavailable")
    ]
    return (
        pl.DataFrame(sealed, schema, orient="row")
        .join(owed.group_by(_SESSION).agg(owed=pl.len()), on=_SESSION, how="left")
        .join(stored.group_by(_SESSION).agg(stored=pl.len()), on=_SESSION, how="left")
        .join(marks.group_by(_SESSION).agg(states), on=_SESSION, how="left")
        .with_columns(pl.col(*_FIGURES).fill_null(0).cast(pl.Int64))
    )


async def figures_of(store: Store, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return what is known of those of the sessions that are closed; columns of `kept_sessions`."""
    if sessions.is_empty():
        return _KNOWN.to_frame()
    first, last = span_of(sessions)
    found = await store.query(
        f"SELECT {', '.join(_KNOWN)} FROM kept_sessions"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(sessions['symbol'].unique().to_list())})"
        f" AND session BETWEEN {literal(first)} AND {literal(last)}"
    )
    return pl.DataFrame(found).cast(_KNOWN).join(sessions, on=_SESSION, how="semi")
