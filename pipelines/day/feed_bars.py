"""Bars of the feed on their way to the database: which are committed, and which REST must give."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from engine import schemas
from engine.columns import BARS
from engine.fetchers.stock import TIMEFRAME
from engine.market.hours import MINUTE
from pipelines.day_plan import DayPlan

# An answer about a stock has 30 bars, so what REST has not confirmed must not grow beyond that.
CONFIRM_EVERY = timedelta(minutes=25)

_Key = tuple[str, datetime]  # symbol and stamp


@dataclass(frozen=True)
class GoodBars:
    """The complete bars of some minutes (FEED_BARS, by symbol and time).

    `values` are those that REST has not confirmed yet, in BARS; `places` where the bars stand of
    them that are not committed so far. `tables` has the symbols of each table.
    """

    bars: pl.DataFrame
    complete: Sequence[_Key]
    values: Mapping[_Key, tuple[Any, ...]]
    places: Sequence[int]
    tables: Mapping[str, Collection[str]]

    def by_table(self, now: datetime) -> dict[str, list[pa.RecordBatch]]:
        """Return what is to be committed in the columns of its tables, a batch a symbol."""
        symbols = self.bars["symbol"].to_list()
        found = {}
        for table, held in self.tables.items():
            own = [place for place in self.places if symbols[place] in held]
            if own:
                batch = _stored_columns(table, self.bars[own], now)
                counts = [len(list(g)) for _, g in itertools.groupby(own, symbols.__getitem__)]
                ends = itertools.accumulate(counts)
                found[table] = [batch.slice(e - n, n) for e, n in zip(ends, counts, strict=True)]
        return found


class FeedBars:
    """What is known of the bars of a day's symbols: complete, committed, confirmed by REST."""

    def __init__(self, plan: DayPlan) -> None:
        self._sessions = {bars.symbol: bars.session for bars in plan.bars}
        self._complete: dict[str, set[datetime]] = {bars.symbol: set() for bars in plan.bars}
        # The last ones: a bar is given again when the next trade proves it, with the same values.
        self._committed: dict[str, dict[_Key, tuple[Any, ...]]] = {}
        self._confirmed = {bars.symbol: bars.session.opens for bars in plan.bars}
        self._turns = turns_to_confirm(list(self._sessions))
        self._tables: dict[str, set[str]] = {}  # that of the futures first: strategies wait for it
        for bars in sorted(plan.bars, key=lambda one: one.symbol not in plan.futures):
            self._tables.setdefault(bars.table, set()).add(bars.symbol)

    def needs_poll(self, symbol: str, stamp: datetime) -> bool:
        """Say whether KIS must be asked by REST for the symbol's bars up to a stamp."""
        confirmed = self._confirmed[symbol]
        session = self._sessions[symbol]
        its_turn = (stamp - session.opens) % CONFIRM_EVERY == self._turns[symbol] * MINUTE
        if stamp - confirmed >= (CONFIRM_EVERY / 2 if its_turn else CONFIRM_EVERY):
            return True
        stamps = session.stamps()
        open_stamps = stamps.filter((stamps > confirmed) & (stamps <= stamp))
        return not self._complete[symbol].issuperset(open_stamps)

    def note_confirmed(self, symbol: str, stamps: set[datetime]) -> None:
        """Note that REST has given bars: up to the newest of them the feed has no say any more."""
        if symbol in self._confirmed and stamps:
            self._confirmed[symbol] = max(self._confirmed[symbol], *stamps)

    def to_commit(self, bars: pl.DataFrame) -> GoodBars:
        """Return those bars (FEED_BARS, by symbol and time) that are complete.

        A bar is not complete any more where a later trade has shown that one is missing.
        """
        keys = bars.select("symbol", "timestamp").rows()
        for symbol, stamp in keys:
            self._complete[symbol].discard(stamp)
        complete = [n for n, known in enumerate(bars["complete"].to_list()) if known]
        rows = bars.select(BARS.names()).rows()
        values = {keys[n]: rows[n] for n in complete if keys[n][1] > self._confirmed[keys[n][0]]}
        places = [
            n
            for n in complete
            if keys[n] in values and self._committed.get(keys[n][0], {}).get(keys[n]) != rows[n]
        ]
        return GoodBars(bars, [keys[n] for n in complete], values, places, self._tables)

    def note_committed(self, good: GoodBars, refused: Collection[str]) -> None:
        """Note that bars are committed, but those of the symbols that were refused."""
        for symbol in set(good.bars["symbol"]).difference(refused):
            self._committed[symbol] = {}
        for key in good.complete:
            symbol, stamp = key
            if symbol not in refused:
                self._complete[symbol].add(stamp)
                if key in good.values:
                    self._committed[symbol][key] = good.values[key]


def last_versions(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the last version of each bar in the frames, by symbol and time."""
    if len(parts) == 1:
        return parts[0]
    key = ["symbol", "timestamp"]
    return pl.concat(parts).unique(key, keep="last", maintain_order=True).sort(key)


def turns_to_confirm(symbols: Sequence[str]) -> dict[str, int]:
    """Return in which minute of each CONFIRM_EVERY a symbol is confirmed.

    Else all would be in one minute, and delay the chain and the symbols that are polled in it.
    """
    minutes = int(CONFIRM_EVERY / MINUTE)
    return {symbol: number % minutes for number, symbol in enumerate(symbols)}


def _stored_columns(table: str, bars: pl.DataFrame, now: datetime) -> pa.RecordBatch:
    """Return bars of the feed in the columns of their table."""
    schema = schemas.STOCK_BARS if table == "stocks_1m" else schemas.FUTURES_BARS
    same = {"timeframe": TIMEFRAME, "source": schemas.FEED}
    columns = [
        pl.Series("fetched_at", np.full(bars.height, now, "datetime64[us]")),
        *(pl.Series(name, [text] * bars.height) for name, text in same.items()),
    ]
    return schemas.conform(bars.hstack(columns), schema)
