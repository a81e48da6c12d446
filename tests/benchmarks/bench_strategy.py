"""How fast dolpha1 is, side by side with the per-symbol pandas way, and in live use.

The baseline is how such strategies are usually written (and how the code published with "Beat the
Market" is): a frame for each symbol, groupby and transform for each feature. It gives the same
numbers, which is checked before anything is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import polars as pl

from pipelines.evaluation.trials import batches, grid, run_batch
from strategies.backtesting.run import backtest
from strategies.base import ENGINE
from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.live_minutes import PARAMS, STRATEGY, bars
from tests.benchmarks.rows import Row, as_in_a_day, in_turns, seconds_taken

TINY = {"rounds": 1, "symbols": 2, "days": 3, "known": 2, "lived": 40, "trials": (10,), "swept": 12}
QUICK = {"rounds": 1, "symbols": 10, "days": 12, "known": 6, "trials": (200,), "swept": 20}
_ROLLING_MOVES = (3, 4, 5, 6, 7, 8, 10, 12, 14, 20)


def in_pandas(frame: pd.DataFrame, params: Dolpha1Params = PARAMS) -> pd.DataFrame:
    """Return dolpha1's rows of one symbol, features by groupby and transform."""
    frame = frame.sort_values("timestamp").reset_index(drop=True)
    day = frame["timestamp"].dt.date
    by_day = frame.groupby(day)
    frame["open_d"] = by_day["open"].transform("first")
    closes = by_day["close"].last()
    frame["prev_close"] = day.map(closes.shift(1))
    first = by_day["timestamp"].transform("first").dt.normalize() + pd.Timedelta("9h1min")
    frame["min_from_open"] = (frame["timestamp"] - first).dt.total_seconds().astype(int) // 60
    frame["move_open"] = (frame["close"] / frame["open_d"] - 1).abs()
    needed = max(params.rolling_move // 2, 3)
    frame["sigma_open"] = frame.groupby("min_from_open")["move_open"].transform(
        lambda x: x.shift(1).rolling(params.rolling_move, min_periods=needed).mean()
    )
    frame["sigma_open"] = frame.groupby(day)["sigma_open"].ffill()
    width = params.band_multiplier * frame["sigma_open"]
    known = frame["prev_close"].notna()
    frame["ub"] = (frame[["open_d", "prev_close"]].max(axis=1) * (1 + width)).where(known)
    frame["lb"] = (frame[["open_d", "prev_close"]].min(axis=1) * (1 - width)).where(known)
    value = (frame["high"] + frame["low"] + frame["close"]) / 3 * frame["volume"]
    traded = frame["volume"].groupby(day).cumsum()
    frame["vwap"] = (value.groupby(day).cumsum() / traded).where(traded > 0)
    before = frame["close"].shift(1)
    spans = [
        frame["high"] - frame["low"],
        (frame["high"] - before).abs(),
        (frame["low"] - before).abs(),
    ]
    frame["atr"] = pd.concat(spans, axis=1).max(axis=1).rolling(params.atr_period).mean()
    return _with_signals(frame, day, params)


def _with_signals(frame: pd.DataFrame, day: pd.Series, params: Dolpha1Params) -> pd.DataFrame:
    up = (frame["close"] > frame["ub"]) & (frame["close"] > frame["vwap"])
    down = (frame["close"] < frame["lb"]) & (frame["close"] < frame["vwap"])
    at_hand = day.map({d: f"insufficient_data_days_{n}" for n, d in enumerate(day.unique(), 1)})
    frame["reason"] = np.select(
        [frame.index < ENOUGH_BARS - 1, frame["ub"].isna(), up, down],
        ["insufficient_data", at_hand, "band_cross_up", "band_cross_down"],
        "none",
    )
    signal = {"band_cross_up": 1, "band_cross_down": -1}
    frame["monitor_signal"] = frame["reason"].map(signal).fillna(0).astype(int)
    observed = frame["timestamp"].dt.minute % params.observe_interval_minutes == 0
    frame["trade_signal"] = frame["monitor_signal"].where(observed, 0)
    return frame


def each_symbol_in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(in_pandas(own) for _, own in frame.groupby("symbol"))


def check_equal(frame: pl.DataFrame) -> None:
    """Compare the baseline with ours: a race between unlike things says nothing."""
    ours = STRATEGY.evaluate(frame.lazy(), PARAMS).collect()
    theirs = each_symbol_in_pandas(frame.to_pandas())
    assert ours["reason"].to_list() == theirs["reason"].to_list()
    for name in ("ub", "lb", "atr", "sigma_open", "vwap"):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name], rtol=1e-9)


def sweep_rows(trials: int, days: int) -> Row:
    """Measure a sweep beside a backtest of each trial: seconds of CPU, both in one process."""
    frame = bars(1, days)
    widths = ",".join(f"{0.2 + 0.02 * n:.2f}" for n in range(trials // len(_ROLLING_MOVES)))
    axes = f"band_multiplier={widths}", f"rolling_move={','.join(map(str, _ROLLING_MOVES))}"
    chosen = grid(STRATEGY.name, axes)

    def each() -> list[int]:
        return [
            int(backtest(frame.lazy(), STRATEGY, trial.params, trial.rules).trades.height)
            for trial in chosen
        ]

    def together() -> list[int]:
        made = {
            trial.key: outcome[0]["trades"]
            for batch in batches(chosen, frame.height, workers=1)
            for trial, outcome in zip(batch, run_batch(batch, frame), strict=True)
        }
        return [made[trial.key] for trial in chosen]

    found: dict[str, list[int]] = {}
    ways = {
        "ours": lambda: found.update(ours=together()),
        "theirs": lambda: found.update(theirs=each()),
    }
    took = in_turns(ways, 1, clock=time.process_time)
    assert found["ours"] == found["theirs"]
    what = f"{len(chosen):,} trials, a sweep vs a backtest of each, CPU"
    return Row(what, took["ours"], took["theirs"], len(chosen), least=2)


def measure(
    env: BenchEnv,
    *,
    rounds: int = 3,
    symbols: int = 60,
    days: int = 41,
    known: int = 20,
    lived: int = 411,
    trials: Sequence[int] = (200, 1000),
    swept: int = 87,
) -> list[Row]:
    """Measure features of so many symbols and sessions, and a session live after `known` ones.

    The live session in a process with one thread of Polars, as `just live` runs. Then sweeps of so
    many `trials` over `swept` sessions of one symbol.
    """
    check_equal(bars(2, 12))
    frame = bars(symbols, days)
    pandas_frame = frame.to_pandas()
    took = in_turns(
        {
            "ours": lambda: STRATEGY.evaluate(frame.lazy(), PARAMS).collect(engine=ENGINE),
            "theirs": lambda: each_symbol_in_pandas(pandas_frame),
        },
        rounds,
    )
    minutes = as_in_a_day("tests.benchmarks.live_minutes", known, lived)["minutes"]
    first, last = statistics.median(minutes[:60]), statistics.median(minutes[-60:])
    window = bars(1, known + 1).to_pandas()
    anew = statistics.median(seconds_taken(lambda: in_pandas(window)) for _ in range(rounds))
    return [
        Row(
            "dolpha1's features vs pandas a symbol",
            took["ours"],
            took["theirs"],
            frame.height,
            least=10,
        ),
        Row(
            f"a live minute after {known} sessions vs pandas anew",
            statistics.median(minutes),
            anew,
            known,
            most=0.004,
        ),
        Row("the last hour's minutes vs the first hour's", last, first, known, least=0.67),
        *(sweep_rows(count, swept) for count in trials),
    ]
