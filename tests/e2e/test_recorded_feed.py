"""A recorded day by the feed, good and bad: each recorded bar is stored, with its source.

As by the command `just live --recorded FILE --date 2025-09-01 --speed max --fresh --json`
with `stream` on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl
import pytest

from tests.e2e.conftest import Desk, new_desk
from tests.e2e.recorded import BARS, assert_signals_equal_batch, recorded
from tests.paths import FUTURES_FILE, needs

DAY = date(2025, 9, 1)
pytestmark = [needs(FUTURES_FILE), pytest.mark.long]
Day = tuple[Desk, dict[str, Any]]


@pytest.fixture(scope="module", params=["good", "rough", "storm"])
def fed_day(request: pytest.FixtureRequest) -> Iterator[Day]:
    """A desk after a day by the feed, and the day's summary."""
    faults = () if request.param == "good" else ("--faults", request.param)
    options = ("--recorded", str(FUTURES_FILE), "--date", f"{DAY}", "--fresh", *faults)
    with new_desk() as desk:
        summary = desk.live(*options, KRT_STREAM="true")
        feed = {name: value for name, value in summary["feed"].items() if name != "symbols"}
        sys.stdout.write(f"{request.param}: {feed}\n")  # for docs/reliability.md: pytest -s
        with desk.serving():
            yield desk, summary


def test_every_bar_and_every_value_is_as_recorded(fed_day: Day) -> None:
    desk, summary = fed_day
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM futures_101 WHERE timestamp::date = '{DAY}'")
    truth = recorded(FUTURES_FILE, DAY, "15:45").with_columns(symbol=pl.lit("101W09"))
    assert stored.sort("timestamp").equals(truth)
    lost = {gap["symbol"] for gap in summary["gap_list"]}
    assert lost <= {"202509_KOSPI200"}  # what was missed of a chain cannot be fetched again
    assert all(gap["reason"] for gap in summary["gap_list"])


def test_each_bar_of_the_feed_was_complete_and_rest_has_confirmed_it(fed_day: Day) -> None:
    desk, summary = fed_day
    found = desk.ask(
        f"SELECT source, confirmed_at FROM futures_101 WHERE timestamp::date = '{DAY}'"
    )
    by_feed = found.filter(pl.col("source") == "feed")
    assert by_feed["confirmed_at"].null_count() == 0
    assert by_feed.height == summary["feed"]["confirmed"]
    assert 0 < by_feed.height <= summary["feed"]["bars"]
    replaced = desk.ask("SELECT count(*) AS n FROM replaced_bars").item()
    assert summary["corrections"] == replaced


def test_signals_equal_the_strategies_run_over_all_bars(fed_day: Day) -> None:
    desk, _ = fed_day
    assert_signals_equal_batch(desk.ask, DAY)


def test_no_ten_minutes_have_more_than_four_connections(fed_day: Day) -> None:
    _, summary = fed_day
    assert 1 <= summary["feed"]["most_in_ten_minutes"] <= 4
