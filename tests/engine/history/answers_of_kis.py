"""A session of ten expected bars, and pages of answers about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import polars as pl

from engine.columns import STAMPS
from engine.fetchers.pages import Page, Turnover
from engine.history import evidence
from engine.history.evidence import (
    Known,
)
from engine.market.sessions import Market, Session

DAY = date(2025, 9, 1)
OPENS = datetime(2025, 9, 1, 9)
SESSION = Session(
    Market.STOCKS,
    DAY,
    OPENS,
    OPENS + timedelta(minutes=9),
    OPENS + timedelta(minutes=19),
    OPENS + timedelta(minutes=24),
)
GRID = SESSION.stamps().to_list()  # nine minutes, then the auction
EXPECTED = pl.DataFrame(
    {"symbol": "000020", "session": DAY, "stamp": GRID, "index_in_session": range(len(GRID))},
    {**STAMPS, "index_in_session": pl.Int64},
)
CLOSE = SESSION.sealed_at
NOTHING_STORED = STAMPS.to_frame()
HOURS = timedelta(hours=1)


def stamps_at(*indices: int) -> pl.DataFrame:
    return EXPECTED.filter(pl.col("index_in_session").is_in(indices)).select(list(STAMPS))


def page(*bars: int, newest: int = 9, as_of: datetime = CLOSE, **more: object) -> Page:
    """Return a page of bars without turnover."""
    stamps = tuple(GRID[index] for index in bars)
    return replace(Page(GRID[newest], as_of, stamps=stamps), **more)  # type: ignore[arg-type]


def told(*bars: int, turnover: Callable[[int, float], float | None] | None = None) -> Page:
    """Return a page of bars of one share at 100 KRW each, whose turnover is that of all of them.

    `turnover` changes it: from the number of the bar and its right turnover so far.
    """
    rows = {}
    for number, index in enumerate(bars):
        right = 100.0 * (number + 1)
        so_far = turnover(number, right) if turnover else right
        if so_far is not None:
            rows[GRID[index]] = Turnover(so_far, least=100.0, most=100.0, one=100.0)
    return page(*bars, turnovers=rows)


def said(answer: Page, missing: tuple[int, ...], known: Known | None = None) -> dict[int, str]:
    """Return what a page says about missing stamps, by index."""
    found = evidence.judge(answer, SESSION, stamps_at(*missing), known or Known())
    return {GRID.index(stamp): says for stamp, says in found.select("stamp", "says").iter_rows()}


def reasons(answer: Page, missing: int, known: Known | None = None) -> str | None:
    found = evidence.judge(answer, SESSION, stamps_at(missing), known or Known())
    why: str | None = found["why"].item()
    return why


COLUMNS: dict[str, Callable[[int, float], float | None]] = {
    "missing": lambda _, __: None,
    "missing once": lambda number, right: None if number == 1 else right,
    "constant": lambda _, __: 1_000_000.0,
    "of the bar alone": lambda _, __: 100.0,
    "begins anew": lambda number, right: right - 200 * (number > 1),
    "in thousands": lambda _, right: right / 1000,
    "in single coins": lambda _, right: right * 100,
}
