"""A strategy that follows the market: bars in memory, a row for each stamp as its bar comes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pyarrow as pa

from engine.columns import BARS
from strategies.base import ENGINE, Params, Strategy


class LiveWindow:
    """The bars of one symbol in one session and its warm-up, and the signals given so far.

    `bars` is what is known when the session `since` begins, or goes on after a restart: at least
    the strategy's warm-up sessions before it, if there are as many. Signals are given for bars of
    that session; on the next day a new window is due.
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
        self._strategy, self._params, self._symbol = strategy, params, symbol
        self._since = since
        self._bars = _bars_of(symbol, bars)
        self._given: pl.DataFrame | None = None

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

    def push(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Take bars in; return the rows of the session that are new or no longer as given before.

        Bars may be new, late, corrected or known already, in any order; those of other symbols are
        passed over. The rows equal, to the last bit, what `evaluate` gives for all bars in one go.
        Columns: those of `schema` without created_at.
        """
        news = _bars_of(self._symbol, batch).join(
            self._bars, on=self._bars.columns, how="anti", nulls_equal=True
        )
        if self._given is not None and news.is_empty():
            return self._given.clear()
        kept = self._bars.join(news, on="timestamp", how="anti")
        self._bars = pl.concat([kept, news])
        rows = self._rows()
        changed = rows if self._given is None else _changed(rows, self._given)
        self._given = rows
        return changed

    def _rows(self) -> pl.DataFrame:
        start = datetime.combine(self._since, datetime.min.time())
        rows = self._strategy.evaluate(self._bars.lazy(), self._params)
        return rows.filter(pl.col("timestamp") >= start).collect(engine=ENGINE)


def _bars_of(symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the symbol's bars, one row a stamp: of several the last one given."""
    return (
        bars.filter(pl.col("symbol") == symbol)
        .select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
        .unique("timestamp", keep="last", maintain_order=True)
    )


def _changed(rows: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    return rows.join(given, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
