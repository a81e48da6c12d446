"""Backtests against a trader who goes bar by bar; figures against empyrical and a paper."""

from __future__ import annotations

from datetime import date
from math import isnan
from typing import Any

import empyrical
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import InputError
from strategies.backtesting.figures import deflated_sharpe, expected_best_sharpe, figures
from strategies.backtesting.rules import BacktestRules, terms, tick_at
from strategies.backtesting.run import Backtest, backtest
from strategies.registry import STRATEGIES
from tests.databases import examples
from tests.strategies.histories import histories, needs_real_file, real_bars

DOLPHA1 = STRATEGIES["dolpha1"]
PARAMS = DOLPHA1.params.model_validate(
    {"rolling_move": 3, "band_multiplier": 0.3, "use_vwap": False, "observe_interval_minutes": 2}
)
RULES = st.builds(
    BacktestRules,
    exit=st.sampled_from(["opposite", "inside"]),
    contracts=st.integers(1, 3),
    commission_ticks=st.sampled_from([0.0, 0.25]),
    slippage_ticks=st.sampled_from([0.0, 1.0]),
    capital=st.sampled_from([None, 5e7]),
)
FUTURES = ("101W09", "105W09")
LONG = {"sessions": 12, "fewest": 9, "minutes": 40, "gaps": (0.0, 0.1)}


def slow_trades(symbol: str, bars: pl.DataFrame, rules: BacktestRules) -> list[dict[str, Any]]:
    """Trade one symbol bar by bar, as a trader in front of the screen would."""
    multiplier, tick = {"101W09": (250_000, 0.05), "105W09": (50_000, 0.02)}[symbol]
    side = (rules.commission_ticks + rules.slippage_ticks) * tick
    signals = DOLPHA1.evaluate(bars.lazy(), PARAMS).collect()
    rows = bars.sort("timestamp").join(signals, on="timestamp", suffix="_s").to_dicts()
    out: list[dict[str, Any]] = []
    position, wanted, entry = 0, 0, {}

    def leave(price: float, stamp: Any, why: str) -> None:
        points = position * (price - entry["open"]) - 2 * side
        out.append(
            {
                "direction": position,
                "entered": entry["timestamp"],
                "entry": entry["open"],
                "left": stamp,
                "exit": price,
                "why": why,
                "net": points * multiplier * rules.contracts,
            }
        )

    for n, row in enumerate(rows):
        day = row["timestamp"].date()
        last = n + 1 == len(rows) or rows[n + 1]["timestamp"].date() != day
        if n == 0 or rows[n - 1]["timestamp"].date() != day:
            position = wanted = 0
        if wanted != position:
            if position:
                why = ("opposite" if last else "reversal") if wanted else "inside"
                leave(row["open"], row["timestamp"], why)
            position, entry = (0 if last else wanted), row
        if last and position:
            leave(row["close"], row["timestamp"], "close")
        if row["trade_signal"]:
            wanted = row["trade_signal"]
        elif (
            rules.exit == "inside"
            and row["ub"] is not None
            and row["timestamp"].minute % PARAMS.observe_interval_minutes == 0
            and row["lb"] <= row["close"] <= row["ub"]
        ):
            wanted = 0
    return out


def run(bars: pl.DataFrame, rules: BacktestRules) -> Backtest | None:
    try:
        return backtest(bars.lazy(), DOLPHA1, PARAMS, rules)
    except InputError:
        return None


@settings(max_examples=examples(30), deadline=None)
@given(histories(symbols=FUTURES, **LONG), RULES)
def test_trades_are_those_of_a_trader_who_goes_bar_by_bar(
    bars: pl.DataFrame, rules: BacktestRules
) -> None:
    found = run(bars, rules)
    for symbol in FUTURES:
        slow = slow_trades(symbol, bars.filter(pl.col("symbol") == symbol), rules)
        ours = found.trades.filter(pl.col("symbol") == symbol) if found else pl.DataFrame()
        assert ours.height == len(slow)
        for one, other in zip(ours.to_dicts(), slow, strict=True):
            exact = {key: one[key] for key in other if key not in ("net", "why")}
            assert exact == {key: other[key] for key in exact}
            assert one["net"] == pytest.approx(other["net"], rel=1e-9, abs=1e-3)
            assert (one["why"] == "close") == (other["why"] == "close")


@settings(max_examples=examples(30), deadline=None)
@given(histories(symbols=FUTURES, **LONG), RULES)
def test_trades_days_and_equity_tell_the_same_story(
    bars: pl.DataFrame, rules: BacktestRules
) -> None:
    found = run(bars, rules)
    if found is None:
        return
    by_day = found.trades.group_by("symbol", "session").agg(
        pl.sum("gross", "cost", "net"), pl.len().cast(pl.Int64).alias("trades")
    )
    days = found.daily.join(by_day, on=["symbol", "session"], how="left", suffix="_t").fill_null(0)
    for name in ("gross", "cost", "net", "trades"):
        np.testing.assert_allclose(days[name], days[f"{name}_t"], rtol=1e-9, atol=1e-3)
    ends = found.equity.group_by("symbol", pl.col("timestamp").dt.date(), maintain_order=True)
    np.testing.assert_allclose(ends.agg(pl.last("equity"))["equity"], found.daily["equity"])
    assert found.equity.height == found.equity.select("symbol", "timestamp").n_unique()
    assert (found.trades["entered"].dt.date() == found.trades["left"].dt.date()).all()
    assert set(found.figures["symbol"]) == set(found.daily["symbol"])


@settings(max_examples=examples(15), deadline=None)
@given(histories(symbols=FUTURES, **LONG), RULES)
def test_each_symbol_is_traded_as_if_it_were_alone(
    bars: pl.DataFrame, rules: BacktestRules
) -> None:
    both = run(bars, rules)
    for symbol in FUTURES:
        own = pl.col("symbol") == symbol
        alone = run(bars.filter(own), rules)
        if both is None or alone is None:
            assert alone is None
            continue
        for name in ("trades", "daily", "equity", "figures"):
            of_both, of_one = getattr(both, name).filter(own), getattr(alone, name)
            assert_frame_equal(of_both, of_one, check_exact=name == "trades", rel_tol=1e-9)


@settings(max_examples=examples(15), deadline=None)
@given(histories(symbols=("101W09",), **LONG), st.integers(4, 7))
def test_sessions_before_the_start_are_warm_up_only(bars: pl.DataFrame, skipped: int) -> None:
    start: date = bars["timestamp"].dt.date().unique().sort()[skipped]
    whole = run(bars, BacktestRules(capital=1e8))
    try:
        later = backtest(bars.lazy(), DOLPHA1, PARAMS, BacktestRules(capital=1e8), start=start)
    except InputError:
        return
    assert whole is not None
    assert_frame_equal(later.trades, whole.trades.filter(pl.col("session") >= start))
    assert later.daily["session"].min() >= start


def days_of(returns: list[float], symbol: str = "A01612") -> pl.DataFrame:
    """Daily results with these returns on a capital of 1."""
    value = np.array(returns)
    level = np.cumprod(1 + value)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "session": pl.date_range(date(2026, 1, 1), date(2028, 1, 1), eager=True)[: len(value)],
            "return": value,
            "equity": level,
            "net": level - np.concatenate([[1.0], level[:-1]]),
            "cost": 0.0,
            "value": 2.0 * np.concatenate([[1.0], level[:-1]]),
            "exposure": 0.25,
        }
    )


NO_TRADES = pl.DataFrame(schema={"symbol": pl.String, "net": pl.Float64})


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=90))
def test_figures_agree_with_empyrical(returns: list[float]) -> None:
    ours = figures(days_of(returns), NO_TRADES).row(0, named=True)
    theirs = {
        "total_return": empyrical.cum_returns_final(np.array(returns)),
        "annual_return": empyrical.annual_return(np.array(returns)),
        "volatility": empyrical.annual_volatility(np.array(returns)),
        "max_drawdown": empyrical.max_drawdown(np.array(returns)),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    if ours["volatility"] > 1e-9:
        sharpe = empyrical.sharpe_ratio(np.array(returns))
        assert ours["sharpe"] == pytest.approx(sharpe, rel=1e-6)


def test_what_is_not_defined_is_null() -> None:
    ours = figures(days_of([0.0, 0.0, 0.0]), NO_TRADES).row(0, named=True)
    assert ours["sharpe"] is None
    assert ours["hit_rate"] is None
    assert ours["trades"] == 0
    assert ours["max_drawdown"] == 0


def test_trades_turnover_and_exposure() -> None:
    trades = pl.DataFrame({"symbol": ["A01612"] * 4, "net": [3.0, -1.0, 0.0, -1.0]})
    ours = figures(days_of([0.01, -0.01, 0.02]), trades).row(0, named=True)
    assert ours["hit_rate"] == 0.25
    assert ours["profit_factor"] == 1.5
    assert ours["average_trade"] == 0.25
    assert ours["turnover"] == pytest.approx(2.0)
    assert ours["exposure"] == pytest.approx(0.25)


def test_the_deflated_sharpe_ratio_is_that_of_the_papers_example() -> None:
    """Bailey and López de Prado (2014): Sharpe 2.5 a year over 1250 days, skew -3, kurtosis 10."""
    year, deviation = 250, (0.5 / 250) ** 0.5
    sample = {"sessions": 1250, "skew": -3.0, "kurtosis": 10.0, "deviation": deviation}
    assert expected_best_sharpe(deviation, 100) == pytest.approx(0.1132, abs=5e-5)
    picked = deflated_sharpe(2.5 / year**0.5, trials=100, **sample)
    assert picked == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(2.5 / year**0.5, trials=46, **sample) == pytest.approx(0.9505, abs=5e-5)
    assert expected_best_sharpe(deviation, 1) == 0


def test_ticks_and_multipliers_are_those_of_krx() -> None:
    symbols = ["A01_FRONT", "105W09", "005930"]
    assert terms(symbols)["multiplier"].to_list() == [250_000, 50_000, 1]
    prices = pl.DataFrame({"symbol": [*symbols, "005930"], "p": [400.0, 400.0, 70_000.0, 4_999.0]})
    assert prices.select(tick_at("p", symbols)).to_series().to_list() == [0.05, 0.02, 100.0, 5.0]


def test_without_history_it_says_what_is_missing() -> None:
    bars = real_like(sessions=1)
    with pytest.raises(InputError, match="needs 20 sessions"):
        backtest(bars.lazy(), DOLPHA1, DOLPHA1.params(), BacktestRules())


def test_a_symbol_that_is_no_code_has_no_multiplier() -> None:
    with pytest.raises(InputError):
        backtest(real_like(3, "NOTHING").lazy(), DOLPHA1, DOLPHA1.params(), BacktestRules())


def real_like(sessions: int, symbol: str = "101W09") -> pl.DataFrame:
    minutes = pl.datetime_range(
        pl.datetime(2025, 9, 1, 8, 46), pl.datetime(2025, 9, sessions, 15, 35), "1m", eager=True
    )
    frame = pl.DataFrame({"timestamp": minutes})
    in_session = pl.col("timestamp").dt.time().is_between(pl.time(8, 46), pl.time(15, 35))
    return frame.filter(in_session).with_columns(
        pl.lit(symbol).alias("symbol"),
        *(pl.lit(400.0).alias(p) for p in ("open", "high", "low", "close")),
        pl.lit(1).alias("volume"),
    )


@needs_real_file
@pytest.mark.parametrize("leave", ["opposite", "inside"])
def test_a_run_over_the_real_file_is_made_of_prices_that_were_there(leave: str) -> None:
    bars = real_bars()
    found = backtest(
        bars.lazy(), DOLPHA1, DOLPHA1.params(), BacktestRules(exit=leave, slippage_ticks=0)
    )
    entries = found.trades.join(bars, left_on="entered", right_on="timestamp")
    assert entries.height == found.trades.height > 50
    assert (entries["entry"] == entries["open"]).all()
    assert set(entries["entered"].dt.minute() % 5) == {1}  # a minute after an observation
    assert found.daily.height == 84  # three of 87 sessions are needed before the first band
    assert found.figures["exposure"].item() < 1


SMALL = st.sampled_from([1e5, 1e6, 5e6])


@settings(max_examples=examples(30), deadline=None)
@given(histories(symbols=FUTURES, **LONG), RULES, SMALL)
def test_a_lost_capital_ends_the_trading(
    bars: pl.DataFrame, rules: BacktestRules, capital: float
) -> None:
    """No trade, no equity and no return after the bar at which the capital is lost."""
    small = run(bars, rules.model_copy(update={"capital": capital}))
    large = run(bars, rules.model_copy(update={"capital": 1e12}))
    if small is None or large is None:
        return
    assert large.figures["ruined"].is_null().all()
    for row in small.figures.iter_rows(named=True):
        own = pl.col("symbol") == row["symbol"]
        curve = small.equity.filter(own)["equity"].to_list()
        without_end = large.equity.filter(own)["equity"] - 1e12 + capital
        lost = next((n for n, value in enumerate(without_end) if value <= 1e-3), None)
        assert row["max_drawdown"] >= -1
        assert (small.daily.filter(own)["equity"] >= 0).all()
        if lost is None:
            assert row["ruined"] is None
            continue
        assert len(curve) == lost + 1
        assert curve[-1] == 0
        assert min(curve[:-1], default=1) > 0
        assert row["ruined"] == small.daily.filter(own)["session"].max()
        assert (row["total_return"], row["max_drawdown"]) == (-1, -1)
        for name in ("annual_return", "volatility", "sharpe", "turnover", "skew", "kurtosis"):
            assert row[name] is None
        left = small.trades.filter(own)
        assert left["left"].max() <= small.equity.filter(own)["timestamp"].max()
        assert row["net"] == pytest.approx(left["net"].sum(), abs=1e-3)


@needs_real_file
def test_the_case_of_a_million_won_over_the_real_file() -> None:
    """It was a net of -6.57 million, a Sharpe ratio of 2.76 and a drawdown of -310 %."""
    found = backtest(
        real_bars().lazy(), DOLPHA1, DOLPHA1.params(), BacktestRules(capital=1_000_000)
    )
    row = found.figures.row(0, named=True)
    assert row["ruined"] == found.daily["session"].max()
    assert row["max_drawdown"] == -1
    assert row["sharpe"] is None
    assert found.trades["why"].to_list()[-1] in ("ruined", "close", "reversal")
    assert not any(isnan(value) for value in row.values() if isinstance(value, float))
