"""A market from a file of recorded bars; what the file lacks is computed around it.

`engine.history.bar_file` describes the file. A symbol such as `A01_FRONT` is the product's front
month, unadjusted: it is served under the code of the contract in front on the date, and also as
the next contract's sessions before the roll, since the file has no other series for them (a
strategy's warm-up needs them).

Rows are served as they are. Some are not bars that a session expects, and collectors have to reject
them: one file of stocks has rows of volume 0 labelled 15:20-15:29, and a code (500029) whose prices
are all zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

import polars as pl

from engine.columns import PRICES
from engine.errors import InputError
from engine.history.bar_file import scan_bar_file
from engine.history.bar_file_times import BarTimes
from engine.market.products import KOSDAQ150, KOSPI200, Product
from engine.market.sessions import Market, Session
from engine.market.symbols import Contract, Stock, front_month
from engine.simulator.market.carry import carry
from engine.simulator.market.data import (
    BARS,
    INDEX,
    Stop,
    instrument,
    minute_starts,
    open_session,
)
from engine.simulator.market.synthetic import SyntheticMarket, future_bars

INDEX_FUTURE = {"KOSPI200": KOSPI200, "KOSDAQ150": KOSDAQ150}  # whose price implies the index


class RecordedMarket:
    """Bars of a file; see the module for the front month and `MarketData` for the methods.

    What the file lacks comes from a `SyntheticMarket`; other contracts, options and nights of a
    recorded product are made up around its recorded price. `times` says what the times in the file
    are. Raises InputError if the file cannot be read or holds rows that mean nothing.
    """

    def __init__(self, path: Path | str, times: BarTimes | None = None) -> None:
        self.path = Path(path)
        self._fallback = SyntheticMarket()
        self._frame = scan_bar_file(self.path, times=times, as_recorded=True)
        self._series = lru_cache(maxsize=512)(self._load)
        self.index = lru_cache(maxsize=128)(self._index)
        self.bars = lru_cache(maxsize=1024)(self._bars)

    @cached_property
    def symbols(self) -> list[str]:
        """Return the symbols of the file, sorted."""
        return sorted(self._frame.select(pl.col("symbol").unique()).collect()["symbol"])

    def dates(self, symbol: str) -> list[date]:
        """Return the dates of which the file has bars of the symbol, ascending."""
        return sorted(self._series(symbol))

    def stops(self, _day: date) -> tuple[Stop, ...]:
        """Return nothing: a file of bars does not say why minutes are without one."""
        return ()

    def require(self, day: date) -> None:
        """Raise InputError if the file has no bar of any symbol on the day."""
        bar_date = pl.col("timestamp").dt.date()
        span = self._frame.select(
            first=bar_date.min(), last=bar_date.max(), rows=(bar_date == day).sum()
        ).collect()
        first, last, rows = span.row(0)
        if not rows:
            raise InputError(f"{self.path} has no bars of {day}; it reaches from {first} to {last}")

    def _load(self, symbol: str) -> dict[date, pl.DataFrame]:
        rows = self._frame.filter(pl.col("symbol") == symbol).rename({"timestamp": "label"})
        days = rows.select(list(BARS)).collect().with_columns(day=pl.col("label").dt.date())
        parts = days.partition_by("day", as_dict=True, include_key=False, maintain_order=True)
        return {day: part for (day,), part in parts.items()}

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        if session.market is Market.NIGHT:
            return self._night_bars(symbol, session)
        for name in self._names(symbol, session.date):
            if self._series(name):  # on a date that the file lacks, the symbol did not trade
                return self._series(name).get(session.date, BARS.to_frame())
        traded = instrument(symbol)
        if isinstance(traded, Stock):
            return self._fallback.bars(symbol, session)
        if not isinstance(traded, Contract) or traded.last_day < session.date:
            return BARS.to_frame()
        index = self.index(traded.product.underlying, session)
        return future_bars(index, traded, session, seed=0)

    def _night_bars(self, symbol: str, night: Session) -> pl.DataFrame:
        traded = instrument(symbol)
        if not isinstance(traded, Contract) or traded.last_day <= night.date:
            return BARS.to_frame()
        return future_bars(self.index(traded.product.underlying, night), traded, night, seed=0)

    def _names(self, symbol: str, day: date) -> Iterator[str]:
        """Yield the names under which the file may hold the symbol's bars of the day."""
        yield symbol
        traded = instrument(symbol)
        if isinstance(traded, Contract) and traded in _front_and_next(traded.product, day):
            yield front_month(traded.product).code

    def _index(self, underlying: str, session: Session) -> pl.DataFrame:
        """Return the index that the recorded future implies: its price divided by the carry."""
        front, _ = _front_and_next(INDEX_FUTURE[underlying], session.date)
        names = [
            name
            for name in self._names(front.code, session.date)
            if session.date in self._series(name)
        ]
        if not names:
            return self._fallback.index(underlying, session)
        if session.market is Market.NIGHT:
            return self._night(underlying, session)
        factor = carry(session.date, front.last_day)
        return _every_minute(self._series(names[0])[session.date], session, factor)

    def _night(self, underlying: str, night: Session) -> pl.DataFrame:
        """Return a made-up night that begins where the recorded day ended."""
        day = self.index(underlying, open_session(Market.DERIVATIVES, night.date))
        path = self._fallback.index(underlying, night)
        moved = pl.col(PRICES) * (day["close"][-1] / path["open"][0])
        return path.with_columns(moved.round(2))


def _front_and_next(product: Product, day: date) -> tuple[Contract, Contract]:
    """Return the product's front contract of the day and the one that follows it."""
    front = front_month(product).on(day)
    return front, front_month(product).on(front.last_day + timedelta(days=1))


def _every_minute(future: pl.DataFrame, session: Session, factor: float) -> pl.DataFrame:
    grid = pl.DataFrame({"label": minute_starts(session)})
    return (
        grid.join(future.drop("volume"), on="label", how="left", maintain_order="left")
        .with_columns(pl.col("close").forward_fill().backward_fill())
        .with_columns(pl.col("open", "high", "low").fill_null(pl.col("close")))
        .with_columns((pl.exclude("label") / factor).round(2))
        .select(list(INDEX))
    )
