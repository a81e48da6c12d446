"""No strategy may know at t what happens after t: shown for every bar, cell by cell.

Since a strategy takes any number of symbols at once, every prefix of a history becomes a symbol of
its own, and one evaluation answers for all of them. The real file is in `test_every_real_bar`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from strategies.base import Strategy
from strategies.dolpha1.features import features
from strategies.dolpha1.params import Dolpha1Params
from strategies.registry import STRATEGIES
from tests.databases import examples
from tests.strategies.histories import histories

Evaluate = Callable[[pl.LazyFrame], pl.LazyFrame]
QUICK: dict[str, dict[str, Any]] = {
    "dolpha1": {"rolling_move": 3, "atr_period": 4, "observe_interval_minutes": 1},
    "opening_range": {"range_minutes": 5, "observe_interval_minutes": 1},
}


def chosen(strategy: Strategy[Any]) -> Evaluate:
    params = strategy.params.model_validate(QUICK[strategy.name])
    return lambda bars: strategy.evaluate(bars, params)


def assert_knows_nothing_of_the_future(evaluate: Evaluate, bars: pl.DataFrame) -> None:
    """Evaluate all prefixes of one symbol's bars; each row must be what it is in the whole.

    Six digits are a stock's code, so that minutes count from the calendar's first stamp.
    """
    ordered = bars.sort("timestamp").with_row_index("row").with_columns(symbol=pl.lit("000000"))
    prefixes = (
        ordered.select(pl.col("row").alias("until"))
        .join(ordered, how="cross")
        .filter(pl.col("row") <= pl.col("until"))
        .with_columns(pl.col("until").cast(pl.String).str.zfill(6).alias("symbol"))
    )
    whole = evaluate(ordered.lazy()).drop("symbol").collect()
    seen = evaluate(prefixes.lazy()).collect()
    expected = seen.select("symbol", "timestamp").join(whole, on="timestamp", maintain_order="left")
    assert seen.height == prefixes.height
    assert_frame_equal(seen.select(expected.columns), expected, check_exact=True)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@settings(max_examples=examples(15), deadline=None)
@given(histories(sessions=8, minutes=20))
def test_each_prefix_of_a_history_gives_the_signals_of_the_whole(
    strategy: Strategy[Any], bars: pl.DataFrame
) -> None:
    assert_knows_nothing_of_the_future(chosen(strategy), bars)


def shown(bars: pl.LazyFrame) -> pl.LazyFrame:
    of_features = features(bars, Dolpha1Params(rolling_move=3))
    return of_features.select("timestamp", "symbol", "sigma_open", "session")


def filled_backwards(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Do what the system before this one did: fill the gaps of sigma_open from later minutes."""
    return shown(bars).with_columns(pl.col("sigma_open").backward_fill().over("symbol", "session"))


@settings(max_examples=examples(15), deadline=None)
@given(histories(symbols=("000000",), sessions=9, fewest=7, minutes=16, gaps=(0.5,)))
def test_a_version_that_fills_backwards_would_be_caught(bars: pl.DataFrame) -> None:
    """Where backward filling changes anything at all, the proof above must fail."""
    honest = shown(bars.lazy()).collect()
    peeking = filled_backwards(bars.lazy()).collect()
    if honest.equals(peeking):
        assert_knows_nothing_of_the_future(filled_backwards, bars)
        return
    with pytest.raises(AssertionError):
        assert_knows_nothing_of_the_future(filled_backwards, bars)


def test_the_backward_filler_is_caught_on_a_history_made_for_it() -> None:
    """Three sessions begin at minute 2; the fourth has minutes 0 and 1, whose moves none knows."""
    stamps = [
        datetime(2025, 9, day, 8, 46) + timedelta(minutes=n)
        for day in (1, 2, 3, 4)
        for n in range(0 if day == 4 else 2, 9)
    ]
    rng = np.random.default_rng(7)
    close = 400 + rng.normal(0, 2, len(stamps))
    bars = pl.DataFrame({"timestamp": pl.Series(stamps, dtype=pl.Datetime("us"))}).with_columns(
        *(pl.Series(price, close) for price in ("open", "high", "low", "close")),
        pl.lit(1).alias("volume"),
    )

    assert_knows_nothing_of_the_future(shown, bars)
    with pytest.raises(AssertionError):
        assert_knows_nothing_of_the_future(filled_backwards, bars)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@settings(max_examples=examples(20), deadline=None)
@given(histories(sessions=8, minutes=20), st.data())
def test_what_happens_to_later_bars_changes_nothing_before(
    strategy: Strategy[Any], bars: pl.DataFrame, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, bars.height - 1))
    seed = data.draw(st.integers(0, 99))
    known, later = bars[:cut], bars[cut:]
    changed = later.sample(fraction=data.draw(st.sampled_from([0.0, 0.5, 1.0])), seed=seed)
    corrected = changed.with_columns(
        pl.col("close") * 1.5, pl.col("high") * 2, volume=pl.lit(7, pl.Int64)
    )
    appended = later.with_columns(pl.col("timestamp").dt.offset_by("30d"))
    evaluate = chosen(strategy)
    until = pl.col("timestamp") <= known["timestamp"][-1]
    before = evaluate(bars.lazy()).filter(until).collect()
    after = evaluate(pl.concat([known, corrected, appended]).lazy()).filter(until).collect()
    assert_frame_equal(after, before, check_exact=True)
