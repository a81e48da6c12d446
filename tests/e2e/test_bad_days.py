"""Days on which KIS misbehaves: afterwards nothing can be told from a good day."""

from datetime import date

import polars as pl
import pytest

from tests.databases import LONG
from tests.e2e.conftest import new_desk, started_at
from tests.e2e.recorded import BARS, assert_signals_equal_batch, recorded
from tests.paths import FUTURES_FILE, needs

DAY = date(2025, 9, 1)
pytestmark = [needs(FUTURES_FILE), pytest.mark.long]


@pytest.fixture(scope="module", params=["rough", "storm"])
def bad_day(request):
    """A desk after a bad day, and the day's summary."""
    replay = ("--recorded", str(FUTURES_FILE), "--date", f"{DAY}", "--future", "A01")
    with new_desk() as desk:
        options = ("--faults", request.param, "--seed", "1", *started_at("14:15"))
        summary = desk.live(*replay, *options) | {"faults": request.param}
        with desk.serving():
            yield desk, summary


def test_every_bar_and_every_value_is_as_recorded(bad_day):
    desk, summary = bad_day
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM futures_101 WHERE timestamp::date = '{DAY}'")
    truth = recorded(FUTURES_FILE, DAY, "15:45").with_columns(symbol=pl.lit("101W09"))
    assert stored.sort("timestamp").equals(truth)
    assert summary["gaps"] == 0
    assert all(gap["reason"] for gap in summary["gap_list"])


def test_we_caused_few_refusals_ourselves(bad_day):
    _, summary = bad_day
    learning = 10  # how fast KIS may be asked is learned from refusals
    assert summary["refused"] < 0.01 * summary["calls"]["calls"] + learning


def test_live_signals_equal_the_strategy_run_over_the_stored_bars(bad_day):
    desk, _ = bad_day
    assert_signals_equal_batch(desk.ask, DAY)


def test_what_was_said_at_the_time_can_still_be_seen(bad_day):
    desk, summary = bad_day
    replaced = desk.ask("SELECT count(*) AS n FROM replaced_bars").item()
    given = desk.ask(
        """SELECT timestamp, (given->>'created_at')::timestamp AS said, recorded_at AS mended
           FROM signal_corrections WHERE table_name = 'dolpha1_signal'"""
    )
    assert summary["corrections"] == replaced
    if LONG or summary["faults"] == "storm":  # an afternoon of `rough` may need no correction
        assert replaced > 0
        assert given.height > 0
    assert given.filter(~pl.col("said").is_between("timestamp", "mended")).is_empty()
