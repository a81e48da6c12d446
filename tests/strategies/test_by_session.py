from __future__ import annotations

from datetime import date

from polars.testing import assert_frame_equal

from strategies.by_session import evaluate_sessions, warm_up_begins
from strategies.registry import STRATEGIES
from tests.pipelines.random_bars import random_bars

DOLPHA1 = STRATEGIES["dolpha1"]


def test_the_first_sessions_of_the_calendar_have_the_warm_up_that_there_is() -> None:
    """There are not twenty sessions before them; `evaluate` says what that means."""
    params = DOLPHA1.params()
    bars = random_bars("005930", date(2015, 1, 2), date(2015, 1, 12), minutes=40)
    days = bars["timestamp"].dt.date().unique().sort().to_list()
    assert warm_up_begins(DOLPHA1, params, days[-1]) == date(2015, 1, 1)
    found = evaluate_sessions(DOLPHA1, params, bars, days)
    assert_frame_equal(found, DOLPHA1.evaluate(bars.lazy(), params).collect(), check_exact=True)
