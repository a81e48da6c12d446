"""Rows that stand wholly apart from the others of their answer, until KIS gives them again.

KIS has been seen to give bars far from the market that it never gave again, and on a wild day a
true bar may look like that. A second answer decides: a row with the same values in two answers is a
bar. If a later answer has a row for the minute that is not odd, the odd one is forgotten.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa

from engine.columns import PRICES, TIME
from engine.fetchers.bar_rules import VALUES, SplitRows
from engine.kis.answer import Answer
from engine.market.sessions import Session
from engine.schemas import CONFIRMED_BARS, conform

log = logging.getLogger(__name__)


class SecondAnswers:
    """What waits for a second answer, by symbol, and what has had one."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[date, pl.DataFrame]] = {}
        self._awaited: set[str] = set()
        self._confirmed: list[pa.RecordBatch] = []
        self._told: set[tuple[str, tuple[Any, ...]]] = set()

    def given(self, symbol: str, session: Session) -> pl.DataFrame | None:
        """Return the odd rows (VALUES) of answers about the session so far; None without any."""
        day, rows = self._given.get(symbol, (None, None))
        return rows if day == session.date else None

    def are_awaited(self, symbol: str) -> bool:
        """Say whether the symbol's last answer had a row that waits for a second one."""
        return symbol in self._awaited

    def note(self, answer: Answer, session: Session, split: SplitRows) -> None:
        """Remember the odd rows of an answer; forget those for whose minute it has a better row."""
        symbol = answer.symbol
        if split.waiting.is_empty():
            self._awaited.discard(symbol)
        else:
            self._awaited.add(symbol)
        before = self.given(symbol, session)
        if before is None:
            if not split.waiting.is_empty():
                self._given[symbol] = (session.date, split.waiting.select(VALUES))
            return
        self._keep(split.confirmed, answer, session)
        near = split.bars.join(split.confirmed, on="label", how="anti")
        known = before.join(near, on="label", how="anti")
        rows = pl.concat([known, split.waiting.select(VALUES)]).unique()
        self._given[symbol] = (session.date, rows)

    def _keep(self, confirmed: pl.DataFrame, answer: Answer, session: Session) -> None:
        """Keep the bars for `take_confirmed`, each once, and log that they are stored."""
        rows = [
            row
            for row in confirmed.select(VALUES).iter_rows()
            if (answer.symbol, row) not in self._told
        ]
        if not rows:
            return
        self._told.update((answer.symbol, row) for row in rows)
        bars = pl.DataFrame(rows, confirmed.select(VALUES).schema, orient="row").select(
            session.stamp_of_label(pl.col("label")).alias("timestamp"),
            pl.lit(answer.symbol).alias("symbol"),
            *PRICES,
            "volume",
            pl.lit(answer.received_at, TIME).alias("confirmed_at"),
        )
        for stamp, low, high in bars.select("timestamp", "low", "high").iter_rows():
            log.warning(
                "⚠️ %s: the bar of %s (%s to %s) is far from those around it, but KIS gave it twice:"
                " stored",
                answer.symbol,
                f"{stamp:%H:%M}",
                low,
                high,
            )
        self._confirmed.append(conform(bars, CONFIRMED_BARS))

    def take_confirmed(self) -> pa.RecordBatch:
        """Return the bars, in CONFIRMED_BARS, that have been given again since the last call."""
        if not self._confirmed:
            return pa.RecordBatch.from_pylist([], schema=CONFIRMED_BARS)
        confirmed = pa.concat_batches(self._confirmed)
        self._confirmed.clear()
        return confirmed
