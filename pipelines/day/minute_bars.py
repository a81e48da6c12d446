"""Minutes of the feed: trades come in, a minute's bars go out once it is over.

When that is, is decided here; how a bar is made of trades, and when it is complete, stands in
`engine.features.ticks`. A bar that was given goes out again if a late trade changes it, and when
the trade after it proves it or shows that one is missing.

As long as a symbol's trades come in order, its bars that are proven stay as they are. So the end of
a minute reads the trades of one minute; only if one came out of order, those of three.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine import schemas
from engine.clock import floor_minute
from engine.columns import TIME
from engine.features.ticks import FEED_BARS, NEEDED, bars_from_trades, clashes, distinct_trades
from engine.few_rows import collect_few
from engine.market.hours import MINUTE
from engine.market.sessions import Session
from engine.market.symbols import parse

# How far back trades are kept in memory: a late one can still change a bar of that time.
KEPT = timedelta(minutes=2)
_MINUTE = 60_000_000  # microseconds
_BACK = (
    1_000_000  # microseconds that a trade's time may go back; more makes the one before doubtful
)
_EPOCH = datetime(1970, 1, 1)
_COMPLETE = FEED_BARS.names().index("complete")
_BEFORE = 3  # trades before a minute: whether its first one follows soundly depends on them


class _Last(NamedTuple):
    """Of a symbol's trades so far: the latest moment (microseconds), the volume of the session."""

    traded_at: int
    day_volume: int


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
        # Those of them of which bars are still made, as long as they come in order: of each symbol
        # from a minute on, and some before. Until `set_proven_aside`, all.
        self._open = self._kept
        self._open_from: dict[str, int] = {}  # microseconds from 1970 on
        self._in_order = True
        self._given: dict[tuple[str, datetime], tuple[Any, ...]] = {}  # rows of FEED_BARS
        self._going_on: set[tuple[str, datetime]] = set()  # bars not over when last looked at
        self._since = min(session.opens for session in sessions.values())  # kept from then on
        self._forgotten = self._since
        # Minutes before that lack trades which were let go; `until` may go back to them: another
        # connection is behind, or the machine's clock was set.
        self._whole_from = self._since
        self._stamp = self._in_hours(lambda one: one.stamp_of_trade(pl.col("traded_at")))
        self._last: dict[str, _Last] = {}
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
        is_over = False
        for symbol, earliest, latest, least, most in _ranges(own):
            known = self._last.get(symbol)
            if known is None:
                self._last[symbol], is_over = _Last(latest, most), True
                continue
            is_over |= latest // _MINUTE > known.traded_at // _MINUTE
            is_later = earliest >= max(known.traded_at - _BACK, self._open_from.get(symbol, 0))
            self._in_order &= least > known.day_volume and is_later
            self._last[symbol] = _Last(max(latest, known.traded_at), max(most, known.day_volume))
        return is_over

    def finished(self, until: datetime, ahead: timedelta = timedelta()) -> pl.DataFrame:
        """Return the bars (FEED_BARS) of minutes that were over at `until`, by symbol and time.

        A minute is over for a symbol, too, that has traded in a later one. Only bars that were not
        given yet, or that differ from what was given. `ahead`: of our clock before KIS's.
        """
        if self._waiting:
            came = schemas.one_frame(self._waiting)
            came = came.with_columns_seq(self._stamp.alias("timestamp"))
            self._kept = pl.concat([self._kept, came])
            self._open = pl.concat([self._open, came])
            self._waiting = []
        if not self._in_order:
            self._open, self._open_from, self._in_order = self._kept, {}, True
        made = bars_from_trades(
            self._open.lazy(), pl.col("timestamp"), self._multipliers, ahead=ahead
        )
        bars = collect_few(made)
        rows = bars.rows()  # some dozens: nothing of Polars is as quick
        later = [*(symbol for _, symbol, *_ in rows[1:]), None]
        over = [
            place
            for place, (stamp, symbol, *_) in enumerate(rows)
            if self._is_over(stamp, symbol, until, later[place])
        ]
        self._going_on = {_key(row) for row in rows}.difference(_key(rows[n]) for n in over)
        self._since = floor_minute(until) - KEPT
        given = self._given
        self._given = {key: row for key, row in given.items() if key[1] > self._since}
        self._given |= {_key(rows[n]): rows[n] for n in over if rows[n][0] > self._since}
        return bars[[place for place in over if given.get(_key(rows[place])) != rows[place]]]

    def _is_over(self, stamp: datetime, symbol: str, until: datetime, later: str | None) -> bool:
        """Say whether a bar's minute was over at a moment, and is at hand as a whole.

        `later` is the symbol of the bar after it.
        """
        session = self._sessions[symbol]
        label = session.label_of(stamp)
        is_over = session.finished_at(stamp) <= until or later == symbol
        is_whole = label >= max(self._since, self._whole_from)
        return is_over and is_whole and _microseconds(label) >= self._open_from.get(symbol, 0)

    def forget(self) -> None:
        """Let go of the trades that no bar needs any more, once a minute: nobody waits for it."""
        if self._since != self._forgotten:
            gone = self._kept["traded_at"].filter(self._kept["traded_at"] < self._since).max()
            if isinstance(gone, datetime):
                self._whole_from = max(self._whole_from, floor_minute(gone) + MINUTE)
            self._kept = _still_needed(self._kept, self._since)
            self._forgotten = self._since
            self.set_proven_aside()

    def set_proven_aside(self) -> None:
        """Leave the trades of bars that are proven, or known to be partial, out of the next ones.

        They stay kept: trades out of order make all bars of KEPT again.
        """
        begins: dict[str, datetime] = {}
        for symbol, keys in itertools.groupby(sorted(self._given), key=itemgetter(0)):
            known = [stamp for _, stamp in itertools.takewhile(self._is_known, keys)]
            if known:
                begins[symbol] = self._sessions[symbol].label_of(known[-1]) + MINUTE
        self._kept = distinct_trades(self._kept.lazy()).collect(engine="in-memory")
        if self._kept.select(clashes().any()).item():  # which of them counts depends on all
            begins = {}
        begin = pl.col("symbol").replace_strict(begins, default=self._since, return_dtype=TIME)
        self._open = _last_ones(self._kept, pl.col("traded_at") >= begin) if begins else self._kept
        self._open_from = {symbol: _microseconds(begin) for symbol, begin in begins.items()}

    def _is_known(self, key: tuple[str, datetime]) -> bool:
        """Say whether a given bar is proven or known to be partial: no next trade changes that."""
        return self._given[key][_COMPLETE] is not None and key not in self._going_on

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


def _ranges(trades: pa.RecordBatch) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield each symbol of some trades: first and last moment, least and most volume of the day."""
    symbols = pc.dictionary_encode(trades["symbol"])
    codes = symbols.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    moments = trades["traded_at"].cast(pa.int64()).to_numpy()[order]
    volumes = trades["day_volume"].to_numpy()[order]
    edges = (
        bound.reduceat(values, begins).tolist()
        for values in (moments, volumes)
        for bound in (np.minimum, np.maximum)
    )
    return zip(symbols.dictionary.to_pylist(), *edges, strict=True)


def _key(bar: tuple[Any, ...]) -> tuple[str, datetime]:
    """Return symbol and stamp of a row of FEED_BARS."""
    return bar[1], bar[0]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _multiplier(symbol: str) -> float:
    """Return how many KRW a point of the symbol's price is."""
    product = parse(symbol).product
    return float(product.multiplier) if product else 1.0


def _last_ones(trades: pl.DataFrame, is_recent: pl.Expr) -> pl.DataFrame:
    """Return each symbol's distinct trades from its first recent one on, and some before it."""
    from_then_on = is_recent.cast(pl.UInt8).cum_max().shift(-_BEFORE, fill_value=1)
    return trades.filter((from_then_on == 1).over("symbol"))


def _still_needed(trades: pl.DataFrame, since: datetime) -> pl.DataFrame:
    """Return the trades since then, and of each symbol the last one before: it proves the next.

    Each once, by symbol and volume of the session.
    """
    trades = distinct_trades(trades.lazy()).collect(engine="in-memory")
    recent = pl.col("traded_at") >= since
    by_time = trades.filter(~recent).sort("symbol", "traded_at", "day_volume")
    last_before = by_time.unique("symbol", keep="last")
    return pl.concat([last_before, trades.filter(recent)])
