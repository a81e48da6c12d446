"""Prices on ticks, many at once: rounded to one, the next above and the next below."""

from __future__ import annotations

import numpy as np

from engine.market.products import Ticks
from engine.simulator.market.dice import Floats


def on_ticks(price: Floats, ticks: Ticks) -> Floats:
    """Return the nearest prices on ticks, at least one tick, in whole hundredths."""
    step = _hundredths(price, ticks)
    return np.asarray(np.maximum(np.round(price * 100 / step), 1) * step / 100)


def next_price(price: Floats, ticks: Ticks, count: int = 1) -> Floats:
    """Return the price `count` ticks higher."""
    return np.asarray(np.round(price + count * _hundredths(price, ticks) / 100, 2))


def previous_price(price: Floats, ticks: Ticks, count: int = 1) -> Floats:
    """Return the price `count` ticks lower; 0 below the lowest, as KIS writes where nobody bids."""
    step = _hundredths(price - 1e-6, ticks)  # down from 2,000 KRW the tick is 1, not 5
    return np.asarray(np.maximum(np.round(price - count * step / 100, 2), 0.0))


def _hundredths(price: Floats, ticks: Ticks) -> Floats:
    """Return the tick at each price, in hundredths."""
    starts = np.array([start for start, _ in ticks])
    steps = np.array([max(1.0, round(tick * 100)) for _, tick in ticks])
    return np.asarray(steps[np.maximum(np.searchsorted(starts, price, side="right") - 1, 0)])
