"""The surface of a chain: what it is fitted to, how well, and what it says where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.features.surface import option_smiles, volatility_of_smile
from tests.engine.features.prepared import with_greeks
from tests.engine.features.test_forward import blank, board_of_20260917
from tests.paths import BOARD_FILE, needs

Board = Callable[..., pl.DataFrame]
MOMENT = datetime(2026, 11, 2, 10, 31)
PARAMETERS = ("smile_theta", "smile_rho", "smile_psi", "years")
CALLS = pl.col("option_type") == "C"
OUTSIDE = pl.when(CALLS).then(pl.col("strike") >= pl.col("forward"))
OUTSIDE = OUTSIDE.otherwise(pl.col("strike") < pl.col("forward"))


def greeks(*boards: pl.DataFrame) -> pl.DataFrame:
    """Return the boards as chains of one underlying."""
    chain = with_greeks(pl.concat(boards, how="diagonal_relaxed")).collect()
    return chain.with_columns(underlying=pl.lit("KOSPI200"))


def with_smile(chain: pl.DataFrame) -> pl.DataFrame:
    """Return the chain with the smile's volatility of each strike."""
    surface = option_smiles(chain).select("timestamp", "underlying_symbol", *PARAMETERS)
    both = chain.join(surface, on=["timestamp", "underlying_symbol"])
    return both.with_columns(smile=volatility_of_smile())


def test_the_smile_of_a_made_up_board_is_found_again(make_board: Board) -> None:
    chain = with_smile(greeks(make_board()))
    near = chain.filter((pl.col("strike") / pl.col("forward") - 1).abs() < 0.06)
    x = (pl.col("strike") / 1061.3).log()
    near = near.with_columns(
        true=36 * (1 - 0.9 * x + 2.2 * x * x)
    )  # as tests/…/conftest.py makes it
    assert (near["smile"] - near["true"]).abs().max() < 0.35  # type: ignore[operator]
    (row,) = option_smiles(greeks(make_board())).to_dicts()
    assert (row["quality"], row["arbitrage"]) == ("good", None)
    assert row["atm_volatility"] == pytest.approx(36.0, abs=0.2)
    assert row["risk_reversal_25d"] < -1
    assert row["error_points"] < 0.5


@needs(BOARD_FILE)
def test_on_a_real_board_the_smile_is_off_by_less_than_half_a_point() -> None:
    board = greeks(board_of_20260917())
    (row,) = option_smiles(board).to_dicts()
    assert row["error_points"] < 0.5
    assert (row["quality"], row["arbitrage"], row["quotes"]) == ("good", None, 39)
    chain = with_smile(board).filter(OUTSIDE, (pl.col("strike") - pl.col("forward")).abs() <= 15)
    assert (chain["smile"] - chain["model_iv"]).abs().mean() < 0.5  # type: ignore[operator]


def test_a_quote_that_comes_or_goes_does_not_move_the_smile(make_board: Board) -> None:
    whole = option_smiles(greeks(make_board()))
    odd = (pl.col("strike") / 2.5).cast(pl.Int64) % 2 == 1
    half = option_smiles(greeks(blank(make_board(), odd)))
    for name in ("atm_volatility", "risk_reversal_25d", "butterfly_25d"):
        assert half[name][0] == pytest.approx(whole[name][0], abs=0.25), name
    assert half["quotes"][0] < 0.6 * whole["quotes"][0]


def test_one_price_of_an_hour_ago_does_not_bend_it(make_board: Board) -> None:
    board = make_board()
    at = (pl.col("strike") == 1080) & CALLS
    wrong = board.with_columns(
        pl.when(at).then(pl.col(name) * 1.3).otherwise(name).alias(name)
        for name in ("price", "bid", "ask")
    )
    before, after = (with_smile(greeks(chain)).filter(at)["smile"][0] for chain in (board, wrong))
    assert after == pytest.approx(before, abs=0.4)


def test_quality_says_when_there_is_little_old_or_nothing(make_board: Board) -> None:
    few = blank(make_board(), (pl.col("strike") - 1061).abs() > 5)
    one_sided = blank(make_board(), (pl.col("strike") < 1061) | (pl.col("strike") > 1075))
    nothing = make_board().with_columns(
        price=pl.lit(0.0), bid=pl.lit(0.0), ask=pl.lit(0.0), volume=pl.lit(0)
    )
    old = make_board().with_columns(
        bid=pl.lit(0.0), ask=pl.lit(0.0), price_since=pl.col("timestamp") - timedelta(hours=1)
    )
    expired = make_board(expiry=MOMENT)
    for board, quality in (
        (few, "sparse"),
        (one_sided, "sparse"),
        (old, "stale"),
        (nothing, "none"),
        (expired, "none"),
    ):
        (row,) = option_smiles(greeks(board)).to_dicts()
        assert row["quality"] == quality
        assert (row["smile_theta"] is None) == (quality in ("stale", "none"))
        assert (row["atm_volatility"] is None) == (quality in ("stale", "none"))


def test_maturities_of_a_minute_hold_each_other_and_minutes_do_not(make_board: Board) -> None:
    near = make_board()
    far = make_board(expiry=datetime(2027, 1, 14, 15, 20), symbol="202701_KOSPI200", volatility=0.2)
    alone = option_smiles(greeks(far))
    both = option_smiles(greeks(near, far))
    assert both["arbitrage"].null_count() == both.height == 2
    later, earlier = both["smile_theta"][1], both["smile_theta"][0]
    assert later >= earlier > alone["smile_theta"][0], "a total variance never falls with time"
    another_minute = far.with_columns(pl.col("timestamp", "quoted_at").dt.offset_by("1m"))
    apart = option_smiles(greeks(near, another_minute))
    assert apart["smile_theta"][1] == pytest.approx(alone["smile_theta"][0], rel=1e-3)


def test_many_snapshots_at_once_give_what_each_gives_alone(make_board: Board) -> None:
    boards = [
        make_board(1050 + n, center=1060).with_columns(
            pl.col("timestamp", "quoted_at", "price_since").dt.offset_by(f"{n}m")
        )
        for n in range(12)
    ]
    alone = pl.concat(option_smiles(greeks(board)) for board in boards)
    assert_frame_equal(option_smiles(greeks(*boards)), alone, rel_tol=1e-6, abs_tol=1e-9)


def test_of_no_chain_there_is_no_surface(make_board: Board) -> None:
    assert option_smiles(greeks(make_board()).clear()).is_empty()


def test_options_that_expire_today_do_not_bend_the_smile_of_a_month(make_board: Board) -> None:
    """Their dozen quotes say little about the wings, and each minute something else."""
    month = make_board()
    alone = option_smiles(greeks(month)).row(0, named=True)
    rng = np.random.default_rng(7)
    for _ in range(12):
        noise = pl.Series(rng.uniform(-1.5, 1.5, month.height)) * 0.01
        today = make_board(expiry=MOMENT + timedelta(minutes=90), symbol="261101_KOSPI200")
        noisy = today.with_columns((pl.col("bid", "ask", "price") + noise).clip(lower_bound=0.01))
        both = option_smiles(greeks(noisy, month)).filter(underlying_symbol="202612_KOSPI200")
        row = both.row(0, named=True)
        assert row["arbitrage"] is None
        for name in ("risk_reversal_10d", "butterfly_10d", "swap_volatility"):
            assert row[name] == pytest.approx(alone[name], abs=0.02), name
