"""A live window, minute by minute, gives what one evaluation of all its bars gives."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from strategies.base import Strategy
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1
from strategies.registry import STRATEGIES
from strategies.window import LiveWindow
from tests.databases import examples
from tests.strategies.histories import histories, needs_real_file, real_bars

QUICK: dict[str, dict[str, Any]] = {
    "dolpha1": {"rolling_move": 3, "atr_period": 4, "observe_interval_minutes": 1},
    "opening_range": {"range_minutes": 5, "observe_interval_minutes": 1},
}
on_each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def day_of(bars: pl.DataFrame) -> date:
    return bars["timestamp"][-1].date()


def merged(table: pl.DataFrame | None, rows: pl.DataFrame) -> pl.DataFrame:
    """What the store does with rows: those of a known key replace the old ones."""
    if table is None:
        return rows
    return pl.concat([table.join(rows, on=["timestamp", "symbol"], how="anti"), rows])


def batch_signals(strategy: Strategy[Any], params: Any, bars: pl.DataFrame) -> pl.DataFrame:
    signals = strategy.evaluate(bars.lazy(), params).collect()
    return signals.filter(pl.col("timestamp").dt.date() == day_of(bars))


@on_each_strategy
@settings(max_examples=examples(10), deadline=None)
@given(histories(sessions=7, minutes=18), st.integers(0, 2**32 - 1))
def test_a_day_of_polls_with_late_and_corrected_bars_ends_as_one_evaluation_does(
    strategy: Strategy[Any], bars: pl.DataFrame, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    params = strategy.params.model_validate(QUICK[strategy.name])
    today = pl.col("timestamp").dt.date() == day_of(bars)
    warm, live = bars.filter(~today), bars.filter(today)
    window = LiveWindow(strategy, params, "X", warm, since=day_of(bars))
    table: pl.DataFrame | None = None
    for n in range(1, live.height + 1):
        answer = live[max(0, n - 6) : n].filter(pl.Series(rng.random(min(n, 6)) > 0.3))
        wrong = pl.Series(rng.random(answer.height) < 0.2)
        first = answer.with_columns(close=pl.when(wrong).then("open").otherwise("close"))
        for ahead in (answer, first, None):  # evaluated ahead: in vain, or for what comes
            if ahead is not None and rng.random() < 0.5:
                window.prepare(ahead)
        table = merged(table, window.push(first))
        if rng.random() < 0.05:  # a restart: the stored bars are loaded again
            stored = pl.concat([warm, window._held.session], how="diagonal")
            window = LiveWindow(strategy, params, "X", stored, since=day_of(bars))
    table = merged(table, window.push(live))
    expected = batch_signals(strategy, params, bars)
    assert_frame_equal(table.sort("timestamp"), expected, check_exact=True)


@on_each_strategy
@needs_real_file
def test_a_real_day_minute_by_minute_equals_all_history_in_one_go(strategy: Strategy[Any]) -> None:
    bars, params = real_bars(), strategy.params()
    days = bars["timestamp"].dt.date().unique().sort()
    day = days[60]
    of_day = pl.col("timestamp").dt.date() == day
    first = days[60 - strategy.warm_up_sessions(params)]
    warm = bars.filter(pl.col("timestamp").dt.date().is_between(first, day, closed="left"))
    window = LiveWindow(strategy, params, "A01_FRONT", warm, since=day)
    live = bars.filter(of_day)
    rows = [window.push(live[max(0, n - 102) : n]) for n in range(3, live.height + 1, 3)]
    assert [r.height for r in rows] == [3] * 137
    expected = strategy.evaluate(bars.lazy(), params).filter(of_day).collect()
    assert_frame_equal(pl.concat(rows), expected, check_exact=True)


def window_of(bars: pl.DataFrame, stored: pl.DataFrame | None = None) -> LiveWindow:
    params = Dolpha1().params.model_validate(QUICK["dolpha1"])
    stored = bars if stored is None else stored
    return LiveWindow(Dolpha1(), params, "X", stored, since=day_of(bars))


@settings(max_examples=examples(10), deadline=None)
@given(histories(sessions=8, minutes=24))
def test_what_was_given_before_is_not_given_again(bars: pl.DataFrame) -> None:
    window = window_of(bars)
    of_the_day = bars.filter(pl.col("timestamp").dt.date() == day_of(bars)).height
    assert window.push(bars.tail(3)).height == of_the_day  # after a restart: the day so far
    assert window.push(bars.tail(3)).is_empty()
    assert window.push(bars.with_columns(symbol=pl.lit("Y"))).is_empty()


@settings(max_examples=examples(10), deadline=None)
@given(histories(sessions=8, minutes=24))
def test_a_minute_costs_no_more_than_the_one_before(bars: pl.DataFrame) -> None:
    """Polars takes longer the more pieces a frame is made of: a session had as many as minutes."""
    today = pl.col("timestamp").dt.date() == day_of(bars)
    window, live = window_of(bars, bars.filter(~today)), bars.filter(today)
    for n in range(live.height):
        window.push(live[n : n + 1])
    session, given = window._held.session, window._held.given
    assert given is not None
    assert (session.height, session.n_chunks(), given.n_chunks()) == (live.height, 1, 1)


@settings(max_examples=examples(10), deadline=None)
@given(histories(sessions=8, minutes=24))
def test_a_correction_gives_the_rows_from_its_stamp_on_that_it_changes(bars: pl.DataFrame) -> None:
    window = window_of(bars)
    before = window.push(bars.tail(1))
    stamp = before["timestamp"][before.height // 2]
    hit = pl.col("timestamp") == stamp
    corrected = bars.filter(hit).with_columns(pl.col("close") + 5, pl.col("high") + 9)
    after = window.push(corrected)
    assert after["timestamp"].min() == stamp
    assert after.join(before, on=after.columns, how="semi", nulls_equal=True).is_empty()


def test_a_correction_in_the_warm_up_changes_the_bands_of_today() -> None:
    rows = [(d, m) for d in (1, 2, 3, 4, 5) for m in range(46, 60)]
    bars = pl.DataFrame(
        {"timestamp": [f"2025-09-{d:02d} 08:{m}:00" for d, m in rows]}
    ).with_columns(
        pl.col("timestamp").str.to_datetime(time_unit="us"),
        pl.lit("X").alias("symbol"),
        *(pl.lit(400.0).alias(p) for p in ("open", "high", "low", "close")),
        pl.lit(1).alias("volume"),
    )
    window = window_of(bars)
    before = window.push(bars.tail(1))
    changed = window.push(bars[14 * 3 + 5].with_columns(close=pl.lit(404.0)))
    assert before["timestamp"].dt.date().unique().to_list() == [date(2025, 9, 5)]
    # sigma at that minute rises; the minutes after it have values of their own
    assert changed["timestamp"].dt.minute().to_list()[0] in (46, 51)
    assert changed.filter(pl.col("timestamp").dt.minute() == 51)["ub"].item() > 400


@needs_real_file
def test_dolpha1_reads_few_bars_for_a_minute_and_all_where_a_minute_is_too_rare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars, params = real_bars(), Dolpha1().params()
    day = bars["timestamp"].dt.date().unique().sort()[60]
    before = bars.filter(pl.col("timestamp").dt.date() < day).tail(20 * 411)
    live = bars.filter(pl.col("timestamp").dt.date() == day)
    seen: list[int] = []
    evaluate = Dolpha1.evaluate

    def watched(self: Dolpha1, given: pl.LazyFrame, how: Dolpha1Params) -> pl.LazyFrame:
        seen.append(given.collect().height)
        return evaluate(self, given, how)

    monkeypatch.setattr(Dolpha1, "evaluate", watched)
    minute = live["timestamp"][200]
    rare = pl.col("timestamp").dt.time() == minute.time()
    for warm, few in ((before, True), (before.filter(~rare), False)):
        window = LiveWindow(Dolpha1(), params, "A01_FRONT", warm, since=day)
        window.push(live.head(200))
        (row,) = window.push(live[200:201]).rows()
        everything = evaluate(Dolpha1(), pl.concat([warm, live.head(201)]).lazy(), params)
        assert row == everything.collect().row(-1)
        assert (seen[-1] < 400) is few
        assert row[everything.collect().columns.index("sigma_open")] is not None


@on_each_strategy
@settings(max_examples=examples(10), deadline=None)
@given(histories(sessions=7, minutes=12))
def test_bars_of_the_session_before_may_come_one_after_another_to_an_open_window(
    strategy: Strategy[Any], bars: pl.DataFrame
) -> None:
    """They are newer than all that it holds, and yet of the history, of which it keeps a choice."""
    params = strategy.params.model_validate(QUICK[strategy.name])
    today = pl.col("timestamp").dt.date() == day_of(bars)
    warm, live = bars.filter(~today), bars.filter(today)
    window = LiveWindow(strategy, params, "X", warm.head(-8), since=day_of(bars))
    parts = [*warm.tail(8).iter_slices(2), *live.iter_slices(1)]
    table = pl.concat([window.push(part) for part in parts])
    expected = batch_signals(strategy, params, bars)
    assert_frame_equal(table.sort("timestamp"), expected, check_exact=True)
