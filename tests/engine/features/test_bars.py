"""Features of bars: any order and repetition, windows within a session, the same bits."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.columns import BARS
from engine.features import bars as bar
from tests.databases import examples
from tests.strategies.histories import histories, shuffled


def ordered(bars: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    return bar.in_order(bars.lazy()).with_columns(**columns).collect()


@settings(max_examples=examples(20), deadline=None)
@given(histories(symbols=("B", "A")), st.integers(0, 99))
def test_order_and_repetition_of_the_input_do_not_matter(bars: pl.DataFrame, seed: int) -> None:
    again = pl.concat([shuffled(bars, seed), shuffled(bars, seed + 1)])
    assert_frame_equal(ordered(again), ordered(bars), check_exact=True)


def test_integer_prices_and_other_time_units_are_accepted() -> None:
    frame = pl.DataFrame(
        {"timestamp": ["2025-09-01 09:01"], "symbol": ["005930"], "volume": [7]}
        | {price: [70_000] for price in bar.PRICES}
    ).with_columns(pl.col("timestamp").str.to_datetime(time_unit="ms"))
    out = ordered(frame, vwap=bar.vwap())
    assert out.select(BARS.names()).schema == BARS
    assert out["vwap"].to_list() == [70_000.0]


@settings(max_examples=examples(20), deadline=None)
@given(histories(symbols=("A", "B")))
def test_bars_and_sessions_are_counted_for_each_symbol(bars: pl.DataFrame) -> None:
    out = ordered(bars).with_columns(at_hand=bar.sessions_at_hand())
    for _, own in out.group_by("symbol"):
        assert own["bar_number"].to_list() == list(range(1, own.height + 1))
        seen = [own["session"][: n + 1].n_unique() for n in range(own.height)]
        assert own["at_hand"].to_list() == seen
    assert out["session_number"].n_unique() == out.select("symbol", "session").n_unique()


@settings(max_examples=examples(20), deadline=None)
@given(histories(symbols=("A", "B")))
def test_vwap_lies_within_the_sessions_range_and_is_null_without_volume(bars: pl.DataFrame) -> None:
    out = ordered(bars, vwap=bar.vwap(), traded=pl.col("volume").cum_sum().over("session_number"))
    assert out.filter(pl.col("traded") == 0)["vwap"].null_count() == (out["traded"] == 0).sum()
    known = out.filter(pl.col("traded") > 0).with_columns(
        top=pl.col("high").max().over("session_number"),
        bottom=pl.col("low").min().over("session_number"),
    )
    assert known["vwap"].is_finite().all()
    assert (known["vwap"] <= known["top"] + 1e-9).all()
    assert (known["vwap"] >= known["bottom"] - 1e-9).all()


@settings(max_examples=examples(20), deadline=None)
@given(histories(symbols=("A", "B")), st.integers(1, 12))
def test_a_mean_of_bars_stays_within_its_symbol(bars: pl.DataFrame, count: int) -> None:
    ranged = ordered(bars, true_range=bar.true_range())
    out = ranged.with_columns(atr=bar.mean_of_bars("true_range", count))
    for _, own in out.group_by("symbol"):
        spans = own["true_range"].to_list()
        for n, atr in enumerate(own["atr"], start=1):
            assert (atr is None) == (n < count)
            if atr is not None:
                assert math.isclose(atr, math.fsum(spans[n - count : n]) / count, rel_tol=1e-12)


def test_a_large_value_that_left_the_window_leaves_no_trace() -> None:
    """A running sum keeps the rounding of what it took away; a sum of the window does not."""
    rng = np.random.default_rng(3)
    first = date(2025, 1, 1)
    frame = pl.DataFrame(
        {
            "symbol": "X",
            "session": [first + timedelta(days=n) for n in range(51)],
            "minute": 5,
            "x": np.concatenate([[1e15], rng.random(50)]),
            "bar_number": np.arange(1, 52),
        }
    )

    def means(bars: pl.DataFrame) -> pl.DataFrame:
        earlier = bar.with_mean_of_earlier(bars.lazy(), "a", "x", "minute", count=5, at_least=5)
        return earlier.select("a", bar.mean_of_bars("x", 5).alias("b")).collect()

    whole = means(frame)
    without = means(frame[1:].with_columns(pl.col("bar_number") - 1))
    assert_frame_equal(without[-40:], whole[-40:], check_exact=True)


@settings(max_examples=examples(40), deadline=None)
@given(histories(symbols=("B", "A"), sessions=8), st.integers(1, 6), st.integers(1, 4))
def test_a_mean_of_earlier_sessions_takes_those_that_have_the_minute(
    bars: pl.DataFrame, count: int, at_least: int
) -> None:
    minute = pl.col("timestamp").dt.hour() * 60 + pl.col("timestamp").dt.minute() - 600
    frame = ordered(bars, minute=minute.cast(pl.Int64))
    out = bar.with_mean_of_earlier(
        frame.lazy(), "mean", "close", "minute", count=count, at_least=at_least
    ).collect()
    assert out.columns == [*frame.columns, "mean"]
    for row in out.iter_rows(named=True):
        earlier = frame.filter(
            pl.col("symbol") == row["symbol"],
            pl.col("minute") == row["minute"],
            pl.col("session") < row["session"],
        )["close"].to_list()[-count:]
        if len(earlier) < at_least:
            assert row["mean"] is None
        else:
            assert math.isclose(row["mean"], math.fsum(earlier) / len(earlier), rel_tol=1e-12)


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
@pytest.mark.parametrize("rows", [1, 2, 3000])
def test_a_quotient_has_the_same_bits_in_every_frame(engine: Any, rows: int) -> None:
    dividend = np.random.default_rng(0).random(rows)
    frame = pl.LazyFrame({"a": dividend}).with_columns(b=pl.lit(10.0))
    for divisor in (pl.lit(10), pl.lit(10.0), pl.col("b")):
        quotient = frame.select(bar.quotient(pl.col("a"), divisor)).collect(engine=engine)
        assert quotient.to_series().to_list() == (dividend / 10).tolist()
