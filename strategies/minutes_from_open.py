"""Minutes since a session's first stamp, so that sessions with different hours can be compared.

The first stamp is the calendar's, not the first bar's: if the first bars of a day are missing or
late, the other bars of the day keep their minute.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache

import numpy as np
import polars as pl

from engine.errors import InputError
from engine.features.bars import first_of_session
from engine.market.symbols import parse


@cache
def min_from_open() -> pl.Expr:
    """Return the minutes from the session's first stamp: 0 at 08:46, 419 at the auction.

    Reads the frame of `engine.features.bars.in_order`. For a symbol that is not KRX's, or a day
    without a session in the calendar, the stamp of the first bar is used instead.
    """
    of_session = pl.struct("symbol", "session", "session_number")
    calendar = of_session.map_batches(_first_stamps, return_dtype=pl.Datetime("us"))
    first_stamp = pl.coalesce(calendar, first_of_session("timestamp"))
    return (pl.col("timestamp") - first_stamp).dt.total_minutes()


def _first_stamps(bars: pl.Series) -> pl.Series:
    """Ask the calendar once for each session, not for each bar."""
    rows = bars.struct.unnest()
    numbers = rows["session_number"].to_numpy()
    begins = np.flatnonzero(np.diff(numbers, prepend=0))
    stamps = [first_stamp(symbol, day) for symbol, day, _ in rows[begins].iter_rows()]
    lengths = np.diff(begins, append=len(numbers))
    return pl.Series(bars.name, np.repeat(np.array(stamps, "datetime64[us]"), lengths))


def first_stamp(symbol: str, day: date) -> datetime | None:
    """Return the first stamp of a symbol's session; None if it is not KRX's, or has none."""
    try:
        session = parse(symbol).session(day)
    except InputError:
        return None
    return session.first_stamp if session else None
