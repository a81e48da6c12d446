"""A file of answers as collectors saved them: what KIS answered when it was asked for a date.

Besides the columns of a file of recorded bars it has `asked_date` (YYYYMMDD) and `collector`. An
answer can hold another date's rows, end early, or differ from what another collector got for the
same date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from engine.history.bar_file import scan_bar_file
from engine.market.sessions import Market, Session
from engine.market.symbols import parse
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import BARS
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.session_rows import SessionRows, write_session_rows


class RecordedAnswers:
    """Serves each asked date's answer of the first collector, from `later_from` on the last one's.

    Raises InputError if the file cannot be read or lacks a column.
    """

    def __init__(self, path: Path | str, later_from: datetime) -> None:
        self._frame = scan_bar_file(
            Path(path), as_recorded=True, besides=("asked_date", "collector")
        )
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
        """Return the rows of the answer in `BARS`, whatever their date; empty without an answer."""
        found = self._answers(symbol).get(f"{asked:%Y%m%d}")
        if not found:
            return BARS.to_frame()
        return found[-1 if now >= self._later_from else 0]

    def bars(self, symbol: str, session: Session) -> pl.DataFrame:
        """Return the bars of the session's date in the last answer about it."""
        rows = self.answer(symbol, session.date, self._later_from)
        return rows.filter(pl.col("label").dt.date() == session.date)


@dataclass(frozen=True)
class AnsweredRows(SessionRows):
    """A session's rows, served under the date that was asked for, `asked_later` after its own."""

    asked_later: timedelta = field(default=timedelta())

    @property
    def served_date(self) -> date:
        return self.session.date + self.asked_later

    def visible(self, until: datetime, now: datetime, limit: int) -> list[bytes]:
        return super().visible(until - self.asked_later, now, limit)


class AnsweringExchange(SimulatedExchange):
    """An exchange that serves recorded answers; put it in the place of `Simulator.exchange`."""

    def __init__(self, answers: RecordedAnswers) -> None:
        super().__init__(answers)
        self._recorded = answers

    def sessions_back(
        self, symbol: str, market: Market, day: date, now: datetime, *, fake_ticks: bool = False
    ) -> Iterator[SessionRows]:
        rows = self._recorded.answer(symbol, day, now)
        session = parse(symbol).session(rows["label"][0].date()) if rows.height else None
        if session is not None:
            written = write_session_rows(symbol, session, rows)
            asked_later = day - session.date
            yield AnsweredRows(**vars(written), asked_later=asked_later)
