from __future__ import annotations

import math

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.features import bars as bar
from tests.strategies.histories import histories, shuffled


def ordered(bars: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    return bar.in_order(bars.lazy()).with_columns(**columns).collect()


@settings(max_examples=20, deadline=None)
@given(histories(symbols=("B", "A")), st.integers(0, 99))
def test_order_and_repetition_of_the_input_do_not_matter(bars: pl.DataFrame, seed: int) -> None:
    again = pl.concat([shuffled(bars, seed), shuffled(bars, seed + 1)])
    assert_frame_equal(ordered(again), ordered(bars), check_exact=True)


@settings(max_examples=20, deadline=None)
@given(histories(symbols=("A", "B")))
def test_bars_and_sessions_are_counted_for_each_symbol(bars: pl.DataFrame) -> None:
    out = ordered(bars).with_columns(at_hand=bar.sessions_at_hand())
    for _, own in out.group_by("symbol"):
        assert own["bar_number"].to_list() == list(range(1, own.height + 1))
        seen = [own["session"][: n + 1].n_unique() for n in range(own.height)]
        assert own["at_hand"].to_list() == seen
    assert out["session_number"].n_unique() == out.select("symbol", "session").n_unique()


@settings(max_examples=20, deadline=None)
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


@settings(max_examples=20, deadline=None)
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
    values = np.concatenate([[1e15], rng.random(50)])
    frame = pl.DataFrame({"x": values, "bar_number": np.arange(1, 52), "by": 0})
    exact = frame.select(bar.mean_of_earlier("x", ["by"], count=5, at_least=5).alias("x"))
    later = frame[1:].select(bar.mean_of_earlier("x", ["by"], count=5, at_least=5).alias("x"))
    assert_frame_equal(exact[-40:], later[-40:], check_exact=True)
    bars = frame.select(bar.mean_of_bars("x", 5).alias("x"))
    tail = (
        frame[1:].with_columns(pl.col("bar_number") - 1).select(bar.mean_of_bars("x", 5).alias("x"))
    )
    assert_frame_equal(bars[-40:], tail[-40:], check_exact=True)
