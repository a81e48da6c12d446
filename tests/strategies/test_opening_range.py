"""opening_range against its rule in plain Python."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.opening_range import OpeningRange, OpeningRangeParams
from strategies.registry import STRATEGIES
from tests.strategies.histories import histories


def slowly(bars: list[dict], minutes: int, observe: int) -> list[tuple]:
    """The rule once more, a row at a time."""
    rows, day, high, low = [], None, 0.0, 0.0
    for bar in bars:
        if bar["timestamp"].date() != day:
            day, first, high, low = bar["timestamp"].date(), bar["timestamp"], None, None
        if bar["timestamp"] - first < timedelta(minutes=minutes):
            high, low = max(high or 0, bar["high"]), min(low or 1e9, bar["low"])
            rows.append((0, 0, None, None))
            continue
        signal = 1 if bar["close"] > high else -1 if bar["close"] < low else 0
        traded = signal if bar["timestamp"].minute % observe == 0 else 0
        rows.append((signal, traded, high, low))
    return rows


@settings(max_examples=25, deadline=None)
@given(histories(minutes=40), st.integers(1, 20), st.integers(1, 15))
def test_who_leaves_the_opening_range_is_followed(
    bars: pl.DataFrame, minutes: int, observe: int
) -> None:
    params = OpeningRangeParams(range_minutes=minutes, observe_interval_minutes=observe)
    out = OpeningRange().evaluate(bars.lazy(), params).collect()
    assert out.select("monitor_signal", "trade_signal", "ub", "lb").rows() == slowly(
        bars.to_dicts(), minutes, observe
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_gives_the_columns_of_its_table(name: str) -> None:
    bars = pl.Schema(dict.fromkeys(("open", "high", "low", "close"), pl.Float64))
    bars |= {"timestamp": pl.Datetime("us"), "symbol": pl.String(), "volume": pl.Int64()}
    strategy, table = STRATEGIES[name], pl.Schema(STRATEGIES[name].schema)
    out = strategy.evaluate(pl.LazyFrame(schema=bars), strategy.params())
    assert out.collect_schema().items() == table.items() - {("created_at", pl.Datetime("us"))}
    assert list(out.collect().schema) == list(table)[:-1]
