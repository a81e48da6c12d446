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
    missing, differs, corrected, flapped = places[:4]
    row = pl.int_range(pl.len())
    wrong = truth.with_columns(
        monitor_signal=pl.when(row.is_in([differs, corrected])).then(7).otherwise("monitor_signal")
    ).cast({"monitor_signal": pl.Int64})
    extra = truth.head(1).with_columns(pl.col("timestamp").dt.offset_by("-1d"))
    stored = pl.concat([wrong.filter(row != missing), extra])
    # a row that was corrected and corrected back stands as it was given
    recorded = pl.concat([truth[corrected], wrong[flapped].with_columns(ub=pl.lit(1.0))])
    found = differences(truth, stored, recorded)
    by_stamp = dict(found.select("timestamp", "state").iter_rows())
    assert by_stamp == {
        truth["timestamp"][missing]: "missing",
        truth["timestamp"][differs]: "differs",
        truth["timestamp"][corrected]: "corrected",
        extra["timestamp"][0]: "unexpected",
    }
    named = found.filter(pl.col("state").is_in(["differs", "corrected"]))["columns"]
    assert named.to_list() == [["monitor_signal"]] * 2


@settings(max_examples=10, deadline=None)
@given(histories(sessions=6, minutes=12))
def test_what_is_the_same_to_the_bit_is_no_difference(bars: pl.DataFrame) -> None:
    truth = signals(bars)
    assert differences(truth, truth, truth.clear()).is_empty()
    nudged = truth.with_columns(pl.col("close") * (1 + 2**-52))
    assert differences(truth, nudged, truth.clear()).height == truth.height
