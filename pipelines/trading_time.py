"""How many minutes of day sessions are left: until the close of the day, and until options end.

Options lose their value while the market is open: nights, weekends and holidays do not count.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache

import polars as pl

from engine.errors import CalendarRangeError
from engine.market.hours import MINUTE, Market, session
from engine.market.symbols import OptionChain
from engine.market.trading_days import depends_on_days, trading_days

_DAY = timedelta(days=1)
_KEY = ("underlying_symbol", "on")
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
    now = pl.col("timestamp")
    dates = chain["timestamp"].dt.date().unique().drop_nulls()
    rows = [(name, on, *_left(one, on)) for name, one in chains.items() for on in dates]
    minutes = (pl.col("ends") - pl.max_horizontal(now, "opens")).dt.total_microseconds() / 60e6
    is_open = now.is_between("opens", "ends")
    return (
        _with_days(chain.lazy(), pl.DataFrame(rows, _SCHEMA, orient="row"))
        .with_columns(
            trading_to_close=pl.when(is_open).then(minutes),
            trading_to_expiry=minutes.clip(lower_bound=0.0).fill_null(0.0) + pl.col("after"),
        )
        .drop("opens", "ends", "after")
    )


def _with_days(chain: pl.LazyFrame, days: pl.DataFrame) -> pl.LazyFrame:
    """Add opens, ends and after of each row's chain and day."""
    if days.height == 1:  # one snapshot, as in live use
        return chain.with_columns(
            pl.lit(days[name][0], _SCHEMA[name]).alias(name) for name in days.columns[2:]
        )
    return (
        chain.with_columns(on=pl.col("timestamp").dt.date())
        .join(days.lazy(), on=_KEY, how="left", maintain_order="left")
        .drop("on")
    )


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
