"""`just replay`: stored signals against signals computed again, and what --store adds."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.errors import InputError
from engine.store import Store
from pipelines.evaluation.replay import replay_signals, store_signals
from pipelines.reports.evaluation_tables import differences_table, print_replay
from strategies.base import Strategy
from strategies.registry import STRATEGIES
from strategies.window import LiveWindow
from tests.pipelines.random_bars import random_bars

SYMBOL, FIRST, DAY = "101W12", date(2025, 9, 15), date(2025, 9, 24)
on_each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(SYMBOL, FIRST, DAY, minutes=45)


async def put(store: Store, bars: pl.DataFrame) -> None:
    rows = bars.with_columns(
        fetched_at=pl.lit(datetime(2025, 9, 24, 16), pl.Datetime("us")), source=pl.lit(schemas.REST)
    )
    await store.merge("futures_1m", schemas.conform(rows, schemas.FUTURES_BARS))


async def give(store: Store, window: LiveWindow, answer: pl.DataFrame, at: int) -> None:
    """Do what the collector does with an answer: commit bars, then the signals they lead to."""
    await put(store, answer)
    now = datetime.combine(DAY, datetime.min.time()) + timedelta(hours=9, minutes=at)
    rows = window.push(answer).with_columns(created_at=pl.lit(now, pl.Datetime("us")))
    await store.merge(window.table, schemas.conform(rows, window.schema))


async def live_day(store: Store, strategy: Strategy[Any], bars: pl.DataFrame) -> None:
    """A day on which a bar comes late and another is corrected twice, back to what it was."""
    warm = bars.filter(pl.col("timestamp").dt.date() < DAY)
    live = bars.filter(pl.col("timestamp").dt.date() == DAY)
    await put(store, warm)
    window = LiveWindow(strategy, strategy.params(), SYMBOL, warm, since=DAY)
    late, wrong = live[7:8], live[12:13].with_columns(close=pl.lit(431.0), high=pl.lit(431.0))
    await give(store, window, live[:7], at=7)
    await give(store, window, pl.concat([live[8:12], wrong, live[13:20]]), at=20)
    await give(store, window, pl.concat([late, live[20:30]]), at=30)
    await give(store, window, live[12:13], at=31)
    await give(store, window, live[30:], at=45)


@on_each_strategy
async def test_after_a_day_with_faults_what_is_stored_equals_one_evaluation_of_the_stored_bars(
    strategy: Strategy[Any], bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    await live_day(store, strategy, bars)
    found = replay_signals(database_url, strategy, strategy.params())
    live = bars.filter(pl.col("timestamp").dt.date() == DAY)
    assert found.computed.height == live.height
    assert found.is_clean
    assert set(found.counts) == {"same"}
    given = await store.query("SELECT given->>'reason' AS reason FROM signal_corrections")
    assert given.num_rows > 0  # what was said before the late bar came is kept
    whole = strategy.evaluate(bars.lazy(), strategy.params()).collect()
    expected = whole.filter(pl.col("timestamp").dt.date() == DAY)
    assert_frame_equal(found.computed, expected, check_exact=True)


async def test_rows_that_are_missing_or_wrong_are_found_and_added(
    bars: pl.DataFrame, store: Store, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = STRATEGIES["dolpha1"]
    await live_day(store, strategy, bars)
    stamp = "'2025-09-24 09:00'"
    await store.execute(f"DELETE FROM dolpha1_signal WHERE timestamp = {stamp}")
    await store.execute("UPDATE dolpha1_signal SET ub = 1 WHERE timestamp = '2025-09-24 15:45'")
    found = replay_signals(database_url, strategy, strategy.params())
    assert not found.is_clean
    assert found.counts["missing"] == 1
    assert found.counts["differs"] == 1
    print_replay(found, "dolpha1", as_json=False)
    assert "1 differs" in capsys.readouterr().out
    assert differences_table(found.differences, found.differences.height).row_count > 1
    counts = await store_signals(store, strategy, found.computed)
    assert (counts.inserted, counts.changed) == (1, 1)
    again = replay_signals(database_url, strategy, strategy.params())
    assert again.is_clean
    assert again.counts["same"] == again.computed.height


async def test_other_parameters_give_other_signals(
    bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    strategy = STRATEGIES["dolpha1"]
    await live_day(store, strategy, bars)
    other = strategy.params.model_validate({"band_multiplier": 0.1})
    found = replay_signals(database_url, strategy, other)
    assert not found.is_clean


async def test_without_signals_or_with_a_product_it_says_what_to_do(
    bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    strategy = STRATEGIES["dolpha1"]
    with pytest.raises(InputError, match="give --symbol"):
        replay_signals(database_url, strategy, strategy.params())
    with pytest.raises(InputError, match="several contracts"):
        replay_signals(database_url, strategy, strategy.params(), symbols=("A01_FRONT",))
    await put(store, bars)
    found = replay_signals(
        database_url, strategy, strategy.params(), symbols=(SYMBOL,), start=DAY, end=DAY
    )
    assert found.counts == {"same": 0, "missing": found.computed.height}


async def test_only_sessions_that_have_signals_are_compared_unless_a_span_is_asked_for(
    bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    """A roll: the next contract's warm-up is stored, and no signals of it were given."""
    strategy, old, roll = STRATEGIES["dolpha1"], "101W09", date(2025, 9, 23)
    before = random_bars(old, FIRST - timedelta(days=14), date(2025, 9, 11), minutes=45)
    await put(store, pl.concat([before, bars]))
    day = pl.col("timestamp").dt.date()
    spans = {old: before.filter(day > date(2025, 9, 8)), SYMBOL: bars.filter(day >= roll)}
    for symbol, given in spans.items():
        found = replay_signals(
            database_url,
            strategy,
            strategy.params(),
            symbols=(symbol,),
            start=given["timestamp"].min().date(),
            end=given["timestamp"].max().date(),
        )
        assert set(found.counts) == {"same", "missing"}, "the span that was asked for"
        await store_signals(store, strategy, found.computed)
    found = replay_signals(database_url, strategy, strategy.params())
    assert found.is_clean
    assert found.computed["symbol"].n_unique() == 2
    every = replay_signals(database_url, strategy, strategy.params(), start=FIRST, end=DAY)
    asked = bars.filter(day < roll)
    assert every.counts["missing"] == asked.height
    warm_up = random_bars(SYMBOL, date(2025, 9, 1), date(2025, 9, 11), minutes=45)
    await put(store, warm_up)
    with_warm_up = replay_signals(
        database_url, strategy, strategy.params(), start=date(2025, 9, 9), end=DAY
    )
    assert with_warm_up.counts["missing"] == asked.height, "it was not in front before the roll"
    named = replay_signals(
        database_url,
        strategy,
        strategy.params(),
        symbols=(SYMBOL,),
        start=date(2025, 9, 9),
        end=DAY,
    )
    assert named.counts["missing"] == asked.height + warm_up.filter(day >= date(2025, 9, 9)).height


async def test_signals_of_a_span_without_bars_are_told_not_stumbled_over(
    bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    strategy = STRATEGIES["dolpha1"]
    await live_day(store, strategy, bars)
    given = bars.filter(pl.col("timestamp").dt.date() == DAY).height
    await store.execute(f"DELETE FROM futures_1m WHERE timestamp >= '{DAY}'")
    found = replay_signals(database_url, strategy, strategy.params(), start=DAY, end=DAY)
    assert found.computed.is_empty()
    assert found.counts == {"same": 0, "unexpected": given}
