"""What a simulated market is: bars of any symbol for any session, and the index underneath.

The server asks a `MarketData` for whole sessions and decides itself what of them is visible at the
moment, so a market knows nothing of the clock. Everything else that KIS answers (option chains,
quotes, boards, series) is computed from `bars` and `index`, for a synthetic and a recorded market
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from hashlib import blake2b
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from engine.columns import PRICES
from engine.errors import InputError
from engine.market.sessions import Market, Session, session
from engine.market.symbols import Contract, Option, Stock, parse

Instrument = Stock | Contract | Option
BARS = pl.Schema(
    [
        ("label", pl.Datetime("us")),  # KIS's time of a bar
        *((price, pl.Float64()) for price in PRICES),
        ("volume", pl.Int64()),
    ]
)
INDEX = pl.Schema([(name, dtype) for name, dtype in BARS.items() if name != "volume"])


class Stop(NamedTuple):
    """Trading stops at `begin` and goes on at `end`, in one symbol or (None) in all.

    `kind` is circuit_breaker, halt (of one symbol), vi or sidecar; the last stops programme trading
    alone. `down` says whether prices had fallen.
    """

    kind: str
    begin: datetime
    end: datetime
    symbol: str | None = None
    down: bool = True


class MarketData(Protocol):
    """A market with all its sessions, past and future; it answers a question always alike."""

    def __hash__(self) -> int:
        """Return a hash by identity: what is computed from a market is cached under it."""
        ...

    def bars(self, symbol: str, session: Session) -> pl.DataFrame:
        """Return the session's bars of a stock or future in `BARS`, oldest first; empty if none.

        Prices in KRW (stocks) or index points, volumes in shares or contracts. Minutes without a
        trade are absent.
        """
        ...

    def index(self, underlying: str, session: Session) -> pl.DataFrame:
        """Return every minute of the index (KOSPI200, KOSDAQ150) in `INDEX`, oldest first."""
        ...

    def stops(self, day: date) -> Sequence[Stop]:
        """Return when trading stopped on a day, in the order of time.

        Without the VI of stocks, which follow from their bars (`price_limits.interruption`).
        """
        ...


def instrument(symbol: str) -> Instrument:
    """Return what is traded under a code. Raises InputError for anything else, such as a chain."""
    found = parse(symbol)
    if isinstance(found, Instrument):
        return found
    raise InputError(f"{symbol!r} is not one stock, contract or option")


def open_session(market: Market, day: date) -> Session:
    """Return the session of a day that is known to have one. Raises ValueError if it has none."""
    found = session(market, day)
    if found is None:
        raise ValueError(f"{market} has no session on {day}")
    return found


def minute_starts(session: Session) -> pl.Series:
    """Return the start of each minute of the session, the wait for the auction included.

    An index has a value at each. They are labels, except for those in the wait for the auction.
    """
    return session.minute_grid().dt.offset_by("-1m").alias("label")


def traded_index(market: MarketData, underlying: str, session: Session) -> pl.DataFrame:
    """Return the index as derivatives follow it: it stands still in the wait for the auction.

    Futures do not trade then, so quotes that followed the index would leave them behind.
    """
    index = market.index(underlying, session)
    stands = pl.col("label") >= session.continuous_end
    levels = [pl.when(~stands).then(name).alias(name) for name in PRICES]
    held = index.with_columns(levels).with_columns(pl.col("close").forward_fill())
    return held.with_columns(pl.col(PRICES).fill_null(pl.col("close")))


def draws(*key: object) -> np.random.Generator:
    """Return a random generator that depends on nothing but the key."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
