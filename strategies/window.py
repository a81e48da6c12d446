"""A strategy on the live day: bars in memory, and a row for each bar as it comes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from engine.columns import literal_time
from engine.features.bars import as_bars
from engine.few_rows import collect_few
from engine.market.nights import session_begins
from strategies.base import NeedsFewBars, Params, Strategy


class LiveWindow:
    """The bars of one symbol in one session and its warm-up, and the signals given so far.

    `bars` are those stored when the session `since` begins, or goes on after a restart: at least
    the strategy's warm-up sessions before it, if so many exist. Signals are given for bars of that
    session; the next day needs a new window.
    """

    def __init__(
        self,
        strategy: Strategy[Any],
        params: Params,
        symbol: str,
        bars: pl.DataFrame,
        *,
        since: date,
    ) -> None:
        self._strategy = strategy
        self._params = params
        self._symbol = symbol
        self._begin = session_begins(symbol, since)
        self._held = self._hold(_bars_of(symbol, bars), given=None)
        self._prepared: _Evaluated | None = None

    @property
    def table(self) -> str:
        """The table of the signals."""
        return self._strategy.table

    @property
    def schema(self) -> pa.Schema:
        """The schema of the signals' table."""
        return self._strategy.schema

    def watches(self, symbol: str) -> bool:
        """Say whether this is the symbol that the window follows."""
        return symbol == self._symbol

    def prepare(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return what `push` will return for this frame, the same object, so that both are one.

        Changes nothing: if the frame is never pushed, the work is lost; if another one is pushed
        before it, `push` evaluates again. May run in another thread.
        """
        self._prepared = self._evaluated(batch)
        return self._prepared.changed

    def push(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Add bars; return the rows of the session that are new or differ from those given before.

        Bars may be new, late, corrected or known already, in any order; other symbols are ignored.
        The rows equal, to the last bit, what `evaluate` gives for all bars at once. Columns:
        `computed_columns(schema)`.
        """
        found = self._prepared
        if found is None or found.batch is not batch or found.before is not self._held:
            found = self._evaluated(batch)
        self._held = found.after
        return found.changed

    def _evaluated(self, batch: pl.DataFrame) -> _Evaluated:
        before = self._held
        given, newest = before.given, before.newest
        new_bars = _bars_of(self._symbol, batch)
        if not _are_newer(new_bars, newest):
            known = before.session
            if (new_bars["timestamp"] < self._begin).any():
                known = pl.concat([before.earlier, known])
            new_bars = new_bars.join(known, on=known.columns, how="anti", nulls_equal=True)
        if given is not None and new_bars.is_empty():
            return _Evaluated(batch, before, before, given.clear())
        # One of an earlier session, which comes late, changes the history.
        newest_or_begin = newest and max(newest, self._begin)
        if given is not None and _are_newer(new_bars, newest_or_begin):
            return self._with_newest(batch, given, new_bars)
        known = pl.concat([before.earlier, before.session])
        bars = _joined(known.join(new_bars, on="timestamp", how="anti"), new_bars)
        rows = self._rows(bars, self._begin)
        changed = rows if given is None else _changed_rows(rows, given)
        return _Evaluated(batch, before, self._hold(bars, rows), changed)

    def _with_newest(
        self, batch: pl.DataFrame, given: pl.DataFrame, new_bars: pl.DataFrame
    ) -> _Evaluated:
        """Add bars that are newer than all: no row of an earlier bar changes."""
        before = self._held
        stamps = sorted(new_bars["timestamp"].to_list())
        session = _joined(before.session, new_bars)
        needed = None
        if isinstance(self._strategy, NeedsFewBars) and before.history is not None:
            needed = self._strategy.bars_needed(before.history, session, stamps, self._params)
        if needed is None:
            needed = pl.concat([before.earlier, session])
        rows = self._rows(needed, stamps[0])
        after = before._replace(session=session, newest=stamps[-1], given=_joined(given, rows))
        return _Evaluated(batch, before, after, rows)

    def _hold(self, bars: pl.DataFrame, given: pl.DataFrame | None) -> _Held:
        of_session = pl.col("timestamp") >= self._begin
        earlier = bars.filter(~of_session)
        history = None
        if given is not None and isinstance(self._strategy, NeedsFewBars):
            history = self._strategy.history(earlier, self._params)
        newest = max(bars["timestamp"].to_list(), default=None)
        return _Held(earlier, bars.filter(of_session), newest, given, history)

    def _rows(self, bars: pl.DataFrame, since: datetime) -> pl.DataFrame:
        evaluated = self._strategy.evaluate(bars.lazy(), self._params)
        wanted = evaluated.filter(pl.col("timestamp") >= literal_time(since))
        return collect_few(wanted)


class _Held(NamedTuple):
    """What a window knows: bars of earlier sessions and of its own, the newest of their stamps.

    `given` are the rows of its session so far; `history` is that of a strategy that needs few bars.
    """

    earlier: pl.DataFrame
    session: pl.DataFrame
    newest: datetime | None
    given: pl.DataFrame | None
    history: pl.DataFrame | None


class _Evaluated(NamedTuple):
    """What a frame of bars makes of a window, and the rows that are new or differ."""

    batch: pl.DataFrame
    before: _Held
    after: _Held
    changed: pl.DataFrame


def _are_newer(bars: pl.DataFrame, newest: datetime | None) -> bool:
    return newest is not None and all(stamp > newest for stamp in bars["timestamp"].to_list())


def _joined(known: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Return both in one piece: each minute's work would grow with the number of pieces."""
    return pl.concat([known, new], rechunk=True)


def _bars_of(symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the symbol's bars, one row a stamp: the last one if there are several."""
    own = bars.filter(bars["symbol"] == symbol).select_seq(as_bars())
    if own["timestamp"].n_unique() < own.height:
        return own.unique("timestamp", keep="last", maintain_order=True)
    return own


def _changed_rows(rows: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    return rows.join(given, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
