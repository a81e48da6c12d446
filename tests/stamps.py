"""The sessions and expected stamps of symbols, as most tests want them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.market.expected import SESSIONS, expected_stamps
from engine.market.hours import Session
from engine.market.symbols import parse
from engine.market.trading_days import trading_days


def stamps_between(symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Symbol, session, stamp from start to end; a front name such as A01_FRONT keeps its name."""
    pairs = [
        (symbol, day)
        for symbol in sorted(set(symbols))
        for day in trading_days(start, end)
        if parse(symbol).session(day)
    ]
    sessions = pl.DataFrame(pairs, SESSIONS, orient="row")
    return expected_stamps(sessions).select("symbol", "session", "stamp")


def session_on(symbol: str, day: date) -> Session:
    """Return the session that a symbol has on a day."""
    found = parse(symbol).session(day)
    assert found is not None
    return found
