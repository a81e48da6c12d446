"""A look at the database: what targets owe, what of it is stored, and what the ledger knows.

The look is written down: a missing stamp that the ledger did not know is open from now on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from engine.clock import Clock, today
from engine.history.queries import read_stamps
from engine.market.expected import expected_stamps, market_of
from engine.store import Store, ledger
from pipelines.history.request import beyond_reach
from pipelines.history.session_status import settle, span_of

AT_ONCE = 400  # targets looked at in one go: some 160,000 stamps
STORED = pl.Schema([("symbol", pl.String()), ("session", pl.Date()), ("stamp", pl.Datetime("us"))])
_SESSION = ["symbol", "session"]


@dataclass(frozen=True)
class Survey:
    """What is known about targets. All frames have symbol, session, stamp; marks are MARKS."""

    owed: pl.DataFrame
    stored: pl.DataFrame
    marks: pl.DataFrame
    rows: pl.DataFrame  # the ledger's rows as they were read

    @property
    def missing(self) -> pl.DataFrame:
        """The stamps that are to be asked for."""
        return self.marks.filter(pl.col("state") == "open").select(list(STORED))

    @property
    def absent(self) -> pl.DataFrame:
        """The stamps at which KIS is known to have no bar."""
        return self.marks.filter(pl.col("state") == "no_trade").select(list(STORED))


def in_parts(targets: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the targets in parts that fit in memory, newest sessions first."""
    newest = targets.sort("session", "symbol", descending=[True, False])
    for start in range(0, newest.height, AT_ONCE):
        yield newest.slice(start, AT_ONCE)


async def survey(
    store: Store, targets: pl.DataFrame, clock: Clock, *, give_up: bool = False
) -> Survey:
    """Look at targets (symbol, session). Stamps still to come are not owed yet.

    With `give_up`, what is missing and beyond KIS's reach is marked as unavailable.
    """
    now = clock.now()
    due = expected_stamps(targets).filter(pl.col("stamp") < now)
    if due.is_empty():
        return Survey(
            due,
            pl.DataFrame(schema=STORED),
            pl.DataFrame(schema=ledger.MARKS),
            pl.DataFrame(schema=ledger.ROWS),
        )
    symbols = due["symbol"].unique().sort().to_list()
    first, last = span_of(targets)
    rows = await ledger.read(store, symbols, first, last)
    rows = rows.join(targets, on=_SESSION, how="semi")
    found = await read_stamps(store, symbols, first, last)
    stored = due.join(found, on=ledger.STAMP, how="semi").select(list(STORED))
    marks = ledger.mark_missing(ledger.marks_from_rows(rows, due), due, stored, now)
    return Survey(due, stored, _given_up(marks, today(clock)) if give_up else marks, rows)


def _given_up(marks: pl.DataFrame, day: date) -> pl.DataFrame:
    """Mark what is beyond KIS's reach as unavailable, without a call."""
    sessions = marks.filter(pl.col("state") == "open").select(_SESSION).unique()
    why = [beyond_reach(symbol, session, day) for symbol, session in sessions.iter_rows()]
    reasons = sessions.with_columns(why=pl.Series(why, dtype=pl.String)).drop_nulls()
    return ledger.apply_reasons(marks, marks.join(reasons, on=_SESSION), "unavailable")


async def write_down(store: Store, seen: Survey, marks: pl.DataFrame, clock: Clock) -> None:
    """Write marks into the ledger and, of sealed sessions, whether nothing is open any more."""
    now = clock.now()
    symbols = marks["symbol"].unique().to_list()
    markets = pl.DataFrame(
        {"symbol": symbols, "market": [market_of(symbol) for symbol in symbols]},
        {"symbol": pl.String(), "market": pl.String()},
    )
    rows = ledger.rows_from_marks(marks, now, markets)
    await ledger.write(store, seen.rows, rows)
    await settle(store, seen.owed, seen.stored, marks, now)
