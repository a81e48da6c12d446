"""A bad chain never gives a wrong matrix, but NULL and a finding that says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.features.matrix import matrix
from engine.schemas import METRICS, level_columns
from tests.engine.features.prepared import (
    chain_flags,
    changed,
    figures,
    ready,
    summary,
    with_greeks,
)

Board = Callable[..., pl.DataFrame]
CALL_2 = (pl.col("strike") == 1067.5) & (pl.col("option_type") == "C")  # c_otm2 of the usual board


def flags_of(chain: pl.DataFrame) -> dict[str, int | None]:
    found = chain_flags(ready(chain)).collect()
    return dict(found.select("flag", "rows").iter_rows())


def text_of(chain: pl.DataFrame) -> object:
    return figures(chain)["flags"]


def calls_only(chain: pl.DataFrame) -> pl.DataFrame:
    """Return a chain that has no parity, so that the price of the underlying decides."""
    return chain.filter(pl.col("option_type") == "C")


def cells(chain: pl.DataFrame) -> pl.DataFrame:
    return matrix(with_greeks(chain)).collect()


def assert_only_null(bad: pl.DataFrame, good: pl.DataFrame, column: str) -> None:
    """The bad chain's matrix is the good one's, but for one column without a value."""
    found, expected = cells(bad), cells(good)
    assert found[column].null_count() == found.height
    assert_frame_equal(found.drop(column), expected.drop(column))


def test_a_good_chain_has_no_finding(make_board: Board) -> None:
    assert flags_of(make_board()) == {}
    assert text_of(make_board()) is None
    assert cells(make_board()).null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("wrong_side", {"delta": -0.4}),
        ("wrong_side", {"symbol": "C01612B75"}),
        ("stale", {"quoted_at": "old"}),
        ("all_zero", dict.fromkeys(("price", "iv", "delta", "volume", "open_interest"), 0)),
    ],
)
def test_a_row_that_cannot_be_trusted_leaves_its_cells_empty(
    make_board: Board, flag: str, values: dict[str, object]
) -> None:
    chain = make_board()
    if "quoted_at" in values:
        values = {"quoted_at": chain["timestamp"][0] - timedelta(minutes=2, seconds=1)}
    bad = changed(chain, CALL_2, **values)
    assert flags_of(bad) == {flag: 1}
    assert text_of(bad) == flag
    assert_only_null(bad, chain, "c_otm2")


def test_a_quote_of_two_minutes_ago_is_still_used(make_board: Board) -> None:
    chain = make_board()
    bad = changed(chain, CALL_2, quoted_at=chain["timestamp"][0] - timedelta(minutes=2))
    assert flags_of(bad) == {}


@pytest.mark.parametrize(("flag", "side"), [("unknown_side", "X"), ("unknown_side", None)])
def test_a_row_without_a_side_has_no_cell(make_board: Board, flag: str, side: str | None) -> None:
    chain = make_board()
    bad = changed(chain, CALL_2, option_type=side)
    assert flags_of(bad) == {flag: 1}
    assert_only_null(bad, chain, "c_otm2")


@pytest.mark.parametrize("strike", [None, 0.0, -5.0, float("nan"), float("inf")])
def test_a_row_without_a_strike_is_not_listed(make_board: Board, strike: float | None) -> None:
    chain = make_board()
    bad = changed(chain, CALL_2, strike=strike)
    assert flags_of(bad) == {"no_strike": 1}
    assert_only_null(bad, chain, "c_otm2")


def test_two_sound_rows_of_one_strike_give_no_value(make_board: Board) -> None:
    chain = make_board()
    bad = pl.concat([chain, chain.filter(CALL_2).with_columns(price=pl.col("price") + 1)])
    assert flags_of(bad) == {"duplicate": 2}
    assert_only_null(bad, chain, "c_otm2")


def test_of_two_rows_of_one_strike_the_sound_one_is_used(make_board: Board) -> None:
    chain = make_board()
    old = chain.filter(CALL_2).with_columns(pl.col("quoted_at") - pl.duration(minutes=9))
    bad = pl.concat([chain, old])
    assert flags_of(bad) == {"stale": 1}
    assert_frame_equal(cells(bad), cells(chain))


def test_crossed_quotes_make_the_price_worthless_but_not_the_counts(make_board: Board) -> None:
    chain = make_board()
    bad = changed(chain, CALL_2, bid=40.0, ask=30.0)
    assert flags_of(bad) == {"crossed": 1}
    found = cells(bad)
    empty = set(found.filter(pl.col("c_otm2").is_null())["metric_type"])
    assert empty == {"price", "iv"} | {m for m in found["metric_type"] if m.startswith("model_")}
    assert_frame_equal(found.drop("c_otm2"), cells(chain).drop("c_otm2"))


def test_half_a_book_is_not_crossed(make_board: Board) -> None:
    assert flags_of(changed(make_board(), CALL_2, bid=40.0, ask=0.0)) == {}


@pytest.mark.parametrize(("missing", "other"), [("C", "p"), ("P", "c")])
@pytest.mark.parametrize("blank", [True, False])
def test_with_one_side_missing_the_other_is_right(
    make_board: Board, missing: str, other: str, blank: bool
) -> None:
    chain = make_board()
    gone = pl.col("option_type") == missing
    bad = changed(chain, gone, price=None, bid=None, ask=None) if blank else chain.filter(~gone)
    assert set(flags_of(bad)) == {"no_calls" if missing == "C" else "no_puts"}
    found, expected = cells(bad), cells(chain)
    assert figures(bad)["forward_source"] == "future"  # there is no parity without the other side
    theirs = [name for name in level_columns() if name[0] == other]
    assert_frame_equal(found.select(theirs), expected.select(theirs), rel_tol=0.01)
    prices = found.filter(pl.col("metric_type").is_in(["price", "model_iv"]))
    assert prices.select(level_columns()).drop(theirs).null_count().min_horizontal().item() == 2


@pytest.mark.parametrize(
    ("price", "flag"),
    [
        (None, "no_forward"),
        (0.0, "no_forward"),
        (-1.0, "no_forward"),
        (float("nan"), "no_forward"),
        (float("inf"), "no_forward"),
        (1400.0, "no_atm"),
        (943.7, "no_atm"),
    ],
)
def test_without_atm_there_is_no_matrix(make_board: Board, price: float | None, flag: str) -> None:
    bad = calls_only(make_board()).with_columns(underlying_price=pl.lit(price, pl.Float64))
    assert set(flags_of(bad)) == {flag, "no_puts"}
    found = cells(bad)
    assert found["metric_type"].n_unique() == found.height == len(METRICS) + 6
    assert found.select(level_columns()).null_count().sum_horizontal().item() == 42 * 15


def test_a_hole_in_the_chain_is_flagged_and_changes_no_value(make_board: Board) -> None:
    chain = make_board()
    away = (pl.col("strike") - 1061.3).abs()
    bad = chain.filter((away < 30) | (away > 90))
    assert set(flags_of(bad)) == {"incomplete"}
    is_model = pl.col("metric_type").str.starts_with("model_")
    kept = (cells(one).filter(~is_model) for one in (bad, chain))
    assert_frame_equal(*kept)
    # The forward rests on fewer strikes: the model's values are the same within its error.
    moved = (cells(one).filter(is_model) for one in (bad, chain))
    assert_frame_equal(*moved, rel_tol=1e-3, abs_tol=1e-3)
    assert summary(bad).collect()["max_pain"].item() is not None


def test_two_prices_of_the_underlying_in_one_snapshot_give_no_matrix(make_board: Board) -> None:
    good = changed(make_board(), CALL_2, underlying_price=1061.35)
    assert flags_of(good) == {}  # parity decides
    bad = calls_only(good)
    assert set(flags_of(bad)) == {"no_forward", "no_puts"}
    assert cells(bad).select(level_columns()).null_count().sum_horizontal().item() == 42 * 15


def test_swapped_sides_give_no_matrix(make_board: Board) -> None:
    """Codes and deltas are what gives most swaps away; without them the prices do."""
    chain = make_board()
    other = pl.col("option_type").replace_strict({"C": "P", "P": "C"})
    by_code = chain.with_columns(option_type=other)
    assert flags_of(by_code)["wrong_side"] == chain.height
    by_price = by_code.with_columns(symbol=pl.lit(None, pl.String), delta=None)
    assert set(flags_of(by_price)) == {"swapped"}
    for bad in (by_code, by_price):
        assert cells(bad).select(level_columns()).null_count().sum_horizontal().item() == 42 * 15


def test_a_chain_of_zeros_gives_no_matrix(make_board: Board) -> None:
    chain = make_board()
    zeros = chain.with_columns(
        pl.lit(0).cast(chain.schema[name]).alias(name) for name in (*METRICS, "bid", "ask")
    )
    assert flags_of(zeros) == {"all_zero": chain.height, "no_calls": None, "no_puts": None}
    assert cells(zeros).select(level_columns()).null_count().sum_horizontal().item() == 42 * 15


def test_nan_and_infinity_become_null(make_board: Board) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        found = cells(changed(make_board(), CALL_2, gamma=value))
        assert found.filter(metric_type="gamma")["c_otm2"].item() is None


def test_a_bad_snapshot_does_not_change_its_neighbours(make_board: Board) -> None:
    good = make_board()
    later = make_board(moment=good["timestamp"][0] + timedelta(minutes=1))
    bad = calls_only(later).with_columns(underlying_price=pl.lit(None, pl.Float64))
    both = cells(pl.concat([good, bad]))
    assert_frame_equal(both.head(15), cells(good))
    assert both.tail(15).select(level_columns()).null_count().sum_horizontal().item() == 42 * 15


def test_a_finding_names_an_example(make_board: Board) -> None:
    found = chain_flags(ready(changed(make_board(), CALL_2, delta=-0.4))).collect()
    assert found.row(0, named=True) == {
        "timestamp": make_board()["timestamp"][0],
        "underlying_symbol": "202612_KOSPI200",
        "flag": "wrong_side",
        "rows": 1,
        "example": make_board().filter(CALL_2)["symbol"].item(),
    }


def test_a_chain_without_bids_or_codes_still_gives_the_other_values(make_board: Board) -> None:
    chain = make_board()
    bare = chain.drop("bid", "ask", "symbol", "quoted_at", "atm_class", "rho")
    found, expected = (matrix(ready(frame)).collect() for frame in (bare, chain))
    assert_frame_equal(found.filter(metric_type="iv"), expected.filter(metric_type="iv"))
    assert found.filter(metric_type="rho")["c_atm"].item() is None
