"""A night is one session: what a strategy gives and earns over it does not part at midnight."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from strategies.backtesting.positions import positions_by_signals
from strategies.backtesting.results import trades
from strategies.backtesting.rules import BacktestRules
from strategies.base import Params, Strategy
from strategies.registry import STRATEGIES
from strategies.turns import turns
from strategies.window import LiveWindow
from tests.databases import examples
from tests.strategies.histories import histories
from tests.strategies.test_window import QUICK, day_of


def at_night(bars: pl.DataFrame) -> pl.DataFrame:
    """The bars of mornings as those around midnight, at the same minutes of the hour."""
    return bars.with_columns(
        pl.col("timestamp").dt.offset_by("15h"), symbol=pl.col("symbol") + "_NIGHT"
    )


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@given(histories(sessions=9, fewest=6, minutes=30, gaps=(0.0, 0.1)))
@settings(max_examples=examples(10), deadline=None)
def test_a_night_gives_what_a_day_of_the_same_bars_does(
    strategy: Strategy[Any], bars: pl.DataFrame
) -> None:
    params = strategy.params.model_validate(QUICK[strategy.name])
    of_day = strategy.evaluate(bars.lazy(), params).collect()
    of_night = strategy.evaluate(at_night(bars).lazy(), params).collect()
    assert_frame_equal(of_night, at_night(of_day), check_exact=True)

    today = pl.col("timestamp").dt.date() == day_of(bars)
    warm, live = at_night(bars.filter(~today)), at_night(bars.filter(today))
    window = LiveWindow(strategy, params, "X_NIGHT", warm, since=day_of(bars))
    given = pl.concat([window.push(live[n : n + 4]) for n in range(0, live.height, 4)])
    assert_frame_equal(given, at_night(of_day.filter(today)), check_exact=True)
    of_both = turns(of_day).height, turns(of_night).height
    assert of_both[0] == of_both[1]


def test_a_position_is_held_past_midnight_and_left_in_the_morning() -> None:
    stamps = [datetime(2026, 11, 2, 23, 58) + timedelta(minutes=n) for n in range(4)] + [
        datetime(2026, 11, 3, 6),
        datetime(2026, 11, 3, 18, 1),
        datetime(2026, 11, 3, 18, 2),
    ]
    opens = [400.0, 401.0, 402.0, 403.0, 404.0, 450.0, 451.0]
    bars = pl.DataFrame(
        {
            "symbol": "A01612_NIGHT",
            "timestamp": stamps,
            "open": opens,
            "high": [price + 1 for price in opens],
            "low": [price - 1 for price in opens],
            "close": [price + 0.5 for price in opens],
            "volume": 10,
        }
    )
    signals = bars.select("symbol", "timestamp", trade_signal=1, ub=400.0, lb=390.0)
    rules = BacktestRules(commission_ticks=0, slippage_ticks=0)
    found = trades(positions_by_signals(bars.lazy(), signals.lazy(), Params(), rules), rules)
    (first,) = found.rows(named=True)
    assert first["session"] == date(2026, 11, 2)
    assert (first["entered"], first["left"]) == (stamps[1], stamps[4])
    assert first["net"] == (404.5 - 401.0) * 250_000
