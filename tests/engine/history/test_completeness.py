"""What is missing of a session, and why: one number for everything that shows it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine.history.completeness import figures, gap_runs, minutes_until, reasons
from engine.market.expected import SESSIONS, expected_stamps
from engine.store import ledger

DAY = date(2026, 11, 16)
FUTURE, STOCK, CHAIN = "A01612", "005930", "202612_KOSPI200"
EVENING = datetime(2026, 11, 16, 18)
TODAY = pl.DataFrame([(name, DAY) for name in (FUTURE, STOCK, CHAIN)], SESSIONS, orient="row")
STAMPS = expected_stamps(TODAY)


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 16, hour, minute)


def row(symbol: str, first: datetime, last: datetime, state: str, reason: str) -> dict[str, object]:
    return {
        "symbol": symbol,
        "session": DAY,
        "market": "any",
        "first_stamp": first,
        "last_stamp": last,
        "stamps": 1,
        "state": state,
        "attempts": 1,
        "reason": reason,
        "opened_at": EVENING,
        "updated_at": EVENING,
    }


def rows(*given: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(given), ledger.ROWS, orient="row")


def stored_but(*gaps: tuple[str, datetime, datetime]) -> pl.DataFrame:
    found = STAMPS
    for symbol, first, last in gaps:
        inside = (pl.col("symbol") == symbol) & pl.col("stamp").is_between(first, last)
        found = found.filter(~inside)
    return found.select("symbol", "stamp")


GAPS = [
    (FUTURE, at(10, 0), at(10, 4)),  # open: nobody has asked yet
    (FUTURE, at(11, 0), at(11, 1)),  # refused
    (STOCK, at(9, 1), at(9, 3)),  # no trade
    (STOCK, at(13, 0), at(13, 19)),  # halted
    (CHAIN, at(9, 0), at(9, 9)),  # unavailable
]
LEDGER = rows(
    row(FUTURE, *GAPS[1][1:], "refused", "the high is below the low"),
    row(STOCK, *GAPS[2][1:], "no_trade", "KIS has no bar there"),
    row(STOCK, *GAPS[3][1:], "halted", "a circuit breaker"),
    row(CHAIN, *GAPS[4][1:], "unavailable", "KIS has no history of option chains"),
    row(FUTURE, at(12, 0), at(12, 5), "filled", ""),
)


def test_each_minute_has_one_state_and_the_counts_add_up() -> None:
    found = figures(minutes_until(EVENING, TODAY, stored_but(*GAPS), LEDGER))
    counted = {name: counts for name, _, *counts in found.iter_rows()}
    # expected, stored, missing, open, unavailable, refused, no_trade
    assert counted == {
        FUTURE: [411, 404, 7, 5, 0, 2, 0],
        STOCK: [381, 358, 0, 0, 0, 0, 23],
        CHAIN: [420, 410, 10, 0, 10, 0, 0],
    }
    parts = found["stored"] + found["missing"] + found["no_trade"]
    assert (found["expected"] == parts).all()


def test_the_reasons_are_those_of_missing_minutes() -> None:
    minutes = minutes_until(EVENING, TODAY, stored_but(*GAPS), LEDGER)
    assert reasons(minutes).rows() == [
        ("unavailable", "KIS has no history of option chains", 10),
        ("open", "not collected", 5),
        ("refused", "the high is below the low", 2),
    ]
    runs = gap_runs(minutes)
    shown = runs.select("symbol", "first_stamp", "last_stamp", "stamps", "state").rows()
    assert shown == [
        (STOCK, *GAPS[2][1:], 3, "no_trade"),
        (STOCK, *GAPS[3][1:], 20, "halted"),
        (CHAIN, *GAPS[4][1:], 10, "unavailable"),
        (FUTURE, *GAPS[0][1:], 5, "open"),
        (FUTURE, *GAPS[1][1:], 2, "refused"),
    ]


def test_what_is_stored_is_not_missing_whatever_the_ledger_says() -> None:
    everything = minutes_until(EVENING, TODAY, stored_but(), LEDGER)
    assert figures(everything)["missing"].sum() == 0
    assert everything["reason"].null_count() == everything.height


def test_a_bar_that_was_filled_and_went_again_is_missing() -> None:
    gone = minutes_until(EVENING, TODAY, stored_but((FUTURE, at(12, 2), at(12, 2))), LEDGER)
    assert gap_runs(gone).select("state", "reason").rows() == [("open", "not collected")]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(8, 46), 0),  # the first bar has a minute in which to come
        (at(8, 47), 1),
        (at(15, 36), 410),
        (at(15, 46), 410),  # the auction's minute is only over now
        (at(15, 47), 411),
        (EVENING, 411),
    ],
)
def test_a_minute_is_expected_one_minute_after_its_end(now: datetime, expected: int) -> None:
    future = TODAY.filter(symbol=FUTURE)
    nothing = STAMPS.clear().select("symbol", "stamp")
    found = minutes_until(now, future, nothing, rows())
    assert (found.height, figures(found)["missing"].sum()) == (expected, expected)


def test_a_bar_counts_as_soon_as_it_is_stored() -> None:
    future = TODAY.filter(symbol=FUTURE)
    first = STAMPS.filter(symbol=FUTURE).head(1).select("symbol", "stamp")
    found = figures(minutes_until(at(8, 46), future, first, rows()))
    assert found.select("expected", "stored", "missing").rows() == [(1, 1, 0)]


def test_what_is_stored_of_the_future_does_not_count_yet() -> None:
    now = at(10, 11) + timedelta(seconds=2)
    found = figures(minutes_until(now, TODAY.filter(symbol=FUTURE), stored_but(), LEDGER))
    assert found.select("expected", "stored", "missing").rows() == [(86, 86, 0)]
