"""A market from a file of recorded bars; what the file lacks is computed around it.

The file is Parquet with symbol, timestamp (KIS's label), open, high, low, close, volume. A symbol
such as `A01_FRONT` is the product's front month, unadjusted: it is served under the code of the
contract in front on the date, and to whoever asks for the next contract's sessions before the roll,
since the file knows no other series (a strategy's warm-up needs it).

Rows are served as they are. Some are not owed by a session, and collectors have to reject them:
the stock file has rows of volume 0 labelled 15:20-15:29, and a code (500029) that is all zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.history.bar_file import scan_bars
from engine.market import instruments
from engine.market.sessions import Market, Session
from engine.simulator.market.carry import carry
from engine.simulator.market.data import BARS, INDEX, minute_starts
from engine.simulator.market.synthetic import SyntheticMarket, future_bars

INDEX_FUTURE = {"KOSPI200": "A01", "KOSDAQ150": "A06"}  # whose front month tells the index


class RecordedMarket:
    """Bars of a file; see the module for the front month and `MarketData` for the answers.

    Other symbols, nights and other contracts come from a `SyntheticMarket`, contracts
    and options of a recorded product around its recorded price. Raises InputError in one line when
    the file cannot be read or lacks a column.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._fallback = SyntheticMarket()
        self._frame = scan_bars(self.path)
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

    def require(self, day: date) -> None:
        """Raise InputError when the file has no bar of any symbol on the day."""
        stamp = pl.col("timestamp").dt.date()
        known = self._frame.select(
            first=stamp.min(), last=stamp.max(), rows=(stamp == day).sum()
        ).collect()
        first, last, rows = known.row(0)
        if not rows:
            raise InputError(f"{self.path} has no bars of {day}; it reaches from {first} to {last}")

    def _load(self, symbol: str) -> dict[date, pl.DataFrame]:
        rows = self._frame.filter(pl.col("symbol") == symbol).rename({"timestamp": "label"})
        days = (
            rows.select(list(BARS))
            .sort("label", maintain_order=True)
            .unique("label", keep="last", maintain_order=True)
            .collect()
            .with_columns(day=pl.col("label").dt.date())
        )
        parts = days.partition_by("day", as_dict=True, include_key=False, maintain_order=True)
        return {day: part for (day,), part in parts.items()}

    def _bars(self, symbol: str, of: Session) -> pl.DataFrame:
        if of.market is Market.NIGHT:
            return self._fallback.bars(symbol, of)
        for name in self._names(symbol, of.date):
            if self._series(name):  # the file knows it: what it lacks was not traded
                return self._series(name).get(of.date, BARS.to_frame())
        if instruments.is_stock(symbol):
            return self._fallback.bars(symbol, of)
        return self._beside_the_front(symbol, of)

    def _names(self, symbol: str, day: date) -> Iterator[str]:
        """Yield the names under which the file may hold the symbol's bars of the day."""
        yield symbol
        if not instruments.is_stock(symbol) and symbol in _fronts(symbol, day):
            product = instruments.product(symbol)
            yield from (f"{product.prefix}_FRONT", f"{product.old_prefix}_FRONT")

    def _beside_the_front(self, symbol: str, of: Session) -> pl.DataFrame:
        contract = instruments.contract(symbol)
        if contract.last_day < of.date or contract.product.kind != "future":
            return BARS.to_frame()
        return future_bars(self.index(contract.product.underlying, of), symbol, of, seed=0)

    def _index(self, underlying: str, of: Session) -> pl.DataFrame:
        """Return the index that the recorded future implies: its price less the carry."""
        code = instruments.front_month(INDEX_FUTURE[underlying], of.date)
        names = [name for name in self._names(code, of.date) if of.date in self._series(name)]
        if not names or of.market is Market.NIGHT:
            return self._fallback.index(underlying, of)
        factor = carry(of.date, instruments.contract(code).last_day)
        return _every_minute(self._series(names[0])[of.date], of, factor)


def _fronts(symbol: str, day: date) -> tuple[str, ...]:
    """Return the product's front contract of the day and the one that follows it."""
    product = instruments.product(symbol)
    if product.kind != "future":
        return ()
    front = instruments.front_month(product.prefix, day)
    roll = instruments.contract(front).last_day + timedelta(days=1)
    return front, instruments.front_month(product.prefix, roll)


def _every_minute(future: pl.DataFrame, of: Session, factor: float) -> pl.DataFrame:
    grid = pl.DataFrame({"label": minute_starts(of)})
    return (
        grid.join(future.drop("volume"), on="label", how="left", maintain_order="left")
        .with_columns(pl.col("close").forward_fill().backward_fill())
        .with_columns(pl.col("open", "high", "low").fill_null(pl.col("close")))
        .with_columns((pl.exclude("label") / factor).round(2))
        .select(list(INDEX))
    )
