"""Stored signals compared with computed ones: missing, unexpected, different or the same."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.comparison import differences
from strategies.opening_range import OpeningRange, OpeningRangeParams
from tests.strategies.histories import histories

OUT = OpeningRange()


def signals(bars: pl.DataFrame) -> pl.DataFrame:
    return OUT.evaluate(bars.lazy(), OpeningRangeParams(range_minutes=5)).collect()


@settings(max_examples=20, deadline=None)
@given(histories(sessions=6, minutes=12), st.data())
def test_each_row_is_in_the_state_that_its_story_gave_it(
    bars: pl.DataFrame, data: st.DataObject
) -> None:
    truth = signals(bars)
    places = data.draw(st.permutations(range(truth.height)))
    missing, differs = places[:2]
    row = pl.int_range(pl.len())
    wrong = truth.with_columns(
        monitor_signal=pl.when(row == differs).then(7).otherwise("monitor_signal")
    ).cast({"monitor_signal": pl.Int64})
    extra = truth.head(1).with_columns(pl.col("timestamp").dt.offset_by("-1d"))
    stored = pl.concat([wrong.filter(row != missing), extra])
    found = differences(truth, stored)
    by_stamp = dict(found.select("timestamp", "state").iter_rows())
    assert by_stamp == {
        truth["timestamp"][missing]: "missing",
        truth["timestamp"][differs]: "differs",
        extra["timestamp"][0]: "unexpected",
    }
    assert found.filter(pl.col("state") == "differs")["columns"].to_list() == [["monitor_signal"]]


@settings(max_examples=10, deadline=None)
@given(histories(sessions=6, minutes=12))
def test_what_is_the_same_to_the_bit_is_no_difference(bars: pl.DataFrame) -> None:
    truth = signals(bars)
    assert differences(truth, truth).is_empty()
    nudged = truth.with_columns(pl.col("close") * (1 + 2**-52))
    assert differences(truth, nudged).height == truth.height
