"""What a strategy holds at a minute is what the backtest of the whole day says of that minute."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from strategies.backtesting.positions import positions, positions_by_signals
from strategies.backtesting.results import trades
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.standing import STANDING, standing_positions, trades_so_far
from strategies.registry import STRATEGIES
from tests.databases import examples
from tests.strategies.histories import histories
from tests.strategies.test_backtesting import DOLPHA1, FUTURES, LONG, PARAMS, RULES


def last_session(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.filter(pl.col("timestamp").dt.date() == pl.col("timestamp").dt.date().max())


@given(histories(symbols=FUTURES, **LONG), RULES)
@settings(max_examples=examples(15))
def test_each_minute_has_the_result_that_the_backtest_of_the_day_has_there(
    bars: pl.DataFrame, rules: BacktestRules
) -> None:
    """Position, next position and money, at every minute of the day, to the last bit."""
    whole = positions(bars.lazy(), DOLPHA1, PARAMS, rules)
    today = last_session(bars)
    signals = DOLPHA1.evaluate(bars.lazy(), PARAMS).collect()
    of_day = whole.filter(pl.col("session") == today["timestamp"].dt.date().max())
    earned = (pl.col("gross") - pl.col("cost")).cum_sum().over("symbol")
    expected = of_day.with_columns(net=earned)
    for moment in today["timestamp"].unique().sort():
        so_far = pl.col("timestamp") <= moment
        running = [s for s in FUTURES if today.filter(~so_far, pl.col("symbol") == s).height]
        found = standing_positions(
            positions_by_signals(
                # the bar before the day is what the first minute is compared with
                bars.filter(so_far).lazy(),
                signals.filter(so_far).lazy(),
                PARAMS,
                rules,
                running=running,
            ).filter(pl.col("session") == moment.date()),
            rules,
        )
        newest = expected.filter(so_far).group_by("symbol", maintain_order=True).last()
        assert found["net"].to_list() == pytest.approx(newest["net"].to_list(), abs=1e-6)
        is_over = ~pl.col("symbol").is_in(running)
        held = pl.when(is_over).then(0).otherwise("position") * rules.contracts
        assert found["position"].to_list() == newest.select(held).to_series().to_list()


def test_an_open_position_is_a_trade_that_has_not_ended() -> None:
    stamps = [datetime(2025, 9, 1, 8, 46 + n) for n in range(4)]
    bars = pl.DataFrame(
        {
            "symbol": ["101W09"] * 4,
            "timestamp": stamps,
            "open": [400.0, 401.0, 402.0, 403.0],
            "high": [404.0] * 4,
            "low": [399.0] * 4,
            "close": [400.5, 401.5, 402.5, 403.5],
            "volume": [10] * 4,
        }
    )
    signals = pl.DataFrame(
        {
            "symbol": ["101W09"] * 4,
            "timestamp": stamps,
            "trade_signal": [1, 0, 0, -1],
            "ub": [400.0] * 4,
            "lb": [390.0] * 4,
        }
    )
    rules = BacktestRules(contracts=2, commission_ticks=0, slippage_ticks=1)
    frames = {
        running: positions_by_signals(
            bars.lazy(), signals.lazy(), PARAMS, rules, running=("101W09",) if running else ()
        )
        for running in (True, False)
    }
    (now,) = standing_positions(frames[True], rules).rows(named=True)
    assert now == {
        "symbol": "101W09",
        "timestamp": stamps[3],
        "close": 403.5,
        "position": 2,
        "next_position": -2,
        "entered": stamps[1],
        "entry": 401.0,
        "trades": 1,
        "net": (403.5 - 401.0 - 0.05) * 250_000 * 2,
    }
    (trade,) = trades_so_far(frames[True], rules).rows(named=True)
    assert (trade["why"], trade["left"], trade["exit"], trade["bars"]) == ("open", None, 403.5, 3)
    assert trade["net"] == now["net"]
    (over,) = standing_positions(frames[False], rules).rows(named=True)
    assert (over["position"], over["next_position"], over["entry"]) == (0, 0, None)
    assert over["net"] == now["net"] - 0.05 * 250_000 * 2
    assert_frame_equal(trades_so_far(frames[False], rules), trades(frames[False], rules))


@given(histories(symbols=("101W09",), **LONG), RULES, st.integers(0, 2**32 - 1))
@settings(max_examples=examples(15))
def test_what_bars_without_a_signal_moved_is_earned_all_the_same(
    bars: pl.DataFrame, rules: BacktestRules, seed: int
) -> None:
    """Bars that a backfill brought later have no signal of the live day."""
    signals = DOLPHA1.evaluate(bars.lazy(), PARAMS).collect()
    given = signals.sample(fraction=0.7, seed=seed).sort("timestamp")
    found = positions_by_signals(bars.lazy(), given.lazy(), PARAMS, rules)
    net = standing_positions(found, rules)["net"].sum()
    assert net == pytest.approx(trades(found, rules)["net"].sum(), abs=1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_day_without_signals_has_no_position(strategy: object) -> None:
    nothing = positions_by_signals(
        pl.DataFrame(
            schema={"symbol": pl.String, "timestamp": pl.Datetime("us")}
            | dict.fromkeys(("open", "high", "low", "close"), pl.Float64)
            | {"volume": pl.Int64}
        ).lazy(),
        pl.DataFrame(
            schema={
                "symbol": pl.String,
                "timestamp": pl.Datetime("us"),
                "trade_signal": pl.Int64,
                "ub": pl.Float64,
                "lb": pl.Float64,
            }
        ).lazy(),
        PARAMS,
        BacktestRules(),
    )
    assert standing_positions(nothing, BacktestRules()).equals(STANDING.to_frame())
    assert trades_so_far(nothing, BacktestRules()).is_empty()
