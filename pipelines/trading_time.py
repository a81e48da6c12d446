"""How many minutes of day sessions are left: until the close of the day, and until options end.

Options lose their value while the market is open: nights, weekends and holidays do not count.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl

from engine.errors import CalendarRangeError
from engine.market.hours import MINUTE, Market, session
from engine.market.symbols import OptionChain
from engine.market.trading_days import depends_on_days, trading_days

_DAY = timedelta(days=1)
_KEY = ("underlying_symbol", "on")
_KNOWN = ("opens", "ends", "after")  # of a chain's day
_SCHEMA = pl.Schema(
    {
        "underlying_symbol": pl.String(),
        "on": pl.Date(),
        "opens": pl.Datetime("us"),
        "ends": pl.Datetime("us"),
        "after": pl.Float64(),
    }
)


def with_trading_time(chain: pl.DataFrame, chains: dict[str, OptionChain]) -> pl.LazyFrame:
    """Add trading_to_close and trading_to_expiry, minutes, to rows of these chains by their name.

    The first is NULL outside of a day session, both beyond the calendar.
    """
    dates = chain["timestamp"].dt.date().unique().drop_nulls()
    rows = [(name, on, *_left(one, on)) for name, one in chains.items() for on in dates]
    return _with_days(chain.lazy(), rows).with_columns(*_minutes_left()).drop(_KNOWN)


@cache
def _minutes_left() -> tuple[pl.Expr, pl.Expr]:
    """Return trading_to_close and trading_to_expiry from _KNOWN."""
    now = pl.col("timestamp")
    minutes = (pl.col("ends") - pl.max_horizontal(now, "opens")).dt.total_microseconds() / 60e6
    is_open = now.is_between("opens", "ends")
    until_expiry = minutes.clip(lower_bound=0.0).fill_null(0.0) + pl.col("after")
    return (
        pl.when(is_open).then(minutes).alias("trading_to_close"),
        until_expiry.alias("trading_to_expiry"),
    )


def _with_days(chain: pl.LazyFrame, rows: list[tuple[Any, ...]]) -> pl.LazyFrame:
    """Add _KNOWN of each row's chain and day, which are `rows` of _SCHEMA."""
    if len(rows) == 1:  # one snapshot, as in live use
        return chain.with_columns(*_literals(*rows[0][2:]))
    days = pl.DataFrame(rows, _SCHEMA, orient="row")
    return (
        chain.with_columns(on=pl.col("timestamp").dt.date())
        .join(days.lazy(), on=_KEY, how="left", maintain_order="left")
        .drop("on")
    )


@cache
def _literals(*known: datetime | float | None) -> tuple[pl.Expr, ...]:
    values = zip(_KNOWN, known, strict=True)
    return tuple(pl.lit(value, _SCHEMA[name]).alias(name) for name, value in values)


@depends_on_days
@cache
def _left(chain: OptionChain, day: date) -> tuple[datetime | None, datetime | None, float | None]:
    """Return when the day's session opens and ends, and the minutes of those after it."""
    last = chain.last_day
    try:
        later = trading_days(day + _DAY, last) if day < last else []
        minutes = sum(_minutes(on, on == last) for on in later)
        found = session(Market.DERIVATIVES, day, expiring=day == last) if day <= last else None
    except CalendarRangeError:
        return None, None, None
    return (found.opens, found.last_stamp, minutes) if found else (None, None, minutes)


@depends_on_days
@cache
def _minutes(day: date, expiring: bool) -> float:
    found = session(Market.DERIVATIVES, day, expiring=expiring)
    return (found.last_stamp - found.opens) / MINUTE if found else 0.0
