"""Minutes of the feed: trades come in, a minute's bars go out once it is over.

When that is, is decided here; how a bar is made of trades, and when it is complete, stands in
`engine.features.ticks`. A bar that was given goes out again if a late trade changes it, and when
the trade after it proves it or shows that one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine import schemas
from engine.clock import floor_minute
from engine.columns import TIME
from engine.features.ticks import NEEDED, bars_from_trades, distinct_trades
from engine.few_rows import collect_few
from engine.market.hours import MINUTE
from engine.market.sessions import Session
from engine.market.symbols import parse

# How far back trades are kept in memory: a late one can still change a bar of that time.
KEPT = timedelta(minutes=2)
_MINUTE = 60_000_000  # microseconds
_MOST_MINUTES = 1 << 40


class MinuteBars:
    """The bars of a day's symbols from their trades; `sessions` has the hours of each symbol."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = dict(sessions)
        self._symbols: dict[Session, list[str]] = {}
        for symbol, session in sessions.items():
            self._symbols.setdefault(session, []).append(symbol)
        self._multipliers = {symbol: _multiplier(symbol) for symbol in sessions}
        self._waiting: list[pa.RecordBatch] = []  # trades since `finished` was asked last
        # Trades with the stamp of their bar, as `timestamp`.
        self._kept = pl.DataFrame(schemas.TRADES.empty_table())[list(NEEDED)].with_columns(
            timestamp=pl.lit(None, TIME)
        )
        self._given: set[tuple[Any, ...]] = set()  # rows of FEED_BARS
        self._since = min(session.opens for session in sessions.values())  # kept from then on
        self._forgotten = self._since
        # Minutes before that lack trades which were let go; `until` may go back to them: another
        # connection is behind, or the machine's clock was set.
        self._whole_from = self._since
        self._stamp = self._in_hours(lambda one: one.stamp_of_trade(pl.col("traded_at")))
        self._newest: dict[str, int] = {}  # minute of each symbol's newest trade, from 1970 on
        self._codes = pa.array(list(sessions), pa.string())

    def add(self, trades: pa.RecordBatch) -> bool:
        """Take trades (`schemas.TRADES`), in any order, also such as came before.

        Those of other symbols, as of options that are only quoted, are left out. Says whether a
        symbol has traded in a later minute than before: that ends the one before.
        """
        own = with_symbols(trades.select(NEEDED), self._codes)
        if not own.num_rows:
            return False
        self._waiting.append(own)
        symbols = pc.dictionary_encode(own["symbol"])
        minutes = own["traded_at"].cast(pa.int64()).to_numpy() // _MINUTE
        # Few differ: one step of Python for each symbol and minute, none for each trade.
        pairs = np.unique(symbols.indices.to_numpy().astype(np.int64) * _MOST_MINUTES + minutes)
        texts, is_over = symbols.dictionary.to_pylist(), False
        for pair in pairs.tolist():
            symbol, minute = texts[pair // _MOST_MINUTES], pair % _MOST_MINUTES
            if minute > self._newest.get(symbol, -1):
                self._newest[symbol], is_over = minute, True
        return is_over

    def finished(self, until: datetime, ahead: timedelta = timedelta()) -> pl.DataFrame:
        """Return the bars (FEED_BARS) of minutes that were over at `until`, by symbol and time.

        A minute is over for a symbol, too, that has traded in a later one. Only bars that were not
        given yet, or that differ from what was given. `ahead`: of our clock before KIS's.
        """
        if self._waiting:
            came = schemas.one_frame(self._waiting)
            came = came.with_columns(self._stamp.alias("timestamp"))
            self._kept, self._waiting = pl.concat([self._kept, came]), []
        made = bars_from_trades(
            self._kept.lazy(), pl.col("timestamp"), self._multipliers, ahead=ahead
        )
        bars = collect_few(made)
        rows = bars.rows()  # some dozens: nothing of Polars is as quick
        later = [*(symbol for _, symbol, *_ in rows[1:]), None]
        over = [
            place
            for place, (stamp, symbol, *_) in enumerate(rows)
            if self._is_over(stamp, symbol, until, later[place])
        ]
        self._since = floor_minute(until) - KEPT
        given, self._given = self._given, {rows[n] for n in over if rows[n][0] > self._since}
        return bars[[place for place in over if rows[place] not in given]]

    def _is_over(self, stamp: datetime, symbol: str, until: datetime, later: str | None) -> bool:
        """Say whether a bar's minute was over at a moment, and is kept as a whole.

        `later` is the symbol of the bar after it.
        """
        session = self._sessions[symbol]
        is_over = session.finished_at(stamp) <= until or later == symbol
        return is_over and session.label_of(stamp) >= max(self._since, self._whole_from)

    def forget(self) -> None:
        """Let go of the trades that no bar needs any more, once a minute: nobody waits for it."""
        if self._since != self._forgotten:
            gone = self._kept["traded_at"].filter(self._kept["traded_at"] < self._since).max()
            if isinstance(gone, datetime):
                self._whole_from = max(self._whole_from, floor_minute(gone) + MINUTE)
            self._kept = _still_needed(self._kept, self._since)
            self._forgotten = self._since

    def _in_hours(self, expression: Callable[[Session], pl.Expr]) -> pl.Expr:
        """Return an expression that is, for each symbol, the one of its hours."""
        if len(self._symbols) == 1:
            return expression(*self._symbols)
        return pl.coalesce(
            pl.when(pl.col("symbol").is_in(symbols)).then(expression(session))
            for session, symbols in self._symbols.items()
        )


def with_symbols(batch: pa.RecordBatch, symbols: pa.Array) -> pa.RecordBatch:
    """Return the rows of these symbols: of few rows in a tenth of the time that Polars takes."""
    is_own = pc.is_in(batch["symbol"], value_set=symbols)
    return batch if is_own.true_count == batch.num_rows else batch.filter(is_own)


def _multiplier(symbol: str) -> float:
    """Return how many KRW a point of the symbol's price is."""
    product = parse(symbol).product
    return float(product.multiplier) if product else 1.0


def _still_needed(trades: pl.DataFrame, since: datetime) -> pl.DataFrame:
    """Return the trades since then, and of each symbol the last one before: it proves the next.

    Each once, by symbol and volume of the session.
    """
    trades = distinct_trades(trades.lazy()).collect(engine="in-memory")
    recent = pl.col("traded_at") >= since
    by_time = trades.filter(~recent).sort("symbol", "traded_at", "day_volume")
    last_before = by_time.unique("symbol", keep="last")
    return pl.concat([last_before, trades.filter(recent)])
