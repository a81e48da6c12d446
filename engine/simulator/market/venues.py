"""Bars of stocks at Nextrade, and of both exchanges together, made of a market's bars at KRX.

Nextrade follows KRX: its prices lie around KRX's of the minute, before KRX's open around KRX's
first price, with volumes of its own. Both together are what was traded in a minute at either: the
sum of the volumes, the higher high, the lower low.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.columns import PRICES
from engine.market.sessions import Market, Session
from engine.simulator.market.data import BARS, MarketData, draws, instrument, open_session
from engine.simulator.market.synthetic import column_on_ticks

NOISE = 0.0008  # how far a price is off KRX's, as a share of it
SHARE = 0.3  # of KRX's average volume in a minute
IDLE = 0.08  # share of the minutes without a trade
LEAST = 4  # shares in a minute with trades: each of a bar's four prices may take one


def venue_bars(market: MarketData, stock: str, session: Session) -> pl.DataFrame:
    """Return a stock's bars (BARS) in a session of Nextrade (NXT) or both exchanges (UNIFIED)."""
    krx = market.bars(stock, open_session(Market.STOCKS, session.date))
    nextrade = _nextrade(krx, stock, session)
    return nextrade if session.market is Market.NXT else together(krx, nextrade)


def together(krx: pl.DataFrame, nextrade: pl.DataFrame) -> pl.DataFrame:
    """Return the bars of both together, oldest first; KRX trades first in each minute."""
    return (
        pl.concat([krx.select(list(BARS)), nextrade.select(list(BARS))])
        .group_by("label", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("label")
    )


def _nextrade(krx: pl.DataFrame, stock: str, session: Session) -> pl.DataFrame:
    if krx.is_empty():
        return BARS.to_frame()
    grid = pl.DataFrame({"label": session.labels()})
    random = draws("nextrade", stock, session.date)
    around = random.normal(0, NOISE, (len(PRICES), grid.height))
    volume = SHARE * float(krx["volume"].sum()) / krx.height * random.gamma(2.0, 0.5, grid.height)
    idle = random.random(grid.height) < IDLE
    idle[-1] = False  # so that an answer shows the session's end
    price = pl.col("close").forward_fill().backward_fill()
    prices = [price * (1 + pl.Series(noise)) for noise in around]
    ticks = instrument(stock).ticks
    return (
        grid.join_asof(krx.select("label", "close"), on="label", strategy="backward")
        .with_columns(
            open=column_on_ticks(prices[0], ticks),
            high=column_on_ticks(pl.max_horizontal(prices), ticks),
            low=column_on_ticks(pl.min_horizontal(prices), ticks),
            close=column_on_ticks(prices[3], ticks),
            volume=pl.Series(np.maximum(volume, LEAST).astype("i8")),
        )
        .filter(~pl.Series(idle))
        .select(pl.col(name).cast(kind) for name, kind in BARS.items())
    )
