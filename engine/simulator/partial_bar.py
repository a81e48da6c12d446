"""The bar of the minute still running: a path inside the minute that ends in the finished bar."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

import orjson

from engine.market import instruments
from engine.simulator.kis_format import price_text
from engine.simulator.market.data import draws

Values = tuple[datetime, float, float, float, float, int]


class FinishedBar(NamedTuple):
    """A bar as it will be, with what the partial one needs to know besides."""

    symbol: str
    day: date
    bar: Values
    before: Values | None  # the bar before it
    turnover_before: int


def running_bar(of: FinishedBar, now: datetime) -> bytes | None:
    """Return KIS's row for the minute as of `now`; None before its first trade (derivatives).

    Of a stock there is a row before the first trade, too: the last price with, oddly, the volume
    of the minute before (KIS.md).
    """
    label, opened, high, low, close, volume = of.bar
    elapsed = (now - label).total_seconds() / 60
    first_trade, low_first, bend, quicker = _shape(of)
    if elapsed < first_trade:
        if not instruments.is_stock(of.symbol) or of.before is None:
            return None
        return idle_bar(of._replace(bar=of.before), label)
    done = (elapsed - first_trade) / (1 - first_trade)
    turns = (opened, *((low, high) if low_first else (high, low)), close)
    price, seen = _walk(turns, (0.0, bend, bend + (1 - bend) / 2, 1.0), done)
    tick = instruments.tick_size(of.symbol, price)
    price = min(high, max(low, round(round(price / tick) * tick, 2)))
    so_far = max(1, int(volume * done**quicker)) if volume else 0
    return bar_row(of, (label, opened, max(*seen, price), min(*seen, price), price, so_far), so_far)


def idle_bar(last: FinishedBar, label: datetime) -> bytes:
    """Return the row of a minute without a trade so far: price and volume of the last bar."""
    _, _, _, _, close, volume = last.bar
    return bar_row(last, (label, close, close, close, close, volume), traded=0)


def _shape(of: FinishedBar) -> tuple[float, bool, float, float]:
    """Return when the first trade comes, which extreme comes first, when, and how volume grows."""
    label, opened, _, _, close, volume = of.bar
    random = draws(of.symbol, label)
    latest = min(0.9, 4.0 / max(volume, 1) ** 0.5)
    return (
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


def bar_row(of: FinishedBar, bar: Values, traded: int) -> bytes:
    """Return KIS's row with these values; `traded` is what they add to the day's turnover."""
    stock = instruments.is_stock(of.symbol)
    label, opened, high, low, close, volume = bar
    prefix, decimals = ("stck", 0) if stock else ("futs", 2)
    unit = 1.0 if stock else instruments.product(of.symbol).multiplier / 1_000
    row = {
        "stck_bsop_date": f"{of.day:%Y%m%d}",
        "stck_cntg_hour": _hour(label, of.day),
        f"{prefix}_prpr": price_text(close, decimals),
        f"{prefix}_oprc": price_text(opened, decimals),
        f"{prefix}_hgpr": price_text(high, decimals),
        f"{prefix}_lwpr": price_text(low, decimals),
        "cntg_vol": str(volume),
        "acml_tr_pbmn": str(of.turnover_before + round(traded * close * unit)),
    }
    return orjson.dumps(row)


def _hour(label: datetime, day: date) -> str:
    minutes = int((label - datetime(day.year, day.month, day.day)) / timedelta(minutes=1))
    return f"{minutes // 60:02d}{minutes % 60:02d}00"
