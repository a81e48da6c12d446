"""KRX's price limits and circuit breaker, as they act on the bars of a day.

What is known of them is in docs/kis.md#price-limits. Derivatives have three steps around the
previous close: 8, 15 and 20 %. A step that is reached holds for some minutes more, in which the
price can stand still at the limit; then the next one holds, upwards and downwards. Stocks have one
limit for the whole day. The circuit breaker stops all markets for twenty minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import ceil, floor

import polars as pl

from engine.columns import PRICES
from engine.market.hours import MINUTE
from engine.market.products import Ticks
from engine.market.sessions import Session
from engine.market.symbols import Stock
from engine.simulator.market.data import BARS, Instrument, Stop

STEPS = (0.08, 0.15, 0.20)
WIDENS_AFTER = timedelta(minutes=5)  # since a limit was reached
FIRST_HOLDS = timedelta(minutes=15)  # since the open: until 09:00
STOCK_LIMIT = 0.30
# Funds with double leverage, and how many times the KOSPI200's move theirs is.
LEVERAGED = {"122630": 2.0, "252670": -2.0, "123320": 2.0, "267770": 2.0}
LEVERAGED_LIMIT = 0.60
QUIET = 0.1  # of the usual volume, while a price stands at its limit

# The circuit breaker: two minutes in a row end so far below the previous close, so the index has
# been there for a minute.
BREAKER = (0.08, 0.15)
HALT = timedelta(minutes=20)
LAST_HALT = time(14, 50)
REOPENING = 8  # times the usual volume, in the first minute after a halt

# A sidecar holds programme trading back for five minutes, once a day, when a minute of the futures
# ends so far from the previous close; not in the first five minutes nor late in the day.
SIDECAR = 0.05
SIDECAR_LASTS = timedelta(minutes=5)
SIDECAR_FROM = time(9, 5)

VI = 0.10  # of a stock's price from its open: the static VI, an auction of two minutes
VI_LASTS = timedelta(minutes=2)

Halts = Sequence[tuple[datetime, datetime]]  # label of the first minute without trades; with again


@dataclass(frozen=True)
class PriceLimits:
    """The lowest and the highest price that a session allows."""

    low: float
    high: float


def price_limits(base: float, share: float, ticks: Ticks) -> PriceLimits:
    """Return the limits `share` below and above the base price, rounded inwards to the tick."""
    return PriceLimits(
        _on_tick(base * (1 - share), ticks, ceil), _on_tick(base * (1 + share), ticks, floor)
    )


def _on_tick(price: float, ticks: Ticks, rounded: Callable[[float], int]) -> float:
    tick = [tick for start, tick in ticks if price >= start][-1]
    return round(rounded(round(price / tick, 6)) * tick, 2)


def limit_steps(symbol: Instrument) -> tuple[float, ...]:
    """Return an instrument's limits, one after the other, as shares of the base price."""
    if isinstance(symbol, Stock):
        return (LEVERAGED_LIMIT if symbol.code in LEVERAGED else STOCK_LIMIT,)
    return STEPS


def widened_at(
    bars: pl.DataFrame, base: float, symbol: Instrument, session: Session
) -> list[datetime]:
    """Return the moments at which the second and the third limit of a session began to hold."""
    return _walk(bars, base, symbol, session)[1]


def within_limits(
    bars: pl.DataFrame, base: float, symbol: Instrument, session: Session
) -> pl.DataFrame:
    """Return the bars (BARS) as the limits leave them: a price beyond a limit stands at it."""
    return pl.DataFrame(_walk(bars, base, symbol, session)[0], BARS, orient="row")


def _walk(
    bars: pl.DataFrame, base: float, symbol: Instrument, session: Session
) -> tuple[list[tuple[datetime, float, float, float, float, int]], list[datetime]]:
    """Return the rows within the limits, and the moments at which the limits were widened."""
    limits = [price_limits(base, share, symbol.ticks) for share in limit_steps(symbol)]
    rows = []
    widened: list[datetime] = []
    widens: datetime | None = None
    for label, *prices, volume in bars.select(list(BARS)).iter_rows():
        if widens and label >= widens:
            widened.append(widens)
            widens = None
        now = limits[len(widened)]
        inside = [min(max(price, now.low), now.high) for price in prices]
        locked = max(inside) == min(inside) and inside != prices
        rows.append((label, *inside, max(1, int(volume * QUIET)) if locked else volume))
        reached = min(inside) <= now.low or max(inside) >= now.high
        if reached and widens is None and len(widened) + 1 < len(limits):
            widens = max(label + MINUTE + WIDENS_AFTER, session.opens + FIRST_HOLDS)
    return rows, widened


def halts(index: pl.DataFrame, before: float) -> Halts:
    """Return when trading stops on a day with this index, which closed at `before` the day before.

    The index is what it would be without halts; it stands still in each.
    """
    found: list[tuple[datetime, datetime]] = []
    minutes_below = 0
    for label, close in index.select("label", "close").iter_rows():
        if len(found) == len(BREAKER) or label.time() >= LAST_HALT:
            break
        if found and label < found[-1][1]:
            continue
        minutes_below = minutes_below + 1 if close <= before * (1 - BREAKER[len(found)]) else 0
        if minutes_below == 2:
            found.append((label + MINUTE, label + MINUTE + HALT))
            minutes_below = 0
    return found


def sidecar(index: pl.DataFrame, before: float, ahead: float) -> list[Stop]:
    """Return a day's sidecar, if it has one. Futures move `ahead` times as far as the index."""
    move = (pl.col("close") / before - 1) * ahead
    late = pl.col("label").dt.time().is_between(SIDECAR_FROM, LAST_HALT, closed="left")
    for label, by in index.filter(late, move.abs() >= SIDECAR).select("label", by=move).iter_rows():
        begin = label + MINUTE
        return [Stop("sidecar", begin, begin + SIDECAR_LASTS, down=by < 0)]
    return []


def interruption(bars: pl.DataFrame, symbol: str) -> list[Stop]:
    """Return a stock's VI, at most one a day: from the first minute that ends VI from the open."""
    far = pl.col("close") / pl.col("open").first() - 1
    for label, by in bars.select("label", by=far).filter(pl.col("by").abs() >= VI).iter_rows():
        return [Stop("vi", label, label + VI_LASTS, symbol, down=by < 0)]
    return []


def without_halts(bars: pl.DataFrame, stopped: Halts) -> pl.DataFrame:
    """Return the bars without those of the halts; after each, an auction's volume trades."""
    label = pl.col("label")
    for begin, end in stopped:
        bars = bars.filter(~label.is_between(begin, end, closed="left"))
        reopens = label == bars.filter(label >= end)["label"].min()
        bars = bars.with_columns(
            volume=pl.when(reopens).then(pl.col("volume") * REOPENING).otherwise("volume")
        )
    return bars


def stand_still(index: pl.DataFrame, stopped: Halts) -> pl.DataFrame:
    """Return the index (INDEX) with its last value kept while trading is halted."""
    label = pl.col("label")
    inside = pl.lit(value=False)
    for begin, end in stopped:
        inside |= label.is_between(begin, end, closed="left")
    kept = index.with_columns(
        pl.when(inside).then(None).otherwise(pl.col(name)).alias(name) for name in PRICES
    ).with_columns(pl.col("close").forward_fill())
    return kept.with_columns(
        pl.col(name).fill_null(pl.col("close")) for name in PRICES if name != "close"
    ).select(index.columns)
