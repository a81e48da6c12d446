"""Figures counted in the database are those of all minutes, whatever is missing and why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine import schemas
from engine.clock import VirtualClock
from engine.columns import SESSION, STAMP
from engine.history.completeness import MISSING, figures, gap_runs
from engine.history.scan import query
from engine.market.expected import expected_sessions, expected_stamps
from engine.store import Store, ledger
from engine.store.metadata import store_collected_symbols
from pipelines.history.session_status import store_status
from pipelines.reports.figures import SessionFigures, read_session_figures
from tests.databases import LONG, fresh_database
from tests.pipelines.conftest import bars
from tests.pipelines.reports.plain_figures import read_minutes

FIRST, LAST = date(2026, 11, 12), date(2026, 11, 16)  # a Thursday, a Monday
DAYS = (FIRST, date(2026, 11, 13), LAST)
STOCKS = ("000020", "005930", "247540")
NIGHT = "A01612_NIGHT"
EVENING = datetime(2026, 11, 16, 18, 10)
MOMENTS = (
    datetime(2026, 11, 16, 8, 30),
    datetime(2026, 11, 16, 11, 17, 20),
    datetime(2026, 11, 16, 15, 30, 30),  # the auction is due a minute later
    EVENING,
    datetime(2026, 11, 17, 3),
)
STATES = ("no_trade", "halted", "open", "unavailable", "refused", "filled")
EXPECTED = expected_stamps(expected_sessions(STOCKS, FIRST, LAST))

# Index in the session → the state in the ledger; None: no mark.
holes = st.dictionaries(st.integers(0, 380), st.sampled_from((*STATES, None)), max_size=4)
quiet = st.sets(st.integers(0, 380), max_size=60).map(
    lambda found: dict.fromkeys(found, "no_trade")
)
whole_days = st.sampled_from(STATES).map(lambda state: dict.fromkeys(range(381), state))
sessions = st.fixed_dictionaries(
    {
        "holes": holes | quiet | whole_days,
        "kept": st.booleans(),
        "validated": st.booleans(),
        "then": st.sampled_from(
            ("", "", "", "lost", "odd", "seconds", "overlap", "again", "grown")
        ),
    }
)
histories = st.fixed_dictionaries({(s, d): sessions for s in STOCKS for d in DAYS})


@pytest.fixture(scope="module")
def played(filled_template: str) -> Iterator[str]:
    """The URL of a database with a future, partial chains and half a night; stocks come and go."""
    with fresh_database(filled_template) as url:
        asyncio.run(_store_night(url))
        yield url


async def _store_night(url: str) -> None:
    store = Store(url, VirtualClock(EVENING), component="test")
    night = bars([NIGHT], FIRST, LAST, 1050.0).filter(pl.col("timestamp").dt.minute() % 7 > 0)
    await store.merge("futures_night_1m", schemas.conform(night, schemas.FUTURES_BARS))
    await store.close()


async def make_history(url: str, history: dict[Any, Any], *, planned: bool) -> None:
    """Store stocks with what a backfill leaves behind, and then what somebody did to them."""
    store = Store(url, VirtualClock(EVENING), component="test")
    for table in ("stocks_1m", "gaps", "kept_sessions", "collected_symbols"):
        await store.execute(f"DELETE FROM {table}")
    if planned:
        for day in DAYS[1:]:
            await store_collected_symbols(store, day, ["A01612", "005930", NIGHT], EVENING)
    keys = [
        (symbol, day, index, state)
        for (symbol, day), found in history.items()
        for index, state in found["holes"].items()
    ]
    columns = {"symbol": pl.String(), "session": pl.Date(), "index_in_session": pl.Int64()}
    lacking = EXPECTED.join(
        pl.DataFrame(keys, columns | {"state": pl.String()}, orient="row"),
        on=["symbol", "session", "index_in_session"],
    )
    # What the ledger calls filled is there.
    lost = lacking.filter(pl.col("state").ne_missing("filled"))
    stored = EXPECTED.join(lost, on=STAMP, how="anti").select(STAMP)
    marks = (
        lacking.drop_nulls("state")
        .with_columns(attempts=1, reason=pl.lit("told"), opened_at=EVENING, answered_at=EVENING)
        .select(pl.col(name).cast(kind) for name, kind in ledger.MARKS.items())
    )
    await _merge_bars(store, stored)
    await _merge_marks(store, marks)
    for validated in (True, False):
        chosen = [
            key
            for key, found in history.items()
            if found["kept"] and found["validated"] is validated
        ]
        of_them = pl.DataFrame(chosen, {"symbol": pl.String(), "session": pl.Date()}, orient="row")
        frames = [f.join(of_them, on=SESSION, how="semi") for f in (EXPECTED, stored, marks)]
        await store_status(store, *frames, EVENING)
        if validated:
            await store.execute("UPDATE kept_sessions SET validated = (open = 0)")
    for (symbol, day), found in history.items():
        await _happens(store, symbol, day, found["then"])
    await store.close()


async def _merge_bars(store: Store, stamps: pl.DataFrame) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
    frame = stamps.with_columns(
        timestamp="stamp",
        timeframe=pl.lit("1m"),
        volume=7,
        fetched_at=EVENING,
        source=pl.lit(schemas.REST),
        **{name: pl.lit(value) for name, value in prices.items()},
    )
    if frame.height:
        await store.merge("stocks_1m", schemas.conform(frame, schemas.STOCK_BARS))


async def _merge_marks(store: Store, marks: pl.DataFrame, later: int = 0) -> None:
    markets = pl.DataFrame({"symbol": STOCKS, "market": ["stocks"] * len(STOCKS)})
    rows = ledger.rows_from_marks(marks, EVENING + timedelta(minutes=later), markets)
    if rows.height:
        await store.merge("gaps", schemas.conform(rows, schemas.GAPS))


async def _happens(store: Store, symbol: str, day: date, what: str) -> None:
    """Do to a session what its kept row does not know of."""
    of_session = f"symbol = '{symbol}' AND timestamp::date = '{day}'"
    first = f"(SELECT min(timestamp) FROM stocks_1m WHERE {of_session})"
    odd = {"odd": "15:25:00", "seconds": "09:01:30"}
    if what in ("lost", *odd):  # a bar goes, and for it an odd one comes: as many as before
        await store.execute(f"DELETE FROM stocks_1m WHERE {of_session} AND timestamp = {first}")
    if what in odd:
        stamp = datetime.combine(day, datetime.strptime(odd[what], "%H:%M:%S").time())
        await _merge_bars(store, pl.DataFrame({"symbol": [symbol], "stamp": [stamp]}))
    if what == "overlap":  # a writer died between two statements
        some = EXPECTED.filter(symbol=symbol, session=day).slice(100, 20)
        for state, later in (("unavailable", 1), ("no_trade", 2)):
            marks = (
                some.slice(later, 10)
                .with_columns(
                    state=pl.lit(state),
                    attempts=1,
                    reason=pl.lit("told"),
                    opened_at=EVENING,
                    answered_at=EVENING,
                )
                .select(pl.col(name).cast(kind) for name, kind in ledger.MARKS.items())
            )
            await _merge_marks(store, marks, later)
    if what == "again":  # the user wants KIS to be asked again, and the job was killed
        await store.execute(
            "UPDATE gaps SET state = 'open'"
            f" WHERE symbol = '{symbol}' AND session = '{day}' AND state = 'no_trade'"
        )
    if what == "grown":  # the calendar has learnt of other hours
        await store.execute(
            "UPDATE kept_sessions SET owed = owed + 1, stored = stored + 1"
            f" WHERE symbol = '{symbol}' AND session = '{day}'"
        )


def count(url: str, now: datetime, *, with_missing: bool = True) -> SessionFigures:
    ask = partial(query, url)
    return read_session_figures(ask, FIRST, LAST, now, with_missing=with_missing)


@settings(
    max_examples=60 if LONG else 6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink a history takes minutes
)
@given(histories, st.booleans(), st.sampled_from(MOMENTS))
def test_what_is_counted_is_what_all_minutes_say(
    played: str, history: dict[Any, Any], planned: bool, now: datetime
) -> None:
    asyncio.run(make_history(played, history, planned=planned))
    minutes = read_minutes(partial(query, played), FIRST, LAST, now)
    found = count(played, now)
    assert_frame_equal(found.figures, figures(minutes))
    missing = minutes.filter(pl.col("state").is_in(MISSING))
    assert_frame_equal(found.missing, missing.sort("symbol", "stamp"))
    assert_frame_equal(gap_runs(found.missing), gap_runs(missing))
    assert_frame_equal(count(played, now, with_missing=False).figures, found.figures)


def test_minutes_of_sessions_that_are_explained_are_not_read(
    played: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market's million bars a day must not be fetched to say that nothing is missing."""
    still = {"holes": {5: "no_trade", 6: "no_trade", 200: "halted"}, "kept": True, "then": ""}
    history = {(s, d): {**still, "validated": d == LAST} for s in STOCKS for d in DAYS}
    history[STOCKS[0], FIRST] = {"holes": {}, "kept": False, "validated": False, "then": ""}
    history[STOCKS[1], FIRST] = {**still, "validated": True, "then": "lost"}
    asyncio.run(make_history(played, history, planned=False))
    fetched: list[pl.DataFrame] = []

    def ask(sql: str) -> pl.DataFrame:
        fetched.append(query(played, sql))
        return fetched[-1]

    found = read_session_figures(ask, FIRST, LAST, EVENING)
    of_stocks = [
        frame.filter(pl.col("symbol").is_in(STOCKS)).height
        for frame in fetched
        if "symbol" in frame.columns
    ]
    assert max(of_stocks) == 381 - 4  # the bars of the one session that lacks one
    assert sum(of_stocks) < 381 + 100
    stocks = found.figures.filter(pl.col("symbol").is_in(STOCKS))
    assert stocks["missing"].sum() == 1
    assert found.missing.filter(pl.col("symbol").is_in(STOCKS))["stamp"].to_list() == [
        datetime(2026, 11, 12, 9, 1)
    ]
