"""A market in which a stock is split: from then on KIS gives its earlier prices adjusted."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import polars as pl

from engine.columns import PRICES
from engine.market.sessions import Session
from engine.simulator.market.data import MarketData


class SplitMarket:
    """Another market with one stock's prices before a day (`effective`) multiplied by a factor.

    The other market has the prices that were paid at the time. The multiplied ones are whole KRW,
    as KIS rounds them, and volumes are divided by the factor. See `MarketData` for the methods.
    """

    def __init__(self, market: MarketData, symbol: str, effective: date, factor: float) -> None:
        self._market = market
        self._symbol, self._effective, self._factor = symbol, effective, factor
        self.index, self.stops = market.index, market.stops
        self.bars = lru_cache(maxsize=1024)(self._bars)

    def price_factor(self, symbol: str, day: date) -> float:
        """Return the factor by which the prices of a day are multiplied; 1 if they are not."""
        return self._factor if symbol == self._symbol and day < self._effective else 1.0

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        bars = self._market.bars(symbol, session)
        factor = self.price_factor(symbol, session.date)
        if factor == 1.0:
            return bars
        return bars.with_columns(
            (pl.col(PRICES) * factor).round(0), (pl.col("volume") / factor).round(0).cast(pl.Int64)
        )


def original_days(market: MarketData, symbol: str, days: pl.DataFrame) -> pl.DataFrame:
    """Return days (date, prices in KRW, volume) as they were at the time."""
    if not isinstance(market, SplitMarket) or days.is_empty():
        return days
    factors = pl.Series([market.price_factor(symbol, day) for day in days["date"]])
    return days.with_columns((pl.col(PRICES) / factors).round(0), volume=pl.col("volume") * factors)
