"""A market made up from a seed: any session of the calendar, always the same.

The index has one path a session, five steps a minute, with volatility that clusters and is higher
at open and close; futures follow it with carry and noise of a tick, so contracts, index and options
agree with each other. Stocks have paths of their own.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.columns import PRICES
from engine.errors import CalendarRangeError
from engine.market import sessions
from engine.market.products import MINI_KOSPI200, Ticks
from engine.market.sessions import Market, Session, previous_sessions
from engine.market.symbols import Contract, Stock, front_month
from engine.simulator.market.carry import carry
from engine.simulator.market.data import BARS, INDEX, Stop, draws, instrument, minute_starts
from engine.simulator.market.dice import Floats
from engine.simulator.market.price_levels import index_close, stock_close, stock_profile

# The after-market (docs/kis.md#venues): from half an hour after the closing auction until 20:00.
AFTER_MARKET_SINCE = date(2026, 9, 14)
AFTER_CLOSE = timedelta(minutes=30)
AFTER_MARKET_ENDS = time(20)
AFTER_MARKET_BARS = 40
AFTER_MARKET_NOISE = 0.001  # of the price, a step
STEPS = 5  # steps of the path within a minute
FRONT_VOLUME = {"KOSPI200": 210_000, "MINI_KOSPI200": 120_000, "KOSDAQ150": 60_000}
MANY_TRADES = 40  # expected in a minute: with more, none is left without a trade
LOT = 2.0  # contracts in an average trade
LOT_KRW = 300_000  # worth of an average trade of a stock
BACK_SHARE = 0.004  # of the front contract's volume, for the one behind it


class SyntheticMarket:
    """A market that is made up from a seed; see `MarketData` for its methods."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.index = lru_cache(maxsize=128)(self._index)
        self.bars = lru_cache(maxsize=1024)(self._bars)

    def stops(self, _day: date) -> tuple[Stop, ...]:
        """Return nothing: a market that is made up never stops."""
        return ()

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        traded = instrument(symbol)
        if isinstance(traded, Stock):
            return self._stock(traded, session)
        if not isinstance(traded, Contract) or traded.last_day < session.date:
            return BARS.to_frame()
        index = self.index(traded.product.underlying, session)
        return future_bars(index, traded, session, self.seed)

    def _index(self, underlying: str, session: Session) -> pl.DataFrame:
        random = draws(self.seed, underlying, session.market, session.date)
        grid = minute_starts(session)
        if session.market is Market.NIGHT:
            first, last = self._ends_of_night(underlying, session)
            path = _day_path(random, first, last, grid.len(), gap=0, opening_noise=0)
        else:
            first = index_close(self.seed, underlying, _day_before(session))
            last = index_close(self.seed, underlying, session.date)
            path = _day_path(random, first, last, grid.len(), gap=0.35)
        return _ohlc(grid, np.round(path, 2)).select(list(INDEX))

    def _ends_of_night(self, underlying: str, night: Session) -> tuple[float, float]:
        """Return the index at the close of the day before the night, and at the next open."""
        close = index_close(self.seed, underlying, night.date)
        try:
            following = sessions.session(Market.DERIVATIVES, night.trading_day)
        except CalendarRangeError:  # the last night of the calendar leads nowhere
            following = None
        if following is None:
            return close, close
        return close, float(self.index(underlying, following)["open"][0])

    def _stock(self, stock: Stock, session: Session) -> pl.DataFrame:
        first = stock_close(self.seed, stock.code, _day_before(session))
        last = stock_close(self.seed, stock.code, session.date)
        _, _, shares, volatility = stock_profile(stock.code)
        random = draws(self.seed, stock.code, session.date)
        grid = session.labels()
        path = _day_path(random, first, last, grid.len(), gap=0.3, noise=volatility * 0.7)
        volume = _volume(random, grid, session, shares, max(1.0, LOT_KRW / last))
        bars = _finish_bars(_ohlc(grid, path), volume, stock, session)
        if session.date < AFTER_MARKET_SINCE:
            return bars
        return bars.vstack(_after_market(bars, session, random, stock.ticks))


def _day_before(session: Session) -> date:
    return previous_sessions(Market.STOCKS, session.date, 1)[0]


def _after_market(
    bars: pl.DataFrame, session: Session, random: np.random.Generator, ticks: Ticks
) -> pl.DataFrame:
    """Return bars (BARS) around the closing price in some minutes until 20:00, the last one too."""
    if bars.is_empty():
        return bars
    first = session.last_stamp + AFTER_CLOSE
    end = datetime.combine(session.date, AFTER_MARKET_ENDS)
    minutes = int((end - first) / timedelta(minutes=1))
    chosen = np.sort(random.choice(minutes - 1, AFTER_MARKET_BARS - 1, replace=False))
    chosen = np.append(chosen, minutes - 1)
    path = random.normal(0, AFTER_MARKET_NOISE, (AFTER_MARKET_BARS, STEPS)).cumsum(axis=1)
    label = pl.lit(first, pl.Datetime("us")) + pl.duration(minutes="label")
    volume = 4 + random.poisson(1 + int(bars["volume"].sum()) // 20_000, AFTER_MARKET_BARS)
    return (
        _ohlc(pl.Series(chosen), bars["close"][-1] * (1 + path))
        .with_columns(prices_on_ticks(ticks))
        .with_columns(label=label, volume=pl.Series(volume))
        .select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
    )


def _day_path(
    random: np.random.Generator,
    first: float,
    last: float,
    minutes: int,
    *,
    gap: float,
    noise: float = 0.012,
    opening_noise: float = 0.002,
) -> Floats:
    """Return prices, shape (minutes, STEPS), from an open some way off `first` to exactly `last`.

    `gap` is the share of the day's move that the open takes.
    """
    opening = np.log(last / first) * gap + random.normal(0, opening_noise)
    clusters = np.exp(0.25 * _smooth(random, minutes))
    steps = random.standard_normal((minutes, STEPS)) * (u_shape(minutes) * clusters)[:, None]
    walk = np.cumsum(steps.ravel())
    walk *= noise / np.sqrt(minutes * STEPS)
    along = np.linspace(0, 1, walk.size)
    bridge = walk - along * walk[-1] + opening + along * (np.log(last / first) - opening)
    return np.asarray(first * np.exp(bridge)).reshape(minutes, STEPS)


def _smooth(random: np.random.Generator, minutes: int, width: int = 20) -> Floats:
    raw = random.standard_normal(minutes + width - 1)
    return np.asarray(np.convolve(raw, np.ones(width), "valid") / np.sqrt(width) * 2)


def u_shape(minutes: int) -> Floats:
    """Return how busy each minute of a session is: more at the open and towards the close."""
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
    random: np.random.Generator, grid: pl.Series, session: Session, per_day: float, lot: float
) -> NDArray[np.int64]:
    """Return volume per bar: more at both ends, uneven, some 2 % of the day in the auction.

    `lot` is the size of an average trade: where a minute has room for a few only, some minutes have
    none.
    """
    shape = u_shape(grid.len()) * np.exp(random.normal(0, 0.55, grid.len()))
    shape *= per_day / shape.sum()
    if session.auction is not None:
        shape[-1] = per_day * 0.02
    trades = random.poisson(np.minimum(shape / lot, MANY_TRADES))
    return np.asarray(np.where(shape / lot > MANY_TRADES, shape, np.ceil(trades * lot)), "i8")


def future_bars(
    index: pl.DataFrame, contract: Contract, session: Session, seed: int
) -> pl.DataFrame:
    """Return a futures contract's bars that follow the index with carry, on ticks."""
    random = draws(seed, contract.code, session.market, session.date)
    grid = pl.DataFrame({"label": session.labels()}).join(index, on="label", how="left")
    grid = grid.with_columns(pl.exclude("label").forward_fill().backward_fill())
    factor = carry(session.date, contract.last_day)
    noise = random.normal(0, 0.6 * contract.tick_size(0), grid.height)
    rank = _maturities_ahead(contract, session)
    per_day = FRONT_VOLUME[contract.product.name] * BACK_SHARE**rank * np.exp(random.normal(0, 0.2))
    if session.market is Market.NIGHT:
        per_day *= 0.15
    prices = pl.col(PRICES) * factor + pl.Series(noise)
    volume = _volume(random, grid["label"], session, per_day, LOT)
    return _finish_bars(grid.with_columns(prices), volume, contract, session)


def _maturities_ahead(contract: Contract, session: Session) -> int:
    """Return how many contracts of the product expire before this one."""
    front = front_month(contract.product).on(session.date)
    between = 30 if contract.product is MINI_KOSPI200 else 91  # days from one expiry to the next
    return max(0, round((contract.last_day - front.last_day).days / between))


def _finish_bars(
    bars: pl.DataFrame, volume: NDArray[np.int64], symbol: Stock | Contract, session: Session
) -> pl.DataFrame:
    """Put prices on ticks, make the auction one trade, leave out minutes without a trade."""
    is_auction = pl.col("label").eq_missing(pl.lit(session.auction, dtype=pl.Datetime("us")))
    return (
        bars.with_columns(prices_on_ticks(symbol.ticks))
        .with_columns(
            pl.when(is_auction).then("close").otherwise(name).alias(name) for name in PRICES
        )
        .with_columns(volume=pl.Series(volume))
        .filter(pl.col("volume") > 0)
        .select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
    )


@lru_cache(maxsize=16)
def prices_on_ticks(ticks: Ticks) -> tuple[pl.Expr, ...]:
    """Round the four prices of bars to ticks; kept, since they cost more to build than to run."""
    return tuple(column_on_ticks(pl.col(name), ticks) for name in PRICES)


def column_on_ticks(price: pl.Expr, ticks: Ticks) -> pl.Expr:
    """Round a price to ticks, at least one; in whole hundredths, so that 1100.05 is 1100.05."""
    hundredths = pl.lit(max(1, round(ticks[0][1] * 100)))
    for start, tick in ticks[1:]:
        hundredths = pl.when(price >= start).then(round(tick * 100)).otherwise(hundredths)
    return ((price * 100 / hundredths).round() * hundredths / 100).round(2).clip(ticks[0][1], None)
