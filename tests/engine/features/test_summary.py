"""Every figure of the summary agrees with its definition in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from vollib.black.greeks.analytical import gamma as black_gamma

from engine.features.black76 import RATE
from engine.features.exposure import REACH
from engine.features.forward import FORWARD_COLUMNS
from engine.features.summary import SMILE_FIGURES, max_pain
from engine.schemas import OPTION_SUMMARY
from tests.engine.features.prepared import figures, summary, with_greeks, with_more_calls
from tests.engine.features.test_surface import with_smile

Board = Callable[..., pl.DataFrame]
FIGURES = (
    *FORWARD_COLUMNS,
    "atm_strike",
    "atm_volatility",
    "risk_reversal_25d",
    "butterfly_25d",
    "put_call_volume_ratio",
    "put_call_turnover_ratio",
    "put_call_open_interest_ratio",
    "max_pain",
    "gamma_exposure",
    "zero_gamma",
)


def on_forward(chain: pl.DataFrame) -> pl.DataFrame:
    """Return the chain with the model's greeks on its forward."""
    return with_greeks(chain).collect()


def test_a_summary_has_the_columns_and_types_of_the_schema(make_board: Board) -> None:
    found = summary(make_board())
    assert found.collect_schema() == pl.Schema(OPTION_SUMMARY)
    assert found.collect().schema == pl.Schema(OPTION_SUMMARY)
    whole = (
        summary(with_more_calls(make_board()))
        .collect()
        .select(*(set(FIGURES) - {"zero_gamma", "put_call_turnover_ratio"}))
    )
    assert whole.null_count().sum_horizontal().item() == 0


def test_a_summary_describes_its_snapshot(make_board: Board) -> None:
    found = figures(make_board())
    assert found["underlying_price"] == 1061.3
    assert found["atm_strike"] == 1062.5
    assert found["days_to_expiry"] == pytest.approx(38 + (4 * 60 + 49) / 1440)
    assert found["fetched_at"] == datetime(2026, 11, 2, 10, 31, 3)


def test_volatilities_are_those_of_the_smile(make_board: Board) -> None:
    """The board's smile is known: 36 % at the money, falling with the strike, then rising."""

    def smile(strike: float) -> float:
        x = np.log(strike / 1061.3)
        return float(36 * (1 - 0.9 * x + 2.2 * x * x))

    board = make_board(strikes=np.arange(745.0, 1595.1, 2.5))
    chain, found = on_forward(board), figures(board)
    assert found["forward"] == pytest.approx(1061.3, abs=0.1)
    assert found["atm_volatility"] == pytest.approx(smile(1061.3), abs=0.3)
    wings = {}
    for side, delta in (("C", 0.25), ("P", -0.25)):
        options = chain.filter(pl.col("option_type") == side).drop_nulls("model_delta")
        options = options.sort((pl.col("model_delta") - delta).abs()).head(2)
        wings[side] = np.mean([smile(strike) for strike in options["strike"]])
    assert found["risk_reversal_25d"] == pytest.approx(wings["C"] - wings["P"], abs=0.3)
    assert found["risk_reversal_25d"] < -3
    expected = (wings["C"] + wings["P"]) / 2 - smile(1061.3)
    assert found["butterfly_25d"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("future", [1052.0, 1071.0])
def test_a_future_of_another_month_does_not_change_the_smile(
    make_board: Board, future: float
) -> None:
    plain, moved = (
        figures(make_board().with_columns(underlying_price=price)) for price in (1061.3, future)
    )
    for name in ("forward", "risk_reversal_25d", "butterfly_25d"):
        assert moved[name] == pytest.approx(plain[name], abs=0.7 if "fly" in name else 0.01)
    assert moved["underlying_price"] == future


def test_ratios_are_puts_per_call(make_board: Board) -> None:
    chain = make_board()
    assert figures(chain)["put_call_turnover_ratio"] is None, "KIS did not tell it"
    chain = chain.with_columns(turnover=pl.col("volume") * pl.col("price") * 250_000)
    found = figures(chain)
    for name in ("volume", "turnover", "open_interest"):
        puts, calls = (chain.filter(option_type=side)[name].sum() for side in "PC")
        assert found[f"put_call_{name}_ratio"] == puts / calls
    silent = chain.with_columns(volume=0)
    assert figures(silent)["put_call_volume_ratio"] is None


def pain_by_hand(strikes: list[float], calls: list[int], puts: list[int]) -> float:
    def paid(level: float) -> float:
        return sum(
            call * max(level - strike, 0) + put * max(strike - level, 0)
            for strike, call, put in zip(strikes, calls, puts, strict=True)
        )

    return min(strikes, key=lambda level: (paid(level), level))


@given(
    st.dictionaries(
        st.integers(100, 200).map(float),
        st.tuples(st.integers(0, 50), st.integers(0, 50)),
        min_size=1,
        max_size=12,
    ).filter(lambda book: any(map(sum, book.values())))
)
@settings(max_examples=60)
def test_max_pain_is_the_strike_at_which_least_is_paid(book: dict[float, tuple[int, int]]) -> None:
    strikes = sorted(book)
    calls, puts = ([book[strike][side] for strike in strikes] for side in (0, 1))
    frame = pl.DataFrame(
        {
            "strike": strikes * 2,
            "option_type": ["C"] * len(strikes) + ["P"] * len(strikes),
            "open_interest": calls + puts,
        }
    ).sort("strike")
    assert frame.select(max_pain()).item() == pain_by_hand(strikes, calls, puts)


def test_without_open_interest_there_is_no_max_pain(make_board: Board) -> None:
    found = figures(make_board().with_columns(open_interest=0))
    assert found["max_pain"] is None
    assert found["zero_gamma"] is None
    assert found["gamma_exposure"] == 0


def exposure_by_hand(chain: pl.DataFrame, level: float = 1.0) -> float:
    """Return gamma exposure if the forward stood at `level` times where it is, by vollib.

    The volatility is the smile's at each strike, as it stands now.
    """
    total = 0.0
    years = (chain["expiry"][0] - chain["timestamp"][0]) / timedelta(days=365)
    for row in with_smile(chain.with_columns(underlying=pl.lit("KOSPI200"))).iter_rows(named=True):
        sign = 1 if row["option_type"] == "C" else -1
        forward = row["forward"] * level
        gamma = black_gamma("c", forward, row["strike"], years, RATE, row["smile"] / 100)
        total += sign * gamma * row["open_interest"] * 250_000 * forward**2 * 0.01
    return total


def test_gamma_exposure_is_what_dealers_trade_per_percent(make_board: Board) -> None:
    board = with_more_calls(make_board(center=1090.0))
    chain, found = on_forward(board), figures(board)
    assert found["gamma_exposure"] == pytest.approx(exposure_by_hand(chain), rel=1e-9)


def test_gamma_exposure_needs_a_multiplier(make_board: Board) -> None:
    assert figures(make_board().drop("multiplier"))["gamma_exposure"] is None


def test_rows_that_stand_twice_have_no_part_in_gamma_exposure(make_board: Board) -> None:
    """Which of the two is right is not known: the open interest of that option counts as 0."""
    board = with_more_calls(make_board(center=1090.0))
    at = (pl.col("strike") == 1090) & (pl.col("option_type") == "C")
    twice = pl.concat([board, board.filter(at)])
    without = board.with_columns(open_interest=pl.when(~at).then("open_interest").otherwise(0))
    found, expected = figures(twice), figures(without)
    assert found["flags"] == "duplicate"
    assert found["gamma_exposure"] == pytest.approx(expected["gamma_exposure"], rel=1e-4)


def test_gamma_exposure_changes_its_sign_at_zero_gamma(make_board: Board) -> None:
    """Puts below and calls above the market: dealers are short gamma in falls."""
    away = (pl.col("strike") - 1061.3) / 50
    calls = (-(away - 1).pow(2)).exp() * 3000
    puts = (-(away + 1).pow(2)).exp() * 3000
    side = pl.when(option_type="C").then(calls).otherwise(puts)
    board = make_board().with_columns(open_interest=side.cast(pl.Int64))
    chain, found = on_forward(board), figures(board)
    zero = found["zero_gamma"] / found["underlying_price"]  # type: ignore[operator]
    assert abs(zero - 1) < REACH
    below, above = (exposure_by_hand(chain, zero + step) for step in (-0.005, 0.005))
    assert below < 0 < above


def test_without_a_change_of_sign_there_is_no_zero_gamma(make_board: Board) -> None:
    calls_only = make_board().with_columns(
        open_interest=pl.when(option_type="C").then("open_interest").otherwise(0)
    )
    assert figures(calls_only)["zero_gamma"] is None
    assert figures(calls_only)["gamma_exposure"] > 0  # type: ignore[operator]


def test_without_time_there_are_ratios_but_no_volatilities(make_board: Board) -> None:
    chain = make_board()
    for timeless in (
        chain.drop("expiry"),
        chain.with_columns(expiry="timestamp"),
        chain.with_columns(expiry=pl.col("timestamp") - timedelta(days=2)),
    ):
        found = figures(timeless)
        assert found["days_to_expiry"] in (None, 0.0)
        assert found["atm_volatility"] is found["risk_reversal_25d"] is None
        assert found["gamma_exposure"] is found["zero_gamma"] is None
        assert found["max_pain"] == figures(chain)["max_pain"]
        assert found["forward"] == pytest.approx(1061.3, abs=0.15)


def test_an_unusable_snapshot_has_flags_and_no_figures(make_board: Board) -> None:
    calls = make_board().filter(option_type="C")
    found = figures(calls.with_columns(underlying_price=pl.lit(None, pl.Float64)))
    assert found["flags"] == "no_forward,no_puts"
    assert {found[name] for name in FIGURES} == {None}
    assert found["days_to_expiry"] > 38  # type: ignore[operator]


def test_rows_that_are_not_sound_do_not_count(make_board: Board) -> None:
    chain = make_board()
    far = (pl.col("strike") >= 1150) & (pl.col("option_type") == "P")
    stale = chain.with_columns(
        quoted_at=pl.when(far)
        .then(pl.col("quoted_at") - timedelta(minutes=9))
        .otherwise("quoted_at")
    )
    found, without = (summary(frame).collect() for frame in (stale, chain.filter(~far)))
    assert found["flags"].item() == "stale"
    assert_frame_equal(found.drop("flags"), without.drop("flags"), rel_tol=1e-12)


def test_flags_are_sorted(make_board: Board) -> None:
    chain = make_board()
    first = pl.int_range(pl.len()) == 0
    bad = chain.with_columns(
        delta=pl.when(first).then(-0.5).otherwise("delta"),
        bid=pl.when(strike=1100).then(999.0).otherwise("bid"),
    )
    assert figures(bad)["flags"] == "crossed,wrong_side"


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_many_snapshots_at_once_give_what_each_gives_alone(make_board: Board, engine: str) -> None:
    snapshots = [
        with_more_calls(
            make_board(1030.3 + 3 * n, moment=datetime(2026, 11, 2, 9, n), symbol=symbol)
        )
        for n in range(8)
        for symbol in ("202612_KOSPI200", "261102_KOSPI200_WEEKLY_MON")
    ]
    alone = pl.concat(summary(one).collect() for one in snapshots)
    together = summary(pl.concat(snapshots))
    shuffled = summary(pl.concat(snapshots).sample(fraction=1, shuffle=True, seed=1))
    for frame in (together, shuffled):
        found = frame.collect(engine=engine)  # type: ignore[call-overload]
        own = [name for name in found.columns if name not in SMILE_FIGURES]
        assert_frame_equal(found.select(own), alone.select(own), check_exact=True)
        # How many maturities are fitted at once may change a last digit.
        smiles = "timestamp", "underlying_symbol", *SMILE_FIGURES
        assert_frame_equal(found.select(smiles), alone.select(smiles), rel_tol=1e-6)
