"""What ought to have been collected, also on days without a collector."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.history.collection import sessions_to_collect
from engine.market.expected import SESSIONS

FRI, MON, TUE = date(2026, 11, 13), date(2026, 11, 16), date(2026, 11, 17)
EXPIRY, AFTER = date(2026, 12, 10), date(2026, 12, 11)
NOTHING = SESSIONS.to_frame()


def pairs(*given: tuple[str, date]) -> pl.DataFrame:
    return pl.DataFrame(list(given), SESSIONS, orient="row")


def test_a_day_without_a_collector_ought_to_have_what_the_one_before_had() -> None:
    planned = pairs(("005930", FRI), ("A01612", FRI))
    known = pairs(("000660", FRI))  # only backfilled
    found = sessions_to_collect(planned, known, FRI, TUE)
    assert found.rows() == [
        ("000660", FRI),
        *(("005930", day) for day in (FRI, MON, TUE)),
        *(("A01612", day) for day in (FRI, MON, TUE)),
    ]


def test_front_months_roll() -> None:
    planned = pairs(("A01612", EXPIRY), ("202612_KOSPI200", EXPIRY), ("A01703", EXPIRY))
    found = sessions_to_collect(planned, NOTHING, EXPIRY, AFTER)
    assert found.filter(session=AFTER)["symbol"].to_list() == ["202701_KOSPI200", "A01703"]


def test_without_plans_what_is_stored_tells() -> None:
    """Today may be half over: what came yesterday and not yet today ought to come."""
    known = pairs(("005930", FRI), ("A01612", FRI), ("A01612", MON))
    assert sessions_to_collect(NOTHING, known, FRI, MON).height == 4
    assert sessions_to_collect(NOTHING, known, FRI, TUE).filter(session=TUE).rows() == [
        ("A01612", TUE)
    ]


def test_the_settings_tell_where_nothing_is_known() -> None:
    usual = ["A01", "005930", "202612_KOSPI200"]
    found = sessions_to_collect(NOTHING, NOTHING, FRI, MON, usual)
    assert found.rows() == [("005930", MON), ("202612_KOSPI200", MON), ("A01612", MON)]
    assert sessions_to_collect(NOTHING, NOTHING, FRI, MON).is_empty()
    assert sessions_to_collect(
        NOTHING, NOTHING, date(2026, 11, 14), date(2026, 11, 15), usual
    ).is_empty()


def test_a_symbol_that_a_plan_of_the_day_leaves_out_is_not_missing() -> None:
    planned = pairs(("005930", FRI), ("A01612", FRI), ("A01612", MON))
    assert sessions_to_collect(planned, NOTHING, FRI, MON).filter(session=MON).rows() == [
        ("A01612", MON)
    ]
