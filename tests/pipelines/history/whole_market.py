"""A simulated market as large as the real one: busy stocks, thin ones, and halted ones."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import polars as pl

from engine.market.sessions import Session
from engine.market.symbols import Stock, parse
from engine.simulator.market.data import draws
from engine.simulator.market.listed_stocks import listed_stocks
from engine.simulator.market.price_levels import STOCKS
from engine.simulator.market.synthetic import SyntheticMarket

THIN = 0.3  # of all stocks
PAGE = 120  # rows of an answer


class WholeMarket(SyntheticMarket):
    """The synthetic market in which those stocks do not trade that its master files call halted.

    And three of ten trade in few minutes, from a handful to most of the day; none of those with a
    name of its own.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._halted = lru_cache(8)(self._halted_on)

    def _halted_on(self, day: date) -> set[str]:
        listed = pl.concat(
            listed_stocks(self, name, day).select("code", "halted") for name in ("KOSPI", "KOSDAQ")
        )
        return set(listed.filter(pl.col("halted") == "Y")["code"])

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        if symbol in self._halted(session.date):
            return super()._bars(symbol, session).clear()
        return self._thinned(symbol, super()._bars(symbol, session))

    def _thinned(self, symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
        random = draws(self.seed, "thin", symbol)
        if symbol in STOCKS or not isinstance(parse(symbol), Stock) or random.random() >= THIN:
            return bars
        share = random.uniform(0.01, 0.9)
        return bars.filter(pl.Series(random.random(bars.height) < share))


def fewest_calls(bars: int) -> int:
    """The calls that bring so many bars of a stock: one even for a stock without bars."""
    return max(1, -(-bars // PAGE))
