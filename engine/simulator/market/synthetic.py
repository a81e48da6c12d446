"""A market made up from a seed: any session of the calendar, always the same.

One path of the index per session, five steps a minute, with volatility that clusters and is higher
at open and close; futures follow it with carry and noise of a tick, so contracts, index and options
agree with each other. Stocks have paths of their own.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.market import instruments
from engine.market.sessions import Market, Session, previous_sessions
from engine.simulator.market.carry import carry
from engine.simulator.market.data import BARS, INDEX, draws, minute_starts
from engine.simulator.market.price_levels import index_close, stock_close, stock_profile

Floats = NDArray[np.float64]

# The after-market (KIS.md): 16:00-20:00, that is from half an hour after the closing auction on.
AFTER_MARKET_SINCE, AFTER_CLOSE, AFTER_MARKET_ENDS = (
    date(2026, 9, 14),
    timedelta(minutes=30),
    time(20),
)
AFTER_MARKET_BARS = 40
STEPS = 5  # steps of the path within a minute
FRONT_VOLUME = {"KOSPI200": 210_000, "MINI_KOSPI200": 120_000, "KOSDAQ150": 60_000}
MANY_TRADES = 40  # in a minute: from here on none is without a trade
LOT = 2.0  # contracts in an average trade
LOT_KRW = 300_000  # worth of an average trade of a stock
BACK_SHARE = 0.004  # of the front contract's volume, for the one behind it


class SyntheticMarket:
    """A market that is nowhere but here; see `MarketData` for what it answers."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.index = lru_cache(maxsize=128)(self._index)
        self.bars = lru_cache(maxsize=1024)(self._bars)

    def _bars(self, symbol: str, of: Session) -> pl.DataFrame:
        if instruments.is_stock(symbol):
            return self._stock(symbol, of)
        contract = instruments.contract(symbol)
        if contract.expiry < of.date or contract.product.kind != "future":
            return BARS.to_frame()
        index = self.index(contract.product.underlying, of)
        return future_bars(index, symbol, of, self.seed)

    def _index(self, underlying: str, of: Session) -> pl.DataFrame:
        first, last = (index_close(self.seed, underlying, day) for day in (_before(of), of.date))
        if of.market is Market.NIGHT:  # the night goes half of the way to the next day's open
            first, last = last, last * float(np.exp(draws(self.seed, of).normal(0, 0.004)))
        random = draws(self.seed, underlying, of.market, of.date)
        grid = minute_starts(of)
        path = _day_path(random, first, last, grid.len(), gap=0.35)
        return _ohlc(grid, np.round(path, 2)).select(list(INDEX))

    def _stock(self, code: str, of: Session) -> pl.DataFrame:
        first, last = (stock_close(self.seed, code, day) for day in (_before(of), of.date))
        _, _, shares, volatility = stock_profile(code)
        random, grid = draws(self.seed, code, of.date), of.labels()
        path = _day_path(random, first, last, grid.len(), gap=0.3, noise=volatility * 0.7)
        volume = _volume(random, grid, of, shares, max(1.0, LOT_KRW / last))
        bars = _traded(_ohlc(grid, path), volume, code, of)
        return (
            bars if of.date < AFTER_MARKET_SINCE else bars.vstack(_after_market(bars, of, random))
        )


def _before(of: Session) -> date:
    return previous_sessions(Market.STOCKS, of.date, 1)[0]


def _after_market(bars: pl.DataFrame, of: Session, random: np.random.Generator) -> pl.DataFrame:
    """Return trades at the closing price until 20:00, which no session of ours owes."""
    if bars.is_empty():
        return bars
    first = of.last_stamp + AFTER_CLOSE
    minutes = int((datetime.combine(of.date, AFTER_MARKET_ENDS) - first) / timedelta(minutes=1))
    traded = np.sort(random.choice(minutes, AFTER_MARKET_BARS, replace=False))
    return pl.DataFrame({"minute": traded}).select(
        label=pl.lit(first, pl.Datetime("us")) + pl.duration(minutes="minute"),
        **{name: pl.lit(bars["close"][-1]) for name in ("open", "high", "low", "close")},
        volume=pl.lit(1 + bars["volume"].sum() // 20_000, pl.Int64),
    )


def _day_path(
    random: np.random.Generator,
    first: float,
    last: float,
    minutes: int,
    *,
    gap: float,
    noise: float = 0.012,
) -> Floats:
    """Return minutes x STEPS prices from an open gapped off `first` to exactly `last`."""
    opening = np.log(last / first) * gap + random.normal(0, 0.002)
    clusters = np.exp(0.25 * _smooth(random, minutes))
    steps = random.standard_normal((minutes, STEPS)) * (_u_shape(minutes) * clusters)[:, None]
    walk = np.cumsum(steps.ravel())
    walk *= noise / np.sqrt(minutes * STEPS)
    along = np.linspace(0, 1, walk.size)
    bridge = walk - along * walk[-1] + opening + along * (np.log(last / first) - opening)
    return np.asarray(first * np.exp(bridge)).reshape(minutes, STEPS)


def _smooth(random: np.random.Generator, minutes: int, width: int = 20) -> Floats:
    raw = random.standard_normal(minutes + width - 1)
    return np.asarray(np.convolve(raw, np.ones(width), "valid") / np.sqrt(width) * 2)


def _u_shape(minutes: int) -> Floats:
    along = np.linspace(0, 1, minutes)
    return 0.7 + 1.3 * np.exp(-along * 12) + 0.6 * np.exp((along - 1) * 15)


def _ohlc(grid: pl.Series, path: Floats) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "label": grid,
            "open": path[:, 0],
            "high": path.max(axis=1),
            "low": path.min(axis=1),
            "close": path[:, -1],
        }
    )


def _volume(
    random: np.random.Generator, grid: pl.Series, of: Session, per_day: float, lot: float
) -> NDArray[np.int64]:
    """Return volume per bar: U-shaped, uneven, the auction with some 2 % of the day.

    `lot` is the size of an average trade: where fewer than a few fit into a minute, some minutes
    have none.
    """
    shape = _u_shape(grid.len()) * np.exp(random.normal(0, 0.55, grid.len()))
    shape *= per_day / shape.sum()
    if of.auction is not None:
        shape[-1] = per_day * 0.02
    trades = random.poisson(np.minimum(shape / lot, MANY_TRADES))
    return np.asarray(np.where(shape / lot > MANY_TRADES, shape, np.ceil(trades * lot)), "i8")


def future_bars(index: pl.DataFrame, symbol: str, of: Session, seed: int) -> pl.DataFrame:
    """Return a futures contract's bars that follow the index with carry, on ticks."""
    contract = instruments.contract(symbol)
    product, random = contract.product, draws(seed, symbol, of.market, of.date)
    grid = pl.DataFrame({"label": of.labels()}).join(index, on="label", how="left")
    grid = grid.with_columns(pl.exclude("label").forward_fill().backward_fill())
    factor = carry(of.date, contract.expiry)
    tick = instruments.tick_size(product, 0)
    noise = random.normal(0, 0.6 * tick, grid.height)
    rank = _maturities_ahead(product.prefix, contract.expiry, of)
    per_day = FRONT_VOLUME[product.name] * BACK_SHARE**rank * np.exp(random.normal(0, 0.2))
    if of.market is Market.NIGHT:
        per_day *= 0.15
    prices = pl.col("open", "high", "low", "close") * factor + pl.Series(noise)
    return _traded(
        grid.with_columns(prices), _volume(random, grid["label"], of, per_day, LOT), symbol, of
    )


def _maturities_ahead(prefix: str, expiry: date, of: Session) -> int:
    front = instruments.contract(instruments.front_month(prefix, of.date)).expiry
    days = (expiry - front).days
    return int(max(0, round(days / 91 if prefix != "A05" else days / 30)))


def _traded(
    bars: pl.DataFrame, volume: NDArray[np.int64], symbol: str, of: Session
) -> pl.DataFrame:
    """Put prices on ticks, make the auction one trade, leave out minutes without a trade."""
    single = pl.col("label").eq_missing(pl.lit(of.auction, dtype=pl.Datetime("us")))
    prices = ["open", "high", "low", "close"]
    return (
        bars.with_columns(_on_ticks(pl.col(name), symbol) for name in prices)
        .with_columns(pl.when(single).then("close").otherwise(name).alias(name) for name in prices)
        .with_columns(volume=pl.Series(volume))
        .filter(pl.col("volume") > 0)
        .select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
    )


def _on_ticks(price: pl.Expr, symbol: str) -> pl.Expr:
    """Round to the symbol's ticks, in whole hundredths so that 1100.05 is 1100.05."""
    ticks = (
        instruments.STOCK_TICKS
        if instruments.is_stock(symbol)
        else instruments.product(symbol).ticks
    )
    hundredths = pl.lit(max(1, round(ticks[0][1] * 100)))
    for start, tick in ticks[1:]:
        hundredths = pl.when(price >= start).then(round(tick * 100)).otherwise(hundredths)
    return ((price * 100 / hundredths).round() * hundredths / 100).round(2).clip(ticks[0][1], None)
