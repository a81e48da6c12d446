"""A market with one wild day: it moves along a given path, within KRX's limits and halts.

Single symbols can be halted on that day as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.columns import PRICES
from engine.market.hours import MINUTE
from engine.market.sessions import Market, Session, previous_sessions
from engine.market.symbols import Contract, Stock
from engine.simulator.market.data import MarketData, Stop, draws, instrument, open_session
from engine.simulator.market.price_limits import (
    LEVERAGED,
    Halts,
    halts,
    interruption,
    sidecar,
    stand_still,
    within_limits,
    without_halts,
)
from engine.simulator.market.synthetic import column_on_ticks

KOSPI200 = "KOSPI200"
AHEAD = 1.08  # futures move so many times as far as the index: in a panic they stand below it


class Move(NamedTuple):
    """A turning point: at this time the index is this share away from where it would be."""

    at: time
    by: float


class SymbolHalt(NamedTuple):
    """A symbol is halted from a time of day on, for so many minutes."""

    symbol: str
    at: time
    minutes: int


class MovedMarket:
    """Another market, moved on one day; see `MarketData` for its methods.

    Between two turning points the move changes evenly. Stocks move 0.6 to 2.4 times as far, funds
    with double leverage twice; without turning points nothing moves. Nights and all other days are
    the other market's.
    """

    def __init__(
        self,
        market: MarketData,
        moves: Sequence[Move],
        day: date,
        symbol_halts: Sequence[SymbolHalt] = (),
    ) -> None:
        self.day = day
        self._market = market
        self._moves = sorted(moves)
        self._symbol_halts = symbol_halts
        self.index = lru_cache(maxsize=128)(self._index)
        self.bars = lru_cache(maxsize=1024)(self._bars)
        self.halts = lru_cache(maxsize=1)(self._halts)

    def _is_moved(self, session: Session) -> bool:
        return session.date == self.day and session.market is not Market.NIGHT

    def _index(self, underlying: str, session: Session) -> pl.DataFrame:
        index = self._market.index(underlying, session)
        if not self._is_moved(session) or not self._moves:
            return index
        return stand_still(
            self._moved(index, 1.0).with_columns(pl.col(PRICES).round(2)), self.halts()
        )

    def stops(self, day: date) -> Sequence[Stop]:
        """Return the circuit breaker, the sidecar and the halts of single symbols of the day."""
        if day != self.day:
            return self._market.stops(day)
        breaker = [Stop("circuit_breaker", begin, end) for begin, end in self.halts()]
        single = [
            Stop("halt", begin, begin + timedelta(minutes=minutes), symbol)
            for symbol, at, minutes in self._symbol_halts
            for begin in [datetime.combine(day, at)]
        ]
        programmes = sidecar(*self._index_without_halts(), AHEAD) if self._moves else []
        return sorted([*breaker, *single, *programmes], key=lambda stop: stop.begin)

    def _halts(self) -> Halts:
        """Return when trading stops for all; the KOSPI 200 decides."""
        return halts(*self._index_without_halts()) if self._moves else ()

    def _index_without_halts(self) -> tuple[pl.DataFrame, float]:
        """Return the KOSPI 200 of the day as it would be without halts, and its previous close."""
        session = open_session(Market.DERIVATIVES, self.day)
        index = self._moved(self._market.index(KOSPI200, session), 1.0)
        before = open_session(
            Market.DERIVATIVES, previous_sessions(Market.DERIVATIVES, self.day, 1)[0]
        )
        return index, float(self._market.index(KOSPI200, before)["close"][-1])

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        bars = self._market.bars(symbol, session)
        traded = instrument(symbol)
        if (
            not self._is_moved(session)
            or bars.is_empty()
            or not isinstance(traded, Stock | Contract)
        ):
            return bars
        moved = self._within_limits(bars, traded, session) if self._moves else bars
        single = [(s.begin, s.end) for s in self.stops(self.day) if s.symbol == symbol]
        traded_bars = without_halts(moved, [*self.halts(), *single])
        if not self._moves or not isinstance(traded, Stock):
            return traded_bars
        # The minute of the jump has trades before the auction, the one in which it ends after it.
        jumped = interruption(traded_bars, symbol)
        return without_halts(traded_bars, [(vi.begin + MINUTE, vi.end) for vi in jumped])

    def _within_limits(
        self, bars: pl.DataFrame, traded: Stock | Contract, session: Session
    ) -> pl.DataFrame:
        """Return bars moved, on ticks and within the limits."""
        moved = self._moved(bars, _follows(traded)).with_columns(
            column_on_ticks(pl.col(name), traded.ticks) for name in PRICES
        )
        base = self._base(traded.code, session)
        return moved if base is None else within_limits(moved, base, traded, session)

    def _base(self, symbol: str, session: Session) -> float | None:
        """Return the close of the session before, on which the limits stand."""
        before = previous_sessions(session.market, session.date, 1)[0]
        bars = self._market.bars(symbol, open_session(session.market, before))
        return None if bars.is_empty() else float(bars["close"][-1])

    def _moved(self, prices: pl.DataFrame, times: float) -> pl.DataFrame:
        """Return prices moved: a bar's open by the move at its start, its close by that at its end.

        High and low are moved by the mean of the two, and widened to hold open and close.
        """
        labels = prices["label"].to_list()
        start = 1 + times * self._at(labels, 0.0)
        end = 1 + times * self._at(labels, 1.0)
        moved = prices.with_columns(
            open=pl.col("open") * pl.Series(start),
            close=pl.col("close") * pl.Series(end),
            high=pl.col("high") * pl.Series((start + end) / 2),
            low=pl.col("low") * pl.Series((start + end) / 2),
        )
        return moved.with_columns(high=pl.max_horizontal(PRICES), low=pl.min_horizontal(PRICES))

    def _at(self, labels: Sequence[datetime], later: float) -> NDArray[np.float64]:
        """Return the move (a share of the price) `later` minutes after each label."""
        minutes = [60 * label.hour + label.minute + later for label in labels]
        points = [60 * at.hour + at.minute + at.second / 60 for at, _ in self._moves]
        return np.asarray(np.interp(minutes, points, [by for _, by in self._moves]))


def _follows(traded: Stock | Contract) -> float:
    """Return an instrument's move as a multiple of the index's."""
    if isinstance(traded, Contract):
        return AHEAD
    if traded.code in LEVERAGED:
        return LEVERAGED[traded.code]
    return float(draws("follows", traded.code).uniform(0.6, 2.4))
