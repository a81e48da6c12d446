"""What the database has of targets: the expected stamps, the stored ones, the ledger's marks.

Callers store the marks: a missing stamp that the ledger did not know is open from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from engine.clock import Clock, today
from engine.columns import SESSION, STAMP, STAMPS
from engine.history.completeness import WITHOUT_TRADE, lost_stamps
from engine.history.queries import read_stamps
from engine.market.expected import expected_stamps
from engine.market.symbols import parse
from engine.store import Store, ledger
from pipelines.history.request import why_beyond_reach
from pipelines.history.session_status import session_span, store_status

AT_ONCE = 400  # targets surveyed at once: some 160,000 stamps


@dataclass(frozen=True)
class Survey:
    """What is known about targets. All frames have symbol, session, stamp; `marks` are MARKS."""

    expected: pl.DataFrame
    stored: pl.DataFrame
    marks: pl.DataFrame
    rows: pl.DataFrame  # the ledger's rows as they were read

    @property
    def missing(self) -> pl.DataFrame:
        """The stamps to request from KIS."""
        return self.marks.filter(pl.col("state").is_in(["open", "refused"])).select(STAMP)

    @property
    def absent(self) -> pl.DataFrame:
        """The stamps at which KIS is known to have no bar."""
        return self.marks.filter(pl.col("state").is_in(WITHOUT_TRADE)).select(STAMP)


def target_parts(targets: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the targets in parts that fit in memory, newest sessions first."""
    newest = targets.sort("session", "symbol", descending=[True, False])
    for start in range(0, newest.height, AT_ONCE):
        yield newest.slice(start, AT_ONCE)


async def survey(
    store: Store,
    targets: pl.DataFrame,
    clock: Clock,
    *,
    stamps: pl.DataFrame | None = None,
    give_up: bool = False,
    reopen: bool = False,
) -> Survey:
    """Read what is known about targets (symbol, session); nothing is written.

    `stamps` (symbol, stamp) are those of all stored rows, if the caller has read them. Stamps after
    now are not expected yet. With `reopen` everything missing is marked as open; with
    `give_up`, open stamps that KIS cannot serve any more are marked as unavailable.
    """
    now = clock.now()
    expected = expected_stamps(targets).filter(pl.col("stamp") < now)
    if expected.is_empty():
        return Survey(
            expected,
            pl.DataFrame(schema=STAMPS),
            pl.DataFrame(schema=ledger.MARKS),
            pl.DataFrame(schema=ledger.ROWS),
        )
    symbols = expected["symbol"].unique().sort().to_list()
    first, last = session_span(targets)
    rows = await ledger.read(store, symbols, first, last)
    rows = rows.join(targets, on=SESSION, how="semi")
    found = await read_stamps(store, symbols, first, last) if stamps is None else stamps
    stored = expected.join(found, on=["symbol", "stamp"], how="semi").select(STAMP)
    marks = ledger.mark_missing(ledger.marks_from_rows(rows, expected), expected, stored, now)
    if reopen:
        marks = ledger.reopen(marks)
    marks = ledger.apply_reasons(marks, lost_stamps(marks, now), "unavailable")
    if give_up:
        marks = _give_up(marks, today(clock))
    return Survey(expected, stored, marks, rows)


def _give_up(marks: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the marks with open stamps that KIS cannot serve any more as unavailable."""
    sessions = marks.filter(pl.col("state") == "open").select(SESSION).unique()
    why = [why_beyond_reach(symbol, session, day) for symbol, session in sessions.iter_rows()]
    reasons = sessions.with_columns(why=pl.Series(why, dtype=pl.String)).drop_nulls()
    return ledger.apply_reasons(marks, marks.join(reasons, on=SESSION), "unavailable")


async def store_marks(store: Store, found: Survey, marks: pl.DataFrame, clock: Clock) -> None:
    """Write marks into the ledger, and the status of sealed sessions."""
    now = clock.now()
    symbols = marks["symbol"].unique().to_list()
    markets = pl.DataFrame(
        {"symbol": symbols, "market": [parse(symbol).ledger_market for symbol in symbols]},
        {"symbol": pl.String(), "market": pl.String()},
    )
    rows = ledger.rows_from_marks(marks, now, markets)
    await ledger.write(store, found.rows, rows)
    await store_status(store, found.expected, found.stored, marks, now)
