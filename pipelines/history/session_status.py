"""The status of each closed session, kept in the table `kept_sessions`.

A session is settled when nothing of it is open: each expected stamp is stored, known to be without
a trade, or unavailable. The table saves the export from finding that out again.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.clock import Clock
from engine.columns import SESSION, TIME
from engine.history.completeness import WITHOUT_TRADE
from engine.history.gaps import find_gaps
from engine.market.sessions import Market
from engine.market.symbols import CHAIN_MARKET, parse
from engine.store import Store
from engine.store.identifiers import literal, literals

COUNTS = [
    "owed",
    "stored",
    "no_trade",
    "unavailable",
    "refused",
    "open",
]  # owed: the expected stamps
_KNOWN = pl.Schema(
    {"symbol": pl.String(), "session": pl.Date(), "market": pl.String()}
    | dict.fromkeys(COUNTS, pl.Int64())
    | {"validated": pl.Boolean(), "updated_at": TIME}
)


def session_span(targets: pl.DataFrame) -> tuple[date, date]:
    """Return the first and the last session of targets."""
    days = targets["session"].sort().to_list()
    return days[0], days[-1]


async def store_status(
    store: Store, expected: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> None:
    """Store the counts of closed sessions. All frames have symbol, session, stamp.

    A session with other counts than before has yet to be validated.
    """
    await _store_counts(store, _closed_counts(expected, stored, marks, now), now)


async def store_clean_status(store: Store, clean: pl.DataFrame, now: datetime) -> None:
    """Store the counts of sealed sessions of stocks in which nothing is open (clean.COUNTS)."""
    none = dict.fromkeys(("unavailable", "refused", "open"), 0)
    market = pl.lit(Market.STOCKS.value)
    await _store_counts(store, clean.with_columns(market=market, **none), now)


async def _store_counts(store: Store, counts: pl.DataFrame, now: datetime) -> None:
    known = await read_status(store, counts)
    changed = counts.join(known, on=[*SESSION, *COUNTS], how="anti").join(
        known.select(*SESSION, "updated_at"), on=SESSION, how="left"
    )
    if changed.height:
        await _write(store, changed.with_columns(validated=pl.lit(value=False)), now)


async def _write(store: Store, rows: pl.DataFrame, now: datetime) -> None:
    """Write rows, which have the `updated_at` of those that they replace (null: none).

    None is dated before the row that it replaces, or the merge would drop it as outdated: each job
    on a simulated history begins at the same hour.
    """
    dated = rows.with_columns(updated_at=pl.max_horizontal("updated_at", pl.lit(now)))
    await store.merge("kept_sessions", schemas.conform(dated, schemas.KEPT_SESSIONS))


async def unsettled_sessions(store: Store, targets: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return the targets that are not settled, or that lack more bars than the ledger explains.

    Years are compared at once (`engine.history.gaps`), so that a backfill of a whole history costs
    what its holes cost. What the ledger has open is not settled, whatever the table says: a process
    may have died between the two.
    """
    known = (await read_status(store, targets)).filter(pl.col("open") == 0, pl.col("refused") == 0)
    lacking = (
        (await find_gaps(store, known.select(SESSION), clock))
        .group_by(SESSION)
        .agg(pl.col("bars").sum().alias("lacking"))
    )
    explained = pl.col("owed") - pl.col("stored")  # for whatever reason: nothing of it is open
    settled = known.join(lacking, on=SESSION, how="left").filter(
        pl.col("lacking").fill_null(0) == explained, pl.col("market") != CHAIN_MARKET
    )
    settled = settled.join(await _open_sessions(store, settled), on=SESSION, how="anti")
    return targets.join(settled, on=SESSION, how="anti")


async def _open_sessions(store: Store, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session of what the ledger has open within the span of sessions."""
    if sessions.is_empty():
        return sessions.select(SESSION)
    first, last = session_span(sessions)
    found = await store.query(
        "SELECT DISTINCT symbol, session FROM gaps WHERE state = 'open'"  # noqa: S608 - quoted
        f" AND session BETWEEN {literal(first)} AND {literal(last)}"
    )
    return pl.DataFrame(found).cast({name: _KNOWN[name] for name in SESSION})


async def mark_validated(
    store: Store, good: pl.DataFrame, bad: pl.DataFrame, now: datetime
) -> None:
    """Store which sessions (symbol, session) the checks found good, and which bad.

    Only a settled session counts as validated.
    """
    verdicts = pl.concat(
        [
            good.select(SESSION).with_columns(good=True),
            bad.select(SESSION).with_columns(good=False),
        ]
    )
    known = await read_status(store, verdicts)
    validated = pl.col("good") & (pl.col("open") == 0)
    rows = known.join(verdicts, on=SESSION).filter(pl.col("validated") != validated)
    if rows.height:
        await _write(store, rows.with_columns(validated=validated), now)


async def validated_sessions(store: Store) -> pl.DataFrame:
    """Return symbol, session of all that are settled and validated: what may be exported."""
    found = await store.query(
        "SELECT symbol, session FROM kept_sessions WHERE open = 0 AND validated ORDER BY 1, 2"
    )
    return pl.DataFrame(found)


def _closed_counts(
    expected: pl.DataFrame, stored: pl.DataFrame, marks: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Return how many stamps of each sealed session are expected (owed), stored, open …"""
    sealed = [
        (symbol, day, parse(symbol).ledger_market)
        for symbol, day in expected.select(SESSION).unique().iter_rows()
        if (session := parse(symbol).session(day)) and session.sealed_at <= now
    ]
    schema = {name: _KNOWN[name] for name in (*SESSION, "market")}
    states = [
        (pl.col("state") == state).sum().alias(state)
        for state in ("open", "refused", "unavailable")
    ]
    states.append(pl.col("state").is_in(WITHOUT_TRADE).sum().alias("no_trade"))
    return (
        pl.DataFrame(sealed, schema, orient="row")
        .join(expected.group_by(SESSION).agg(owed=pl.len()), on=SESSION, how="left")
        .join(stored.group_by(SESSION).agg(stored=pl.len()), on=SESSION, how="left")
        .join(marks.group_by(SESSION).agg(states), on=SESSION, how="left")
        .with_columns(pl.col(*COUNTS).fill_null(0).cast(pl.Int64))
    )


async def read_status(store: Store, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `kept_sessions` of the sessions (symbol, session) that it has."""
    if sessions.is_empty():
        return _KNOWN.to_frame()
    first, last = session_span(sessions)
    found = await store.query(
        f"SELECT {', '.join(_KNOWN)} FROM kept_sessions"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(sessions['symbol'].unique().to_list())})"
        f" AND session BETWEEN {literal(first)} AND {literal(last)}"
    )
    return pl.DataFrame(found).cast(_KNOWN).join(sessions, on=SESSION, how="semi")
