"""A strategy on the live day: bars in memory, and a row for each bar as it comes."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa

from engine.columns import BARS
from engine.market.nights import session_of
from strategies.base import ENGINE, Params, Strategy


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
        """Add bars; return the rows of the session that are new or differ from those given before.

        Bars may be new, late, corrected or known already, in any order; other symbols are ignored.
        The rows equal, to the last bit, what `evaluate` gives for all bars at once. Columns:
        `computed_columns(schema)`.
        """
        new_bars = _bars_of(self._symbol, batch).join(
            self._bars, on=self._bars.columns, how="anti", nulls_equal=True
        )
        if self._given is not None and new_bars.is_empty():
            return self._given.clear()
        unchanged = self._bars.join(new_bars, on="timestamp", how="anti")
        self._bars = pl.concat([unchanged, new_bars])
        rows = self._rows()
        changed = rows if self._given is None else _changed_rows(rows, self._given)
        self._given = rows
        return changed

    def _rows(self) -> pl.DataFrame:
        session = session_of(pl.col("symbol"), pl.col("timestamp"))
        rows = self._strategy.evaluate(self._bars.lazy(), self._params)
        return rows.filter(session >= self._since).collect(engine=ENGINE)


def _bars_of(symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the symbol's bars, one row a stamp: the last one if there are several."""
    return (
        bars.filter(pl.col("symbol") == symbol)
        .select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
        .unique("timestamp", keep="last", maintain_order=True)
    )


def _changed_rows(rows: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    return rows.join(given, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
