"""dolpha1 against a slow reference: real sessions, random histories, odd bars."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from engine.market.sessions import Market, session
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1
from tests.databases import examples
from tests.strategies.histories import histories, needs_real_file, real_bars, shuffled
from tests.strategies.slow_reference import dolpha1 as slow_dolpha1

DOLPHA1 = Dolpha1()
FEATURES = ["ub", "lb", "atr", "move_open", "sigma_open", "vwap"]


def evaluate(bars: pl.DataFrame, **params: object) -> pl.DataFrame:
    return DOLPHA1.evaluate(bars.lazy(), Dolpha1Params.model_validate(params)).collect()


def reference(bars: pl.DataFrame, first_stamp: dict, **params: object) -> pl.DataFrame:
    rows = slow_dolpha1(bars.sort("timestamp").to_dicts(), first_stamp, **params)
    return pl.DataFrame(rows, schema=schemas_without_created_at())


def schemas_without_created_at() -> pl.Schema:
    fields = pl.Schema(DOLPHA1.schema)
    return pl.Schema([(name, fields[name]) for name in fields if name != "created_at"])


def first_bars(bars: pl.DataFrame) -> dict[date, datetime]:
    first = bars.group_by(pl.col("timestamp").dt.date().alias("d")).agg(pl.col("timestamp").min())
    return dict(first.iter_rows())


def assert_agrees(ours: pl.DataFrame, slow: pl.DataFrame) -> None:
    exact = [name for name in slow.columns if name not in FEATURES]
    assert_frame_equal(ours.select(exact), slow.select(exact))
    assert_frame_equal(
        ours.select(FEATURES), slow.select(FEATURES), check_exact=False, rel_tol=1e-12, abs_tol=0
    )


@needs_real_file
def test_ten_real_sessions_around_a_roll_and_an_expiry_agree_with_the_slow_reference() -> None:
    bars = real_bars()
    days = bars["timestamp"].dt.date().unique().sort()
    stamps = {d: session(Market.DERIVATIVES, d).first_stamp for d in days}
    expiry = days.to_list().index(date(2025, 9, 11))
    window = pl.col("timestamp").dt.date().is_in(days[expiry - 5 : expiry + 5].to_list())
    ours, slow = evaluate(bars).filter(window), reference(bars, stamps).filter(window)
    assert ours.height == 9 * 411 + 395
    assert ours["sigma_open"].null_count() == 0
    assert set(ours["monitor_signal"]) == {-1, 0, 1}
    assert_agrees(ours, slow)


@needs_real_file
def test_after_the_roll_the_new_contracts_own_bars_give_what_the_series_gives() -> None:
    bars, expiry = real_bars(), pl.date(2025, 9, 11)
    day = pl.col("timestamp").dt.date()
    contracts = pl.concat(
        [
            bars.filter(day <= expiry).with_columns(symbol=pl.lit("101W09")),
            bars.filter(day > pl.date(2025, 8, 1)).with_columns(symbol=pl.lit("101W12")),
        ]
    )
    series = evaluate(bars).filter(day.is_between(pl.date(2025, 9, 12), pl.date(2025, 9, 19)))
    own = evaluate(contracts).filter(
        (pl.col("symbol") == "101W12") & pl.col("timestamp").is_in(series["timestamp"].to_list())
    )
    assert_frame_equal(own.drop("symbol"), series.drop("symbol"), check_exact=True)


PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "atr_period": st.integers(1, 30),
        "rolling_move": st.integers(3, 8),
        "band_multiplier": st.sampled_from([0.0, 0.3, 1.0, 2.5]),
        "use_vwap": st.booleans(),
        "observe_interval_minutes": st.sampled_from([1, 5, 7, 60]),
    },
)


@settings(max_examples=examples(40), deadline=None)
@given(histories(symbols=("X", "Y"), minutes=40), PARAMS, st.integers(0, 99))
def test_random_histories_agree_with_the_slow_reference(
    bars: pl.DataFrame, params: dict, seed: int
) -> None:
    ours = evaluate(shuffled(bars, seed), **params)
    for symbol in ("X", "Y"):
        own = bars.filter(pl.col("symbol") == symbol)
        slow = reference(own, first_bars(own), **params)
        assert_agrees(ours.filter(pl.col("symbol") == symbol), slow)


@settings(max_examples=examples(15), deadline=None)
@given(histories(symbols=("A01612", "X")))
def test_the_schema_is_the_tables_without_created_at(bars: pl.DataFrame) -> None:
    lazy = DOLPHA1.evaluate(bars.lazy(), Dolpha1Params())
    assert lazy.collect_schema() == schemas_without_created_at()
    assert lazy.collect().schema == schemas_without_created_at()


def minute_bars(day: date, stamps: list[datetime], symbol: str = "101W09") -> pl.DataFrame:
    n = len(stamps)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(stamps, dtype=pl.Datetime("us")),
            "symbol": [symbol] * n,
            "open": [400.0] * n,
            "high": [401.0] * n,
            "low": [399.0] * n,
            "close": [400.0 + (i % 3) for i in range(n)],
            "volume": [1] * n,
        }
    )


def test_minutes_count_from_the_calendars_first_stamp_even_if_the_first_bars_are_missing() -> None:
    day = date(2025, 9, 1)
    stamps = session(Market.DERIVATIVES, day).stamps().to_list()
    out = evaluate(minute_bars(day, stamps[3:]))
    assert out["min_from_open"].head(2).to_list() == [3, 4]
    assert out["min_from_open"].tail(2).to_list() == [409, 419]


def test_a_late_opening_day_begins_with_minute_0_at_its_own_first_stamp() -> None:
    csat = date(2025, 11, 13)
    stamps = session(Market.DERIVATIVES, csat).stamps().to_list()
    assert stamps[0] == datetime(2025, 11, 13, 9, 46)
    out = evaluate(minute_bars(csat, stamps, "101W12"))
    assert out["min_from_open"].head(1).item() == 0
    assert out["min_from_open"].tail(1).item() == 419


def test_without_volume_vwap_is_null_and_fires_nothing() -> None:
    days = [date(2025, 9, d) for d in (1, 2, 3, 4, 5)]
    bars = pl.concat(
        minute_bars(d, session(Market.DERIVATIVES, d).stamps().to_list()) for d in days
    )
    last = pl.col("timestamp").dt.date() == days[-1]
    breakout = bars.with_columns(
        close=pl.when(last).then(450.0).otherwise("close"),
        high=pl.when(last).then(450.0).otherwise("high"),
        volume=pl.when(last).then(0).otherwise("volume"),
    )
    with_filter = evaluate(breakout).filter(last)
    assert with_filter["vwap"].null_count() == 411
    assert set(with_filter["monitor_signal"]) == {0}
    assert set(with_filter["reason"]) == {"none"}
    without = evaluate(breakout, use_vwap=False).filter(last)
    assert set(without["monitor_signal"]) == {1}


def test_trades_are_observed_by_the_stamp() -> None:
    days = [date(2025, 9, d) for d in (1, 2, 3, 4, 5)]
    bars = pl.concat(
        minute_bars(d, session(Market.DERIVATIVES, d).stamps().to_list()) for d in days
    ).with_columns(close=pl.col("close") + 10 * (pl.col("timestamp").dt.day() == 5))
    out = evaluate(bars, observe_interval_minutes=7).filter(pl.col("monitor_signal") != 0)
    traded = out.filter(pl.col("trade_signal") != 0)
    assert set(traded["timestamp"].dt.minute()) == {0, 7, 14, 21, 28, 35, 42, 49, 56}
    assert traded["trade_signal"].to_list() == traded["monitor_signal"].to_list()
    assert out.filter(pl.col("timestamp").dt.minute() % 7 == 0).height == traded.height


def test_reasons_tell_why_there_is_no_signal_yet() -> None:
    days = [date(2025, 9, d) for d in (1, 2, 3, 4)]
    bars = pl.concat(
        minute_bars(d, session(Market.DERIVATIVES, d).stamps().to_list()) for d in days
    )
    reasons = evaluate(bars)["reason"]
    assert set(reasons[:99]) == {"insufficient_data"}
    assert set(reasons[99:411]) == {"insufficient_data_days_1"}
    assert set(reasons[411:822]) == {"insufficient_data_days_2"}
    assert set(reasons[822:1233]) == {"insufficient_data_days_3"}
    assert not any(r.startswith("insufficient") for r in reasons[1233:])


def test_rows_that_are_no_bars_are_left_out_and_of_duplicates_the_last_wins() -> None:
    day = date(2025, 9, 1)
    bars = minute_bars(day, session(Market.DERIVATIVES, day).stamps().to_list()[:4])
    broken = bars.with_columns(
        close=pl.Series([400.0, float("nan"), 0.0, None]), volume=pl.Series([None, 1, 1, 1])
    )
    assert evaluate(broken)["timestamp"].to_list() == bars["timestamp"].head(1).to_list()
    twice = pl.concat([bars, bars.with_columns(close=pl.lit(409.0))])
    assert evaluate(twice)["close"].to_list() == [409.0] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"rolling_move": 2},  # three moves are needed at least: it could never give a band
        {"atr_period": 0},
        {"band_multiplier": -0.1},
        {"band_multiplier": float("inf")},
        {"observe_interval_minutes": 0},
        {"observe_interval_minutes": 61},
        {"unknown": 1},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Dolpha1Params.model_validate(wrong)


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Dolpha1Params().atr_period = 3  # type: ignore[misc]


@settings(max_examples=examples(20), deadline=None)
@given(histories(sessions=14, minutes=30, fewest=14, gaps=(0.0, 0.05)), st.integers(0, 99))
def test_history_before_the_warm_up_changes_no_bit(bars: pl.DataFrame, seed: int) -> None:
    params = Dolpha1Params(rolling_move=3)
    days = bars["timestamp"].dt.date().unique().sort()
    last = pl.col("timestamp").dt.date() == days[-1]
    first_needed = days[-1 - DOLPHA1.warm_up_sessions(params)]
    window = bars.filter(pl.col("timestamp").dt.date() >= first_needed)
    assert window.height < bars.height
    of_all = evaluate(bars, rolling_move=3).filter(last)
    of_window = evaluate(shuffled(window, seed), rolling_move=3).filter(last)
    assert_frame_equal(of_window, of_all, check_exact=True)
