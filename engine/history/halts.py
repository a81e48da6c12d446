"""Which minutes without a trade lie in a halt: the reason for them, never a proof.

What settles a minute is decided by KIS's answers about its bar alone (`engine.history.evidence`).
Only then, if KIS has said that trading was halted in that minute (table market_events), its state
becomes `halted` instead of `no_trade`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl

from engine.columns import STAMP, TIME
from engine.market.hours import MINUTE
from engine.market.sessions import Session
from engine.store import Store, ledger
from engine.store.identifiers import literal, literals

AUCTION = timedelta(minutes=11)  # after a circuit breaker: ten minutes, and up to 30 s by chance
REASONS = {  # by kind of event, the stronger one first; a sidecar stops programme trading alone
    "circuit_breaker": "a circuit breaker had halted trading",
    "halt": "trading of the symbol was halted",
    "vi": "its volatility interruption (VI) had put trading into an auction",
}
EVENTS = pl.Schema([("kind", pl.String()), ("started_at", TIME), ("ended_at", TIME)])


def name_halts(
    marks: pl.DataFrame, events: pl.DataFrame, traded: Collection[datetime] = ()
) -> pl.DataFrame:
    """Return the marks (ledger.MARKS) with those halted that are no_trade and lie in an event.

    `events` (EVENTS) are those of the marks' symbol, `traded` the stamps of its bars. An event
    whose end was not told lasts until the next bar; a circuit breaker, after which trading goes on
    with an auction, until then as well, but no longer than AUCTION.
    """
    events = _until_trading(events, pl.Series(sorted(traded), dtype=TIME))
    settled = marks.filter(pl.col("state") == "no_trade").select(STAMP)
    kinds = list(REASONS)
    known = events.filter(pl.col("kind").is_in(kinds)).with_columns(
        why=pl.col("kind").replace_strict(REASONS, return_dtype=pl.String),
        rank=pl.col("kind").replace_strict(kinds, range(len(kinds)), return_dtype=pl.Int64),
    )
    if settled.is_empty() or known.is_empty():
        return marks
    begins_before = pl.col("started_at") < pl.col("stamp")
    ends_after = pl.col("ended_at").is_null() | (pl.col("ended_at") > pl.col("stamp") - MINUTE)
    halted = (
        settled.join(known, how="cross")
        .filter(begins_before & ends_after)
        .sort("rank")
        .unique(STAMP, keep="first", maintain_order=True)
        .select(*STAMP, "why")
    )
    named = marks.join(halted, on=STAMP, how="left", maintain_order="left")
    is_halted = pl.col("why").is_not_null()
    return named.with_columns(
        state=pl.when(is_halted).then(pl.lit("halted")).otherwise("state"),
        reason=pl.when(is_halted).then("why").otherwise("reason"),
    ).select(list(ledger.MARKS))


def _until_trading(events: pl.DataFrame, traded: pl.Series) -> pl.DataFrame:
    """Return the events with the ends that bars prove: that of the minute before the next bar."""
    after = pl.coalesce("ended_at", "started_at").alias("after")
    bars = traded.to_frame("next_bar").sort("next_bar")
    # A bar's trades may lie in any part of its minute; the next one after that has ended the halt.
    found = (
        events.with_columns(after)
        .sort("after")
        .join_asof(
            bars.with_columns(from_minute=pl.col("next_bar") - MINUTE),
            left_on="after",
            right_on="from_minute",
            strategy="forward",
        )
    )
    goes_on = pl.col("from_minute")
    auction = (pl.col("kind") == "circuit_breaker") & (goes_on - pl.col("ended_at") <= AUCTION)
    return found.with_columns(
        ended_at=pl.when(pl.col("ended_at").is_null() | auction)
        .then(pl.coalesce(goes_on, "ended_at"))
        .otherwise("ended_at")
    ).select(events.columns)


async def read_events(store: Store, symbol: str, session: Session) -> pl.DataFrame:
    """Return the EVENTS of a symbol, or of its whole market, that began in a session."""
    names = literals([symbol, session.market.value])
    found = await store.query(
        f"SELECT {', '.join(EVENTS)} FROM market_events WHERE symbol IN ({names})"  # noqa: S608 - quoted
        f" AND started_at >= {literal(session.opens - timedelta(hours=1))}"
        f" AND started_at < {literal(session.sealed_at)}"
    )
    return pl.DataFrame(found).cast(EVENTS)
