"""Minutes of the feed: trades come in, a minute's bars go out once it is over.

When that is, is decided here; how a bar is made of trades, and when it is complete, stands in
`engine.features.ticks`. A bar that was given goes out again if a late trade changes it, and when
the trade after it proves it or shows that one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import floor_minute
from engine.features.ticks import FEED_BARS, NEEDED, bars_from_trades, distinct_trades
from engine.market.sessions import Session
from engine.market.symbols import parse

# How far back trades are kept in memory: a late one can still change a bar of that time.
KEPT = timedelta(minutes=2)
_has_later = pl.col("timestamp") < pl.col("timestamp").max().over("symbol")


class MinuteBars:
    """The bars of a day's symbols from their trades; `sessions` has the hours of each symbol."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._symbols: dict[Session, list[str]] = {}
        for symbol, session in sessions.items():
            self._symbols.setdefault(session, []).append(symbol)
        self._multipliers = {symbol: _multiplier(symbol) for symbol in sessions}
        self._waiting: list[pl.DataFrame] = []  # trades since `finished` was asked last
        self._kept = pl.DataFrame(schemas.TRADES.empty_table())[list(NEEDED)]
        self._given = pl.DataFrame(schema=FEED_BARS)
        self._since = min(session.opens for session in sessions.values())  # kept from then on
        self._forgotten = self._since
        self._stamp = self._in_hours(lambda one: one.stamp_of_trade(pl.col("traded_at")))
        self._label = self._in_hours(lambda one: one.label_of_stamp(pl.col("timestamp")))
        self._newest: dict[str, datetime] = {}  # minute of each symbol's newest trade

    def add(self, trades: pa.RecordBatch) -> bool:
        """Take trades (`schemas.TRADES`), in any order, also such as came before.

        Those of other symbols, as of options that are only quoted, are left out. Says whether a
        symbol has traded in a later minute than before: that ends the one before.
        """
        is_own = pl.col("symbol").is_in(list(self._multipliers))
        own = pl.DataFrame(trades.select(NEEDED)).filter(is_own)
        if own.is_empty():
            return False
        self._waiting.append(own)
        newest = own.group_by("symbol").agg(pl.col("traded_at").max().dt.truncate("1m"))
        moved = {code: at for code, at in newest.iter_rows() if at > self._newest.get(code, at.min)}
        self._newest |= moved
        return bool(moved)

    def finished(self, until: datetime, ahead: timedelta = timedelta()) -> pl.DataFrame:
        """Return the bars (FEED_BARS) of minutes that were over at `until`, by symbol and time.

        A minute is over for a symbol, too, that has traded in a later one. Only bars that were not
        given yet, or that differ from what was given. `ahead`: of our clock before KIS's.
        """
        trades = pl.concat([self._kept, *self._waiting])
        self._kept, self._waiting = trades, []
        bars = self._bars(trades, until, ahead)
        changed = bars.join(
            self._given, on=bars.columns, how="anti", nulls_equal=True, maintain_order="left"
        )
        self._since = floor_minute(until) - KEPT
        self._given = bars.filter(pl.col("timestamp") > self._since)
        return changed

    def forget(self) -> None:
        """Let go of the trades that no bar needs any more, once a minute: nobody waits for it."""
        if self._since != self._forgotten:
            self._kept = _still_needed(self._kept, self._since)
            self._forgotten = self._since

    def _bars(self, trades: pl.DataFrame, until: datetime, ahead: timedelta) -> pl.DataFrame:
        """Return the bars of minutes that are over and kept as a whole, by symbol and time.

        All symbols are read at once, and in memory: for so few rows a query costs more to begin
        than to run, and to the streaming engine three times as much.
        """
        bars = bars_from_trades(trades.lazy(), self._stamp, self._multipliers, ahead=ahead)
        any_hours = next(iter(self._symbols))  # labels of all of them are finished alike
        is_over = any_hours.is_finished(self._label, until) | _has_later
        return bars.collect(engine="in-memory").filter(is_over, self._label >= self._since)

    def _in_hours(self, expression: Callable[[Session], pl.Expr]) -> pl.Expr:
        """Return an expression that is, for each symbol, the one of its hours."""
        if len(self._symbols) == 1:
            return expression(*self._symbols)
        return pl.coalesce(
            pl.when(pl.col("symbol").is_in(symbols)).then(expression(session))
            for session, symbols in self._symbols.items()
        )


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
