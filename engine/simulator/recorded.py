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
from functools import lru_cache
from pathlib import Path

import polars as pl

from engine import instruments
from engine.errors import InputError
from engine.sessions import Market, Session
from engine.simulator.carry import carry
from engine.simulator.market import BARS, INDEX, MarketData
from engine.simulator.synthetic import SyntheticMarket, future_bars

FRONT = "_FRONT"
COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")


class RecordedMarket:
    """Bars of a file; see the module for the front month and `MarketData` for the answers.

    Raises InputError in one line when the file cannot be read or lacks a column.
    """

    def __init__(self, path: Path | str, fallback: MarketData | None = None) -> None:
        self.path = Path(path)
        self._fallback = fallback or SyntheticMarket()
        self._frame = _scan(self.path)
        self._series = lru_cache(maxsize=512)(self._load)
        self.index = lru_cache(maxsize=512)(self._index)
        self.bars = lru_cache(maxsize=4096)(self._bars)

    @property
    def symbols(self) -> list[str]:
        """Return the symbols of the file, sorted."""
        return self._symbols

    @property
    def _symbols(self) -> list[str]:
        return sorted(self._frame.select(pl.col("symbol").unique()).collect()["symbol"])

    def dates(self, symbol: str) -> list[date]:
        """Return the dates of which the file has bars of the symbol, ascending."""
        return sorted(self._series(symbol))

    def require(self, day: date) -> None:
        """Raise InputError when the file has no bar of any symbol on the day."""
        rows = self._frame.filter(pl.col("timestamp").dt.date() == day)
        if rows.select(pl.len()).collect().item() == 0:
            span = self._frame.select(
                first=pl.col("timestamp").min().dt.date(), last=pl.col("timestamp").max().dt.date()
            ).collect()
            first, last = span.row(0)
            raise InputError(f"{self.path} has no bars of {day}; it reaches from {first} to {last}")

    def _load(self, symbol: str) -> dict[date, pl.DataFrame]:
        rows = (
            self._frame.filter(pl.col("symbol") == symbol)
            .sort("timestamp")
            .unique("timestamp", keep="last", maintain_order=True)
            .rename({"timestamp": "label"})
            .select(list(BARS))
            .collect()
        )
        days = rows.with_columns(day=pl.col("label").dt.date())
        return {key[0]: part.drop("day") for key, part in days.group_by("day", maintain_order=True)}

    def _bars(self, symbol: str, of: Session) -> pl.DataFrame:
        if of.market is Market.NIGHT:
            return self._fallback.bars(symbol, of)
        for name in self._names(symbol, of.date):
            if self._series(name):  # the file knows it: what it lacks was not traded
                return self._series(name).get(of.date, BARS.to_frame())
        if instruments.is_stock(symbol):
            return self._fallback.bars(symbol, of)
        return self._derived(symbol, of)

    def _names(self, symbol: str, day: date) -> Iterator[str]:
        """Yield the names under which the file may hold the symbol's bars of the day."""
        yield symbol
        if not instruments.is_stock(symbol) and symbol in _fronts(symbol, day):
            product = instruments.product(symbol)
            yield product.prefix + FRONT
            yield product.old_prefix + FRONT

    def _derived(self, symbol: str, of: Session) -> pl.DataFrame:
        contract = instruments.contract(symbol)
        if contract.expiry < of.date or contract.product.kind != "future":
            return BARS.to_frame()
        return future_bars(self.index(contract.product.underlying, of), symbol, of, seed=0)

    def _index(self, underlying: str, of: Session) -> pl.DataFrame:
        """Return the index that the recorded future implies: its price less the carry."""
        prefix = "A06" if underlying == "KOSDAQ150" else "A01"
        code = instruments.front_month(prefix, of.date)
        names = [name for name in self._names(code, of.date) if of.date in self._series(name)]
        if not names or of.market is Market.NIGHT:
            return self._fallback.index(underlying, of)
        return _every_minute(
            self._series(names[0])[of.date], of, carry(of.date, instruments.contract(code).expiry)
        )


def _fronts(symbol: str, day: date) -> tuple[str, str]:
    """Return the product's front contract of the day and the one that follows it."""
    prefix = instruments.product(symbol).prefix
    front = instruments.front_month(prefix, day)
    roll = instruments.contract(front).expiry + timedelta(days=1)
    return front, instruments.front_month(prefix, roll)


def _every_minute(future: pl.DataFrame, of: Session, factor: float) -> pl.DataFrame:
    grid = pl.DataFrame({"label": of.minute_grid().dt.offset_by("-1m")})
    prices = future.select("label", pl.col("open", "high", "low", "close"))
    return (
        grid.join(prices, on="label", how="left")
        .with_columns(pl.col("close").forward_fill().backward_fill())
        .with_columns(pl.col("open", "high", "low").fill_null(pl.col("close")))
        .with_columns((pl.exclude("label") / factor).round(2))
        .select(list(INDEX))
    )


def _scan(path: Path) -> pl.LazyFrame:
    if not path.is_file():
        raise InputError(f"{path} is no file: name a Parquet file of recorded bars")
    try:
        frame = pl.scan_parquet(path)
        missing = [name for name in COLUMNS if name not in frame.collect_schema()]
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    prices = {name: pl.Float64 for name in COLUMNS[2:6]}
    return frame.select(COLUMNS).cast(
        {**prices, "timestamp": pl.Datetime("us"), "volume": pl.Int64}
    )
