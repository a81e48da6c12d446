"""What is told once beside bars: joined on the minute, without a row more or less."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from polars.testing import assert_frame_equal

from engine.history.told_once import (
    with_auctions,
    with_book,
    with_flows,
    with_index,
    with_programme,
    with_state,
)

FIRST = datetime(2026, 11, 18, 9, 1)
STAMPS = [FIRST + n * timedelta(minutes=1) for n in range(3)]
BARS = pl.LazyFrame(
    {
        "timestamp": STAMPS * 2,
        "symbol": ["A01612"] * 3 + ["A01703"] * 3,
        "close": [1100.0, 1101.0, 1102.0, 1110.0, 1111.0, 1112.0],
        "fetched_at": STAMPS * 2,
    }
)
TIMES = {"fetched_at": STAMPS[:2], "committed_at": STAMPS[:2]}


def test_state_is_joined_by_contract() -> None:
    states = pl.LazyFrame(
        {"timestamp": STAMPS[:2], "symbol": ["A01612"] * 2, "open_interest": [10, 12], **TIMES}
    )
    joined = with_state(BARS, states).collect()
    assert joined.columns == [*BARS.collect_schema().names(), "open_interest"]
    assert joined["open_interest"].to_list() == [10, 12, None, None, None, None]
    assert_frame_equal(joined.drop("open_interest"), BARS.collect())


def test_flows_are_columns_by_investor_of_one_market() -> None:
    flows = pl.LazyFrame(
        {
            "timestamp": [STAMPS[0], STAMPS[0], STAMPS[1], STAMPS[1]],
            "symbol": ["KOSPI200_FUTURES"] * 3 + ["KOSPI"],
            "investor": ["foreign", "individual", "foreign", "foreign"],
            "net_volume": [5, -5, 7, 99],
        }
    )
    joined = with_flows(
        BARS, flows, investors=["foreign", "individual"], columns=["net_volume"]
    ).collect()
    assert joined["foreign_net_volume"].to_list() == [5, 7, None] * 2
    assert joined["individual_net_volume"].to_list() == [-5, None, None] * 2


def test_programme_trading_and_index_keep_their_names_apart_from_the_bars() -> None:
    trades = pl.LazyFrame(
        {"timestamp": STAMPS[:2], "symbol": ["KOSPI"] * 2, "net": [1, 2], **TIMES}
    )
    index = pl.LazyFrame(
        {"timestamp": STAMPS[:2], "symbol": ["KOSPI200", "KOSDAQ"], "close": [1099.0, 9.0], **TIMES}
    )
    joined = with_index(with_programme(BARS, trades), index).collect()
    assert joined.columns[-2:] == ["programme_net", "index_close"]
    assert joined["programme_net"].to_list() == [1, 2, None] * 2
    assert joined["index_close"].to_list() == [1099.0, None, None] * 2
    assert joined["close"].to_list() == BARS.collect()["close"].to_list()


def test_an_auctions_last_expectation_stands_beside_the_bar_that_it_gave_and_no_other() -> None:
    nine = FIRST - timedelta(minutes=1)
    close = datetime(2026, 11, 18, 15, 45)
    last_bar = close - timedelta(minutes=10)
    bars = pl.LazyFrame(
        {"timestamp": [FIRST, STAMPS[1], last_bar, close], "symbol": ["A01612"] * 4, "close": 1.0}
    )
    expected = pl.LazyFrame(
        {
            "timestamp": [nine, nine, last_bar + timedelta(minutes=1), close],
            "symbol": ["A01612"] * 4,
            "said_at": [nine - timedelta(seconds=20), nine - timedelta(seconds=10), close, close],
            "price": [1.0, 2.0, 3.0, 4.0],
            "size": [5, 6, 7, None],
        }
    )
    joined = with_auctions(bars, expected).collect()
    assert joined["expected_price"].to_list() == [2.0, None, None, 4.0]
    assert joined["expected_size"].to_list() == [6, None, None, None]
    assert_frame_equal(joined.drop("expected_price", "expected_size"), bars.collect())


def test_the_book_at_a_minutes_end_stands_beside_its_bar() -> None:
    told = [STAMPS[0] - timedelta(seconds=s) for s in (50, 1)] + [STAMPS[0]]
    book = pl.LazyFrame(
        {
            "session": [FIRST.date()] * 3,
            "symbol": ["A01612"] * 3,
            "told_at": told,
            "received_at": told,
            "bid1": [1.0, 2.0, 3.0],
        }
    )
    joined = with_book(BARS, book).collect()
    assert joined["bid1"].to_list() == [2.0, 3.0, None] + [None] * 3
    assert_frame_equal(joined.drop("bid1"), BARS.collect())
