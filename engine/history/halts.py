"""Which minutes without a trade lie in a halt: the reason for them, never a proof.

What settles a minute is decided by KIS's answers about its bar alone (`engine.history.evidence`).
Only then, if KIS has said that trading was halted in that minute (table market_events), its state
becomes `halted` instead of `no_trade`.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from engine.columns import STAMP, TIME
from engine.market.sessions import Session
from engine.store import Store, ledger
from engine.store.identifiers import literal, literals

MINUTE = timedelta(minutes=1)
REASONS = {  # by kind of event, the stronger one first; a sidecar stops programme trading alone
    "circuit_breaker": "a circuit breaker had halted trading",
    "halt": "trading of the symbol was halted",
    "vi": "its volatility interruption (VI) had put trading into an auction",
}
EVENTS = pl.Schema([("kind", pl.String()), ("started_at", TIME), ("ended_at", TIME)])


def name_halts(marks: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return the marks (ledger.MARKS) with those halted that are no_trade and lie in an event.

    `events` (EVENTS) are those of the marks' symbol. One without an end lasts.
    """
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


async def read_events(store: Store, symbol: str, session: Session) -> pl.DataFrame:
    """Return the EVENTS of a symbol, or of its whole market, that began in a session."""
    names = literals([symbol, session.market.value])
    found = await store.query(
        f"SELECT {', '.join(EVENTS)} FROM market_events WHERE symbol IN ({names})"  # noqa: S608 - quoted
        f" AND started_at >= {literal(session.opens - timedelta(hours=1))}"
        f" AND started_at < {literal(session.sealed_at)}"
    )
    return pl.DataFrame(found).cast(EVENTS)
