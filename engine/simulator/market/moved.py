"""A market with one wild day: it moves along a given path, within KRX's limits and halts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.columns import PRICES
from engine.market.sessions import Market, Session, previous_sessions
from engine.market.symbols import Contract, Stock
from engine.simulator.market.data import MarketData, draws, instrument, open_session
from engine.simulator.market.price_limits import (
    LEVERAGED,
    Halts,
    halts,
    stand_still,
    within_limits,
    without_halts,
)
from engine.simulator.market.synthetic import on_ticks

KOSPI200 = "KOSPI200"
AHEAD = 1.08  # futures fall so many times as far as the index: in a panic they stand below it


class Move(NamedTuple):
    """A turning point: at this time the index is this share away from where it would be."""

    at: time
    by: float


class MovedMarket:
    """Another market, moved on one day; see `MarketData` for its methods.

    Between two turning points the move changes evenly. Stocks follow it more or less, funds with
    double leverage twice. Nights and all other days are the other market's.
    """

    def __init__(self, market: MarketData, moves: Sequence[Move], day: date) -> None:
        self.day = day
        self._market = market
        self._moves = sorted(moves)
        self.index = lru_cache(maxsize=128)(self._index)
        self.bars = lru_cache(maxsize=1024)(self._bars)
        self.halts = lru_cache(maxsize=1)(self._halts)

    def _is_moved(self, session: Session) -> bool:
        return session.date == self.day and session.market is not Market.NIGHT

    def _index(self, underlying: str, session: Session) -> pl.DataFrame:
        index = self._market.index(underlying, session)
        if not self._is_moved(session):
            return index
        return stand_still(
            self._moved(index, 1.0).with_columns(pl.col(PRICES).round(2)), self.halts()
        )

    def _halts(self) -> Halts:
        """Return when trading stops; the KOSPI 200 decides for all."""
        session = open_session(Market.DERIVATIVES, self.day)
        index = self._moved(self._market.index(KOSPI200, session), 1.0)
        before = open_session(
            Market.DERIVATIVES, previous_sessions(Market.DERIVATIVES, self.day, 1)[0]
        )
        return halts(index, float(self._market.index(KOSPI200, before)["close"][-1]))

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        bars = self._market.bars(symbol, session)
        traded = instrument(symbol)
        if (
            not self._is_moved(session)
            or bars.is_empty()
            or not isinstance(traded, Stock | Contract)
        ):
            return bars
        moved = self._moved(bars, _follows(traded)).with_columns(
            on_ticks(pl.col(name), traded.ticks) for name in PRICES
        )
        base = self._base(symbol, session)
        if base is not None:
            moved = within_limits(moved, base, traded, session)
        return without_halts(moved, self.halts())

    def _base(self, symbol: str, session: Session) -> float | None:
        """Return the close of the session before, on which the limits stand."""
        before = previous_sessions(session.market, session.date, 1)[0]
        bars = self._market.bars(symbol, open_session(session.market, before))
        return None if bars.is_empty() else float(bars["close"][-1])

    def _moved(self, prices: pl.DataFrame, times: float) -> pl.DataFrame:
        """Return prices moved, a bar's open by the move at its start, its close by that at its end.

        A bar's range holds both.
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
        """Return the move so many minutes after each label."""
        minutes = [60 * label.hour + label.minute + later for label in labels]
        points = [60 * at.hour + at.minute + at.second / 60 for at, _ in self._moves]
        return np.asarray(np.interp(minutes, points, [by for _, by in self._moves]))


def _follows(traded: Stock | Contract) -> float:
    """Return how many times the move of the index an instrument moves."""
    if isinstance(traded, Contract):
        return AHEAD
    if traded.code in LEVERAGED:
        return LEVERAGED[traded.code]
    return float(draws("follows", traded.code).uniform(0.6, 2.4))
