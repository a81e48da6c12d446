"""The planner: the fewest calls that cover what is missing, newest first."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import STAMP
from engine.market.expected import expected_sessions, expected_stamps
from pipelines.history.plan import plan_calls

DAYS = date(2025, 9, 10), date(2025, 9, 12)
FUTURE = "101W12"
STOCK = "005930"
PAGES = {FUTURE: 102, STOCK: 120}
EXPECTED = expected_stamps(expected_sessions([FUTURE, STOCK], *DAYS))


def at(symbol: str, day: date, indices: set[int]) -> pl.DataFrame:
    chosen = EXPECTED.filter(
        pl.col("symbol") == symbol,
        pl.col("session") == day,
        pl.col("index_in_session").is_in(sorted(indices)),
    )
    return chosen.select(STAMP)


def calls(missing: pl.DataFrame, absent: pl.DataFrame | None = None) -> pl.DataFrame:
    known = missing if absent is None else pl.concat([missing, absent])
    stored = EXPECTED.join(known, on=STAMP, how="anti")
    return plan_calls(missing, EXPECTED, stored, missing.clear() if absent is None else absent)


def covered(call: dict, served: list[datetime], page: int) -> set[datetime]:
    """Return what KIS would answer: a page of its bars, backwards from the requested stamp."""
    return set([stamp for stamp in served if stamp <= call["until"]][-page:])


def fewest(ranks: list[int], page: int) -> int:
    """Return the least number of windows of `page` ranks that hold all, by dynamic programming."""
    best = [0] * (len(ranks) + 1)
    for end in range(1, len(ranks) + 1):
        best[end] = min(
            best[start] + 1 for start in range(end) if ranks[end - 1] - ranks[start] < page
        )
    return best[-1]


@given(st.sampled_from([FUTURE, STOCK]), st.sets(st.integers(0, 380), min_size=1, max_size=40))
def test_no_plan_with_fewer_calls_exists(symbol: str, indices: set[int]) -> None:
    day = DAYS[1]
    found = calls(at(symbol, day, indices))
    assert found.height == fewest(sorted(indices), PAGES[symbol])


@given(
    st.sampled_from([FUTURE, STOCK]),
    st.sets(st.integers(0, 380), min_size=1, max_size=40),
    st.sets(st.integers(0, 380), max_size=200),
)
def test_the_calls_cover_all_that_is_missing(
    symbol: str, indices: set[int], without_trade: set[int]
) -> None:
    day = DAYS[1]
    missing, absent = at(symbol, day, indices), at(symbol, day, without_trade - indices)
    served = EXPECTED.join(absent, on=STAMP, how="anti").filter(
        pl.col("symbol") == symbol, pl.col("session") == day
    )["stamp"]
    found = calls(missing, absent).to_dicts()
    answers = [covered(call, served.to_list(), PAGES[symbol]) for call in found]
    assert set(missing["stamp"]) <= set().union(*answers)
    for call, answer in zip(found, answers, strict=True):
        assert {call["since"]} <= answer
    assert sum(call["missing"] for call in found) == missing.height


def test_a_hole_of_ten_minutes_is_one_call() -> None:
    found = calls(at(FUTURE, DAYS[1], set(range(100, 110))))
    assert found.select("missing").rows() == [(10,)]
    assert found["until"].item() == datetime(2025, 9, 12, 10, 35)


def test_a_whole_day_needs_as_many_calls_as_it_has_pages() -> None:
    whole = pl.concat([at(FUTURE, DAYS[1], set(range(411))), at(STOCK, DAYS[1], set(range(381)))])
    counts = dict(calls(whole).group_by("symbol").len().iter_rows())
    assert counts == {FUTURE: 5, STOCK: 4}


def test_newest_sessions_and_newest_windows_come_first() -> None:
    whole = pl.concat([at(FUTURE, day, set(range(411))) for day in DAYS])
    order = calls(whole).select("session", "until").rows()
    assert order == sorted(order, reverse=True)


def test_a_hole_at_the_open_is_asked_for_with_a_bar_that_is_known() -> None:
    """An answer that lacks the bar at 08:50 proves nothing."""
    found = calls(at(FUTURE, DAYS[1], {0, 1, 2, 3}))
    assert found["until"].to_list() == [datetime(2025, 9, 12, 8, 50)]


def test_minutes_without_a_trade_fill_no_row_of_a_page() -> None:
    """A thin stock: two missing minutes 200 apart, and nearly nothing was traded between them."""
    missing, absent = at(STOCK, DAYS[1], {50, 250}), at(STOCK, DAYS[1], set(range(60, 240)))
    assert calls(missing).height == 2
    assert calls(missing, absent).height == 1


def test_nothing_missing_needs_no_call() -> None:
    assert calls(at(FUTURE, DAYS[1], set())).is_empty()


def test_many_sessions_are_planned_at_once() -> None:
    """One call plans nine months of two symbols, without a loop over sessions."""
    days = expected_sessions([FUTURE, STOCK], date(2025, 1, 2), DAYS[1])
    stamps = expected_stamps(days)
    holes = stamps.filter(pl.col("index_in_session") % 100 == 7).select(STAMP)
    stored = stamps.join(holes, on=STAMP, how="anti")
    found = plan_calls(holes, stamps, stored, holes.clear())
    assert found["missing"].sum() == holes.height
    assert found["until"].max() - found["until"].min() > timedelta(days=200)
