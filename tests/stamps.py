"""The expected stamps of symbols over days, as most tests want them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.market.expected import SESSIONS, expected_stamps
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
