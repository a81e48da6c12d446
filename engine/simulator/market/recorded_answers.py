"""A file of answers as collectors saved them: what KIS said when it was asked for a date.

Besides the columns of a recorded file it has `asked_date` (YYYYMMDD) and `collector`. An answer can
hold another date's rows, end early, or differ from what another collector got for the same date.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from engine.history.bar_file import COLUMNS, scan_bars
from engine.market.sessions import Session
from engine.simulator.market.data import BARS
from engine.simulator.market.synthetic import SyntheticMarket


class RecordedAnswers:
    """Serves each asked date's answer of the first collector, from `later_from` on the last one's.

    Raises InputError in one line when the file cannot be read or lacks a column.
    """

    def __init__(self, path: Path | str, later_from: datetime) -> None:
        self._frame = scan_bars(Path(path), (*COLUMNS, "asked_date", "collector"))
        self._later_from = later_from
        self.index = SyntheticMarket().index
        self._answers = lru_cache(maxsize=256)(self._load)

    def _load(self, symbol: str) -> dict[str, list[pl.DataFrame]]:
        """Return asked date → the collectors' answers, by the collectors' names."""
        rows = self._frame.filter(pl.col("symbol") == symbol).rename({"timestamp": "label"})
        parts = (
            rows.select("asked_date", "collector", *BARS)
            .sort("asked_date", "collector", "label", maintain_order=True)
            .collect()
            .partition_by("asked_date", "collector", as_dict=True, maintain_order=True)
        )
        answers: dict[str, list[pl.DataFrame]] = {}
        for (asked, _), part in parts.items():
            answers.setdefault(asked, []).append(part.select(list(BARS)))
        return answers

    def answer(self, symbol: str, asked: date, now: datetime) -> pl.DataFrame:
        """Return the rows of the answer in `BARS`, of whatever date they are; empty if none."""
        known = self._answers(symbol).get(f"{asked:%Y%m%d}")
        if not known:
            return BARS.to_frame()
        return known[-1 if now >= self._later_from else 0]

    def bars(self, symbol: str, of: Session) -> pl.DataFrame:
        """Return what the last answer about the session's date has of it."""
        rows = self.answer(symbol, of.date, self._later_from)
        return rows.filter(pl.col("label").dt.date() == of.date)
