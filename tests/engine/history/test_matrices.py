"""Matrices in other shapes, and bars joined with the chain's summary."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import InputError
from engine.history.matrices import by_metric, long_matrix, wide_matrix, with_summary
from engine.schemas import level_columns

START = datetime(2026, 11, 16, 8, 46)


def matrix(cells: list[float | None], metrics: list[str]) -> pl.DataFrame:
    """Return one snapshot a minute of each metric, the cells repeated as often as needed."""
    columns = level_columns()
    rows = [(START + timedelta(minutes=m), metric) for m in range(2) for metric in metrics]
    values = {
        column: [cells[(r * 42 + i) % len(cells)] for r in range(len(rows))]
        for i, column in enumerate(columns)
    }
    return pl.DataFrame(
        {
            "timestamp": [time for time, _ in rows],
            "underlying_symbol": ["202612_KOSPI200"] * len(rows),
            "metric_type": [metric for _, metric in rows],
            **values,
        },
        schema_overrides=dict.fromkeys(columns, pl.Float64),
    ).sort("timestamp", "metric_type")


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_long_and_wide_are_the_same_matrix(cells: list[float | None]) -> None:
    wide = matrix(cells, ["delta", "iv"])
    assert_frame_equal(wide_matrix(long_matrix(wide.lazy())).collect(), wide)


def test_calls_and_puts_of_one_strike_have_the_same_step() -> None:
    cells = long_matrix(matrix([1.0], ["iv"]).lazy()).unique(["option_type", "level"]).collect()
    steps = {
        (side, level): step
        for side, level, step in cells.select("option_type", "level", "step").iter_rows()
    }
    assert steps["C", "otm3"] == steps["P", "itm3"] == 3
    assert steps["C", "itm10"] == steps["P", "otm10"] == -10
    assert steps["C", "atm"] == steps["P", "atm"] == 0
    assert len(steps) == 42


def test_metrics_become_columns() -> None:
    wide = matrix([float(i) for i in range(42)], ["delta", "gamma", "iv"])
    cells = by_metric(wide.lazy(), ["iv", "delta"]).collect()
    assert cells.columns[-2:] == ["iv", "delta"]
    assert cells.height == 2 * 42
    assert cells.filter(level="atm", option_type="C")["iv"].to_list() == [10.0, 10.0]


def test_a_bar_gets_the_summary_known_at_its_end_of_the_nearest_maturity() -> None:
    ends = [START + timedelta(minutes=n) for n in range(3)]
    bars = pl.LazyFrame({"timestamp": ends, "symbol": "A01612"})
    summaries = pl.LazyFrame(
        {
            "timestamp": [START] * 3,
            "underlying_symbol": ["202701_KOSPI200", "202612_KOSPI200", "202612_MINI_KOSPI200"],
            "days_to_expiry": [59.0, 24.0, 24.0],
            "atm_volatility": [31.0, 36.0, 99.0],
            "fetched_at": [START] * 3,
            "symbol": ["not", "the", "bar's"],
        }
    )
    joined = with_summary(bars, summaries).collect()
    assert joined["atm_volatility"].to_list() == [None, 36.0, None]
    assert joined["symbol"].to_list() == ["A01612"] * 3
    assert "fetched_at" not in joined.columns


def test_an_unknown_series_is_refused() -> None:
    summaries = pl.LazyFrame({"timestamp": [START], "underlying_symbol": ["202612_KOSPI200"]})
    with pytest.raises(InputError, match="not an option series"):
        with_summary(pl.LazyFrame({"timestamp": [START]}), summaries, "KOSPI")
