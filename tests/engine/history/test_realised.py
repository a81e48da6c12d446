"""Realised volatility against a plain loop, and processes whose volatility is known."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from engine.features.realised import FEWEST, SESSIONS_A_YEAR, har_forecast, rank
from engine.history.realised import realised_volatility, with_implied
from engine.market.sessions import Market, session, session_dates

CONTRACT = "A01612"
DAYS = session_dates(Market.DERIVATIVES, date(2026, 1, 12), date(2026, 9, 30))
VOLATILITY = 0.20
FINE = 10  # steps a minute: high and low see what lies between


def minutes(day: date) -> list[datetime]:
    found = session(Market.DERIVATIVES, day)
    assert found is not None
    return list(found.stamps())


def simulated(
    days: list[date], *, seed: int = 1, night: float = 0.3, jumps: float = 0.0
) -> pl.DataFrame:
    """Return bars of a random walk: so much of a session's variance comes in the night before."""
    rng = np.random.default_rng(seed)
    daily = VOLATILITY**2 / SESSIONS_A_YEAR
    price, parts = 400.0, []
    for day in days:
        stamps = minutes(day)
        price *= math.exp(rng.normal(0, math.sqrt(daily * night)))
        # The auction's price moves as much as ten minutes do; the others one.
        length = np.diff([(s - stamps[0]).seconds / 60 for s in stamps], prepend=-1.0)
        spread = np.sqrt(daily * (1 - night) * length / length.sum() / FINE)
        steps = rng.normal(0, 1, (len(stamps), FINE)) * spread[:, None]
        if jumps:
            steps[200, 0] += jumps
        path = price * np.exp(np.cumsum(steps).reshape(steps.shape))
        opens = np.concatenate([[price], path[:-1, -1]])
        parts.append(
            pl.DataFrame(
                {
                    "timestamp": stamps,
                    "symbol": CONTRACT,
                    "open": opens,
                    "high": np.maximum(path.max(axis=1), opens),
                    "low": np.minimum(path.min(axis=1), opens),
                    "close": path[:, -1],
                }
            )
        )
        price = path[-1, -1]
    return pl.concat(parts)


def in_a_loop(bars: pl.DataFrame) -> tuple[float, float]:
    """Return realised and bipower variance of one session, one price after the other."""
    opens = datetime.combine(bars["timestamp"][0].date(), datetime.min.time()).replace(
        hour=8, minute=45
    )
    squares, products = [], []
    for offset in range(5):
        marks = [bars["open"][0]]
        end = opens + timedelta(minutes=offset) if offset else opens + timedelta(minutes=5)
        last = None
        for stamp, close in bars.select("timestamp", "close").iter_rows():
            while stamp > end:
                if last is not None:
                    marks.append(last)
                last = None
                end += timedelta(minutes=5)
            last = close
        marks.append(last)
        r = [math.log(b / a) for a, b in pairwise(marks)]
        squares.append(sum(x * x for x in r))
        pairs = sum(abs(a) * abs(b) for a, b in pairwise(r))
        products.append(math.pi / 2 * pairs * len(r) / (len(r) - 1))
    return sum(squares) / 5, sum(products) / 5


def test_a_session_is_what_a_plain_loop_gives_with_holes_too() -> None:
    bars = simulated(DAYS[:2])
    rng = np.random.default_rng(2)
    holes = bars.filter(pl.Series(rng.random(bars.height) > 0.3))
    for frame in (bars, holes):
        found = realised_volatility(frame.lazy()).collect()
        assert found["session"].to_list() == DAYS[:2]
        for day, row in zip(DAYS[:2], found.to_dicts(), strict=True):
            realised, bipower = in_a_loop(frame.filter(pl.col("timestamp").dt.date() == day))
            assert row["realised"] == pytest.approx(realised, rel=1e-9)
            assert row["bipower"] == pytest.approx(bipower, rel=1e-9)
        last = frame.filter(pl.col("timestamp").dt.date() == DAYS[0])["close"][-1]
        first = frame.filter(pl.col("timestamp").dt.date() == DAYS[1])["open"][0]
        assert found["gap"].to_list() == [None, pytest.approx(math.log(first / last))]
        assert found["whole"][1] == pytest.approx(found["realised"][1] + found["gap"][1] ** 2)


def test_a_known_volatility_is_found_again() -> None:
    found = realised_volatility(simulated(DAYS).lazy()).collect()
    whole = math.sqrt(found["whole"].tail(-1).mean() * SESSIONS_A_YEAR)  # type: ignore[operator]
    assert whole == pytest.approx(VOLATILITY, rel=0.04)
    inside = math.sqrt(found["realised"].mean() * SESSIONS_A_YEAR)  # type: ignore[operator]
    assert inside == pytest.approx(VOLATILITY * math.sqrt(0.7), rel=0.01)
    assert found["bipower"].mean() == pytest.approx(found["realised"].mean(), rel=0.03)
    by_day = found["yang_zhang"].drop_nulls()
    assert by_day.mean() == pytest.approx(VOLATILITY * 100, rel=0.04)
    assert found["yang_zhang"].null_count() == 21


def test_a_jump_is_in_the_realised_variance_and_not_in_bipower() -> None:
    calm = realised_volatility(simulated(DAYS[:40]).lazy()).collect()
    jumpy = realised_volatility(simulated(DAYS[:40], jumps=0.02).lazy()).collect()
    added = (jumpy["realised"] - calm["realised"]).mean()
    assert added == pytest.approx(0.02**2, rel=0.1)
    assert (jumpy["bipower"] - calm["bipower"]).mean() < 0.2 * 0.02**2  # type: ignore[operator]
    assert jumpy["jump"].mean() == pytest.approx(0.02**2, rel=0.2)


def test_the_gap_of_a_roll_is_no_return() -> None:
    bars = simulated(DAYS[:4])
    first = pl.col("timestamp").dt.date() < DAYS[2]
    rolled = bars.with_columns(
        symbol=pl.when(first).then(pl.lit("A01609")).otherwise(pl.lit(CONTRACT)),
        **{c: pl.when(first).then(pl.col(c) - 5).otherwise(c) for c in ("open", "high", "low")},
        close=pl.when(first).then(pl.col("close") - 5).otherwise("close"),
    )
    gaps = realised_volatility(rolled.lazy()).collect()["gap"]
    assert [gap is None for gap in gaps] == [True, False, True, False]


def har_in_a_loop(variance: NDArray[np.float64], horizon: int, at: int) -> float:
    rows, ahead = [], []
    for t in range(21, at - horizon + 1):
        rows.append(
            [1, variance[t], variance[t - 4 : t + 1].mean(), variance[t - 21 : t + 1].mean()]
        )
        ahead.append(variance[t + 1 : t + 1 + horizon].mean())
    now = [1, variance[at], variance[at - 4 : at + 1].mean(), variance[at - 21 : at + 1].mean()]
    return float(np.dot(now, np.linalg.lstsq(np.array(rows), np.array(ahead), rcond=None)[0]))


@pytest.mark.parametrize("horizon", [1, 20])
def test_a_forecast_rests_on_the_past_alone_and_is_least_squares(horizon: int) -> None:
    rng = np.random.default_rng(3)
    log = np.zeros(300)
    for t in range(1, 300):
        log[t] = 0.95 * log[t - 1] + rng.normal(0, 0.2)
    variance = np.exp(log)
    found = pl.DataFrame({"v": variance}).select(har_forecast(pl.col("v"), horizon))["v"]
    begin = 21 + horizon + FEWEST - 1
    assert found.null_count() == begin
    for at in (begin, 200, 299):
        assert found[at] == pytest.approx(har_in_a_loop(variance, horizon, at), rel=1e-6)
    later = variance.copy()
    later[201:] = 9.0
    again = pl.DataFrame({"v": later}).select(har_forecast(pl.col("v"), horizon))["v"]
    assert again[:201].equals(found[:201])
    # It is better than the mean of the past, or nobody would need it.
    truth = pl.Series(variance).rolling_mean(horizon).shift(-horizon)
    ours = (found - truth).pow(2).mean()
    naive = (pl.Series(np.cumsum(variance) / np.arange(1, 301)) - truth)[begin:].pow(2).mean()
    assert ours < 0.8 * naive  # type: ignore[operator]


def test_ranks_say_among_how_many() -> None:
    iv = pl.DataFrame({"iv": [20.0, 30.0, None, 25.0, 10.0]}).with_columns(rank())
    assert iv["iv_rank"].to_list() == [None, 100.0, None, 50.0, 0.0]
    assert iv["iv_percentile"].to_list() == [None, 100.0, None, 50.0, 0.0]
    assert iv["iv_sessions"].to_list() == [1, 2, 2, 3, 4]


def test_implied_volatility_is_that_of_the_sessions_end() -> None:
    sessions = realised_volatility(simulated(DAYS[:30]).lazy())
    stamps = [datetime.combine(day, datetime.min.time()).replace(hour=15) for day in DAYS[:29]]
    nights = [s + timedelta(hours=hours) for s in stamps for hours in (3, 8, 15)]
    surface = pl.DataFrame(
        {
            "timestamp": [*stamps, *(s + timedelta(minutes=5) for s in stamps), *nights],
            "atm_30d": [99.0] * 29 + [25.0 + n for n in range(28)] + [None] + [7.0] * len(nights),
        }
    )
    found = with_implied(sessions, surface.lazy()).collect()
    assert found["iv"].to_list() == [*(25.0 + n for n in range(28)), 99.0, None]
    row = found.row(25, named=True)
    assert row["iv_less_realised"] == pytest.approx(50.0 - row["realised_volatility"])
    assert (row["iv_rank"], row["iv_sessions"]) == (100.0, 26)
    assert found["iv_less_forecast"].null_count() == 30  # too few sessions for a forecast
