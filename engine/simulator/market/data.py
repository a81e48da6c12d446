"""What the simulator serves: bars of any symbol for any session, and the index underneath.

The server asks a `MarketData` for whole sessions and decides itself what of them is visible at the
moment, so a market knows nothing of the clock. Everything else that KIS answers (option chains,
quotes, boards, series) is computed from these two methods, for a synthetic and a recorded market
alike.
"""

from __future__ import annotations

from datetime import date
from hashlib import blake2b
from typing import Protocol

import numpy as np
import polars as pl

from engine.market.sessions import Market, Session, session

BARS = pl.Schema(
    [
        ("label", pl.Datetime("us")),  # start of the minute, as KIS labels it; the auction its own
        ("open", pl.Float64()),
        ("high", pl.Float64()),
        ("low", pl.Float64()),
        ("close", pl.Float64()),
        ("volume", pl.Int64()),
    ]
)
INDEX = pl.Schema([(name, dtype) for name, dtype in BARS.items() if name != "volume"])


class MarketData(Protocol):
    """A market with all its sessions, past and future; the same question has the same answer."""

    def __hash__(self) -> int:
        """Markets are told apart by identity: what is computed from one is kept for it."""
        ...

    def bars(self, symbol: str, of: Session) -> pl.DataFrame:
        """Return the session's bars of a stock or future in `BARS`, oldest first; empty if none.

        Prices in KRW (stocks) or index points, volumes in shares or contracts. Minutes without a
        trade are absent.
        """
        ...

    def index(self, underlying: str, of: Session) -> pl.DataFrame:
        """Return every minute of the index (KOSPI200, KOSDAQ150) in `INDEX`, oldest first."""
        ...


def open_session(market: Market, day: date) -> Session:
    """Return the session of a day that is known to be one."""
    found = session(market, day)
    if found is None:
        raise ValueError(f"{day} is no session of {market}")
    return found


def minute_starts(session: Session) -> pl.Series:
    """Return the start of each minute of the session, the wait for the auction included.

    An index has a value for each of them. They are labels but for the wait and the auction.
    """
    return session.minute_grid().dt.offset_by("-1m").alias("label")


def draws(*key: object) -> np.random.Generator:
    """Return a random generator that depends on nothing but the key."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
