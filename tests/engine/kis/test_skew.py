"""By how much our clock is ahead of KIS's, as KIS's answers tell."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.kis.skew import Skew

KIS = datetime(2026, 11, 27, 10, 0)
MILLISECOND = timedelta(milliseconds=1)
answers = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 900), st.integers(0, 900)),
    min_size=1,
    max_size=30,
)


@given(st.integers(-70_000, 70_000), answers)
def test_the_difference_is_known_to_half_a_second_and_half_of_the_quickest_answer(
    milliseconds: int, times: list[tuple[int, int, int]]
) -> None:
    ahead = milliseconds * MILLISECOND
    skew = Skew()
    for at, way, back in times:
        answered = KIS + at * MILLISECOND
        dated = answered.replace(microsecond=0)
        skew.note(
            answered + ahead - way * MILLISECOND, answered + ahead + back * MILLISECOND, dated
        )
    quickest = min(way + back for _, way, back in times) * MILLISECOND
    assert abs(skew.ahead - ahead) <= (quickest + timedelta(seconds=1)) / 2


def test_a_clock_that_is_set_is_believed_anew() -> None:
    skew = Skew()
    skew.note(KIS, KIS, KIS)
    assert abs(skew.ahead) <= timedelta(seconds=1)
    skew.note(KIS + timedelta(minutes=1), KIS + timedelta(minutes=1), KIS)
    assert abs(skew.ahead - timedelta(minutes=1)) <= timedelta(seconds=1)


def test_answers_without_a_date_and_servers_that_tell_no_time_say_nothing() -> None:
    skew = Skew(tells_time=False)
    skew.note(KIS + timedelta(minutes=1), KIS + timedelta(minutes=1), KIS)
    assert skew.ahead == timedelta()
    skew = Skew()
    skew.note(KIS, KIS, None)
    assert skew.ahead == timedelta()
