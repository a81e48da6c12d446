"""The bar of the minute still running: a path inside the minute that ends in the finished bar."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

import orjson

from engine.market.symbols import Stock
from engine.simulator.kis_format import hour_of, price_text
from engine.simulator.market.data import draws, instrument

Values = tuple[datetime, float, float, float, float, int]  # label, prices, volume


class FinishedBar(NamedTuple):
    """A bar as it will be, with all that its partial rows need."""

    symbol: str
    day: date
    values: Values
    before: Values | None  # the bar before it
    turnover_before: int


def running_bar(bar: FinishedBar, now: datetime) -> bytes | None:
    """Return KIS's row for the minute as of `now`; None before its first trade (derivatives).

    A stock has a row before its first trade, too: the last price with, oddly, the volume of the
    minute before (docs/kis.md#stock-minute-bars).
    """
    label, opened, high, low, close, volume = bar.values
    traded = instrument(bar.symbol)
    elapsed = (now - label).total_seconds() / 60
    shape = _shape(bar)
    if elapsed < shape.first_trade:
        if not isinstance(traded, Stock) or bar.before is None:
            return None
        return idle_bar(bar._replace(values=bar.before), label)
    done = (elapsed - shape.first_trade) / (1 - shape.first_trade)
    extremes = (low, high) if shape.low_first else (high, low)
    times = (0.0, shape.first_extreme, (1 + shape.first_extreme) / 2, 1.0)
    price, seen = _walk((opened, *extremes, close), times, done)
    tick = traded.tick_size(price)
    price = min(high, max(low, round(round(price / tick) * tick, 2)))
    so_far = max(1, int(volume * done**shape.volume_power)) if volume else 0
    values = (label, opened, max(*seen, price), min(*seen, price), price, so_far)
    return bar_row(bar, values, so_far)


def idle_bar(last: FinishedBar, label: datetime) -> bytes:
    """Return the row of a minute without a trade so far: price and volume of the last bar."""
    _, _, _, _, close, volume = last.values
    return bar_row(last, (label, close, close, close, close, volume), traded=0)


class _Shape(NamedTuple):
    """How a minute goes on its way to the finished bar; times are shares of the minute."""

    first_trade: float
    low_first: bool  # whether the low comes before the high
    first_extreme: float
    volume_power: float  # volume grows with this power of the time


def _shape(bar: FinishedBar) -> _Shape:
    label, opened, _, _, close, volume = bar.values
    random = draws(bar.symbol, label)
    latest = min(0.9, 4.0 / max(volume, 1) ** 0.5)
    return _Shape(
        float(random.uniform(0, latest)),
        bool(random.random() < (0.7 if close >= opened else 0.3)),
        float(random.uniform(0.15, 0.5)),
        float(random.uniform(0.7, 1.4)),
    )


def _walk(
    turns: tuple[float, ...], times: tuple[float, ...], done: float
) -> tuple[float, tuple[float, ...]]:
    """Return the price at `done` and the turning points passed on the way."""
    passed = sum(time <= done for time in times)
    if passed >= len(turns):
        return turns[-1], turns
    start, end = times[passed - 1], times[passed]
    share = (done - start) / (end - start)
    price = turns[passed - 1] + (turns[passed] - turns[passed - 1]) * share
    return price, turns[:passed]


def bar_row(bar: FinishedBar, values: Values, traded: int) -> bytes:
    """Return KIS's row with these values; `traded` is the volume that adds to the turnover."""
    is_stock = isinstance(instrument(bar.symbol), Stock)
    label, opened, high, low, close, volume = values
    prefix, decimals = ("stck", 0) if is_stock else ("futs", 2)
    product = instrument(bar.symbol).product
    spent = traded * close * (product.multiplier if product else 1)  # KRW
    turnover = bar.turnover_before + round(spent / krw_in_unit(bar.symbol))
    row = {
        "stck_bsop_date": f"{bar.day:%Y%m%d}",
        "stck_cntg_hour": hour_of(label, bar.day),
        f"{prefix}_prpr": price_text(close, decimals),
        f"{prefix}_oprc": price_text(opened, decimals),
        f"{prefix}_hgpr": price_text(high, decimals),
        f"{prefix}_lwpr": price_text(low, decimals),
        "cntg_vol": str(volume),
        "acml_tr_pbmn": str(turnover),
    }
    return orjson.dumps(row)


def krw_in_unit(symbol: str) -> int:
    """Return in how many KRW KIS counts turnover: 1,000 of derivatives, 1 of stocks."""
    return 1_000 if instrument(symbol).product else 1
