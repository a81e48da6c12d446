"""A price of an earlier day stays as KIS gives it, and has no part in what is derived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.features.chain import is_stale_price
from engine.features.matrix import matrix
from engine.schemas import METRICS, MODEL_METRICS
from tests.engine.features.prepared import (
    chain_flags,
    changed,
    ready,
    summary,
    with_greeks,
)
from tests.paths import BOARD_FILE, CALLS_FILE, needs

Board = Callable[..., pl.DataFrame]
PRICES = ("price", "bid", "ask")
# The money itself: what a wrong price there does, every figure shows.
NEAR_CALLS = (pl.col("option_type") == "C") & (pl.col("strike").is_between(1057.5, 1065.0))


def of_yesterday(chain: pl.DataFrame) -> pl.DataFrame:
    """Return the chain with calls at the money that stand where they stood 20 points ago."""
    higher = chain.with_columns(
        price=pl.when(NEAR_CALLS).then(pl.col("price") + 20).otherwise("price")
    )
    return changed(higher, NEAR_CALLS, volume=0, bid=None, ask=None)


def test_a_price_of_yesterday_is_out_of_everything_derived(make_board: Board) -> None:
    """Such prices entered volatilities, ATM volatility and the forward without a word."""
    chain = of_yesterday(make_board())
    without = changed(chain, NEAR_CALLS, price=None)
    found, expected = summary(chain), summary(without)
    assert_frame_equal(found.drop("flags").collect(), expected.drop("flags").collect())
    assert found.collect().row(0, named=True)["flags"] == "stale_price"
    old = with_greeks(chain).filter(NEAR_CALLS).select(MODEL_METRICS).collect()
    assert old.null_count().row(0) == (4,) * 6
    others = with_greeks(chain).filter(~NEAR_CALLS).select(MODEL_METRICS).collect()
    assert_frame_equal(
        others, with_greeks(without).filter(~NEAR_CALLS).select(MODEL_METRICS).collect()
    )


def test_the_matrix_shows_what_kis_says_of_it_and_nothing_of_ours(make_board: Board) -> None:
    chain = of_yesterday(make_board())
    found = matrix(with_greeks(chain)).collect().select("metric_type", "c_atm")
    values = dict(found.iter_rows())
    row = chain.filter(strike=1062.5, option_type="C").row(0, named=True)
    assert {name: values[name] for name in METRICS} == {name: row[name] for name in METRICS}
    assert {values[name] for name in MODEL_METRICS} == {None}


def test_a_finding_names_the_stale_prices(make_board: Board) -> None:
    chain = of_yesterday(make_board())
    flags = chain_flags(ready(chain)).collect().select("flag", "rows").rows()
    assert flags == [("stale_price", 4)]
    stored = chain.drop("stale_price", "price_since")  # a chain of an earlier release
    assert chain_flags(ready(stored)).collect().select("flag", "rows").rows() == flags
    assert_frame_equal(summary(stored).collect(), summary(chain).collect())


@pytest.mark.parametrize(
    ("values", "stale"),
    [
        ({"volume": 0, "bid": None, "ask": None}, True),
        ({"volume": 0, "bid": 0.0, "ask": 0.0}, True),
        ({"volume": 0, "bid": 0.0, "ask": 50.0}, True),  # half a quote is not a price
        ({"volume": 0, "bid": 49.0, "ask": 0.0}, True),
        ({"volume": 0, "bid": 49.0, "ask": 50.0}, False),
        ({"volume": 1, "bid": None, "ask": None}, False),
        ({"volume": None, "bid": None, "ask": None}, None),
        ({"volume": 0, "price": 0.0, "bid": None, "ask": None}, None),
        ({"volume": 0, "price": None, "bid": None, "ask": None}, None),
    ],
)
def test_stale_is_what_did_not_trade_today_and_has_no_two_quotes(
    make_board: Board, values: dict[str, object], stale: bool | None
) -> None:
    row = make_board().filter(strike=1062.5, option_type="C")
    assert changed(row, pl.lit(value=True), **values).select(is_stale_price()).item() is stale


def test_with_quotes_an_old_price_is_worth_their_middle(make_board: Board) -> None:
    row = make_board().filter(strike=1062.5, option_type="C")
    same = pl.lit(value=True)
    old = changed(row, same, price=49.0, bid=48.0, ask=54.0, volume=0)
    middle = changed(row, same, price=51.0, bid=None, ask=None)
    found, expected = (
        with_greeks(chain).select(MODEL_METRICS).collect() for chain in (old, middle)
    )
    assert_frame_equal(found, expected)


def test_a_price_that_stood_for_long_has_a_volatility_but_no_part_in_the_forward(
    make_board: Board,
) -> None:
    chain = make_board().with_columns(bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64))
    chain = chain.with_columns(volume=pl.lit(5, pl.Int64))
    moment = chain["timestamp"][0]
    for minutes, source in ((10, "parity"), (11, "future")):
        stood = chain.with_columns(price_since=pl.lit(moment - timedelta(minutes=minutes)))
        found = with_greeks(stood).collect()
        assert found["forward_source"].unique().to_list() == [source]
        assert found["model_iv"].null_count() == 0


@needs(BOARD_FILE, CALLS_FILE)
def test_on_real_boards_stale_prices_are_those_that_stand_out() -> None:
    """On 2026-10-07 the call 1025 stood at 71.55, with a volatility of 196 % at KIS."""
    shared = {"underlying_symbol": pl.lit("202610_KOSPI200"), "underlying_source": pl.lit("index")}
    calls = pl.read_csv(CALLS_FILE).select(
        timestamp=pl.lit(datetime(2026, 10, 7, 15, 20)),
        expiry=datetime(2026, 10, 8, 15, 20),
        option_type=pl.lit("C"),
        underlying_price=1073.63,
        **shared,
        **{name: pl.col(name) for name in ("strike", "price", "volume", "iv")},
    )
    board = pl.read_parquet(BOARD_FILE).select(
        timestamp=pl.lit(datetime(2026, 9, 17, 15, 45)),
        expiry=datetime(2026, 10, 8, 15, 20),
        option_type="right",
        underlying_price="kospi200",
        price="last",
        **shared,
        **{name: pl.col(name) for name in ("strike", "volume", "iv")},
    )
    stale = {"C": [1025.0, 1027.5], "P": [1015.0, 1022.5, 1082.5, 1087.5]}
    for chain, side in ((calls, "C"), (board, "P")):
        found = with_greeks(chain).collect()
        old = found.filter(is_stale_price())
        assert (old["option_type"].unique().to_list(), old["strike"].to_list()) == (
            [side],
            stale[side],
        )
        assert old["model_iv"].null_count() == old.height
        assert found["model_iv"].null_count() == old.height
        assert old["iv"].min() > 42  # type: ignore[operator]  # KIS's own is kept
