"""Trades add up to exactly the bars they were made of, whatever market and whatever bars."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.features.ticks import bars_from_trades
from engine.market.hours import MINUTE
from engine.market.products import KOSPI200
from engine.market.sessions import Market, Session
from engine.market.symbols import Option, front_month, parse
from engine.simulator import RecordedMarket, SyntheticMarket
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import BARS, instrument, open_session
from engine.simulator.market.moved import Move, MovedMarket
from engine.simulator.market.ticks import next_price, on_ticks, previous_price
from engine.simulator.market.trades import (
    MOST_TRADES,
    OPTION_TRADES,
    bars_without_trades,
    trades_of_bars,
    turnover_of_bars,
)
from engine.simulator.session_rows import write_session_rows

DAY = date(2026, 11, 18)
DERIVATIVES = open_session(Market.DERIVATIVES, DAY)
STOCKS = open_session(Market.STOCKS, DAY)
NIGHT = open_session(Market.NIGHT, DAY)
MARKET = SyntheticMarket(7)
CRASH = [Move(time(9, 40), 0.0), Move(time(10, 20), -0.12), Move(time(15), -0.03)]


def summed(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.group_by("label", maintain_order=True).agg(
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.col("size").sum(),
    )


def check_rest_turnover(
    symbol: str, session: Session, bars: pl.DataFrame, trades: pl.DataFrame
) -> None:
    """Hold that the turnover in KIS's rows of bars is the feed's, and each bar's own possible."""
    product = instrument(symbol).product
    rows = map(orjson.loads, write_session_rows(symbol, session, bars).rows)
    told = pl.Series([int(row["acml_tr_pbmn"]) for row in rows])
    spent = turnover_of_bars(symbol, session, bars)
    worth = pl.col("volume") * (product.multiplier if product else 1)
    least, most = bars.select(pl.col("low") * worth, high=pl.col("high") * worth)
    assert ((least - 1 <= spent) & (spent <= most + 1)).all()
    assert (told == spent.cum_sum() // (1_000 if product else 1)).all()
    by_end = bars.select("label", so_far=spent.cum_sum())
    fed = trades.group_by("label").agg(pl.col("day_turnover").last()).join(by_end, on="label")
    if bars_without_trades(bars).is_empty():
        assert (fed["day_turnover"] == fed["so_far"]).all()
    assert (fed["day_turnover"] <= fed["so_far"]).all()


def check(symbol: str, session: Session, bars: pl.DataFrame, **options: Any) -> pl.DataFrame:
    """Hold everything that must be true of any bars' trades; return these."""
    trades = trades_of_bars(symbol, session, bars, **options)
    traded = bars.filter(pl.col("volume") > 0)
    lost = bars_without_trades(bars)
    given_bars = traded.join(lost, on="label", how="anti", maintain_order="left")
    assert summed(trades).equals(given_bars)
    if trades.is_empty():
        return trades
    assert trades["size"].min() >= 1
    assert trades["happened_at"].is_sorted()
    inside = pl.col("happened_at").dt.truncate("1m") == pl.col("label")
    assert trades.select(inside.all()).item()
    so_far = traded.select("label", by_end=pl.col("volume").cum_sum())
    ends = trades.group_by("label", maintain_order=True).last().join(so_far, on="label")
    if lost.is_empty():
        assert (ends["day_volume"] == ends["by_end"]).all()
        assert (trades["day_volume"].diff().drop_nulls() == trades["size"][1:]).all()
    assert (ends["day_volume"] <= ends["by_end"]).all()
    product = instrument(symbol).product
    money = (trades["price"] * trades["size"] * (product.multiplier if product else 1)).round()
    if lost.is_empty():
        assert (trades["day_turnover"] == money.cast(pl.Int64).cum_sum()).all()
    for side, column in (("B", "day_bought"), ("S", "day_sold")):
        sizes = trades.select(pl.when(pl.col("side") == side).then("size").otherwise(0).cum_sum())
        assert (sizes.to_series() == trades[column]).all()
    bought, sold = trades.filter(pl.col("side") == "B"), trades.filter(pl.col("side") == "S")
    assert (bought["ask"] == bought["price"]).all()
    assert (sold["bid"] == sold["price"]).all()
    assert (trades["bid"] < trades["ask"]).all()
    assert (trades["bid_size"].min(), trades["ask_size"].min()) >= (1, 1)
    usual = OPTION_TRADES if isinstance(instrument(symbol), Option) else MOST_TRADES
    if options.get("most", MOST_TRADES) == usual and not options.get("seed"):
        check_rest_turnover(symbol, session, bars, trades)
    return trades


@pytest.mark.parametrize(
    ("symbol", "session"),
    [
        ("A01612", DERIVATIVES),
        ("A05612", DERIVATIVES),
        ("A06612", DERIVATIVES),
        ("A01612", NIGHT),
        ("A01703", DERIVATIVES),  # thin: many minutes have one or two contracts
        ("005930", STOCKS),
        ("900110", STOCKS),
    ],
)
@pytest.mark.parametrize("most", [4, 120])
def test_trades_of_a_made_up_market_give_its_bars_back(
    symbol: str, session: Session, most: int
) -> None:
    bars = MARKET.bars(symbol, session)
    trades = check(symbol, session, bars, most=most)
    assert trades.group_by("label").len()["len"].max() <= most
    step = round(instrument(symbol).ticks[0][1] * 100)
    assert (trades["price"] * 100 % step).round(6).is_in([0.0, float(step)]).all()


@pytest.mark.parametrize(("symbol", "session"), [("A01612", DERIVATIVES), ("005930", STOCKS)])
def test_trades_of_a_day_with_limits_and_halts(symbol: str, session: Session) -> None:
    market = MovedMarket(MARKET, CRASH, DAY)
    trades = check(symbol, session, market.bars(symbol, session))
    assert market.halts()
    for begin, end in market.halts():
        assert trades.filter(pl.col("happened_at").is_between(begin, end, closed="left")).is_empty()


def test_trades_of_options_give_the_bars_of_the_option_market_back() -> None:
    options = SimulatedExchange(MARKET).options
    listed = options.day("KOSPI200", "202612", DAY).listed
    for row in range(100, listed.height, 97):
        code = listed["code"][row]
        check(code, DERIVATIVES, options.bars(code, DERIVATIVES), most=OPTION_TRADES)


def test_trades_of_recorded_futures_give_every_bar_back(futures_file: Path) -> None:
    market = RecordedMarket(futures_file)
    dates = market.dates("A01_FRONT")
    assert len(dates) == 87
    lost = 0
    for day in dates:
        session = open_session(Market.DERIVATIVES, day)
        front = front_month(KOSPI200).on(day)
        bars = market.bars(front.code, session)
        check(front.code, session, bars)
        lost += bars_without_trades(bars).height
    assert lost == 0  # no bar of the file is beyond what trades can give


def test_trades_of_recorded_stocks_give_every_bar_with_a_volume_back(stocks_file: Path) -> None:
    market = RecordedMarket(stocks_file)
    idle = 0
    for symbol in market.symbols[::7]:
        for day in market.dates(symbol):
            session = open_session(Market.STOCKS, day)
            bars = market.bars(symbol, session)
            idle += bars.filter(pl.col("volume") == 0).height
            check(symbol, session, bars)
            assert bars_without_trades(bars).is_empty()
    assert idle  # minutes that the file has although nothing was traded in them


# The fewest trades: open and close, and each extreme beyond both.
@pytest.mark.parametrize(
    ("prices", "volume", "trades"),
    [
        ((1.0, 1.0, 1.0, 1.0), 1, [1.0]),
        ((1.0, 1.05, 1.0, 1.05), 1, []),
        ((1.0, 1.05, 1.0, 1.05), 2, [1.0, 1.05]),
        ((1.0, 1.05, 1.0, 1.0), 2, []),
        ((1.0, 1.05, 1.0, 1.0), 3, [1.0, 1.05, 1.0]),
        ((1.0, 1.1, 0.9, 1.05), 3, []),
        ((1.0, 1.1, 0.9, 1.05), 2, []),
        ((1.0, 0.9, 1.1, 1.0), 9, []),  # high and low changed places
        ((1.0, 1.1, 1.0, float("nan")), 9, []),
        ((0.0, 0.0, 0.0, 0.0), 0, []),
    ],
)
def test_a_bar_that_no_trades_can_give_has_none_but_counts(
    prices: tuple[float, ...], volume: int, trades: list[float]
) -> None:
    rows = [
        (DERIVATIVES.opens + MINUTE, *prices, volume),
        (DERIVATIVES.opens + 2 * MINUTE, 2.0, 2.0, 2.0, 2.0, 1),
    ]
    bars = pl.DataFrame(rows, BARS, orient="row")
    found = trades_of_bars("A01612", DERIVATIVES, bars)
    assert found["price"].to_list() == [*trades, 2.0]
    assert found["day_volume"][-1] == volume + 1
    assert bars_without_trades(bars).height == (volume > 0 and not trades)


@st.composite
def any_bars(draw: st.DrawFn) -> pl.DataFrame:
    minutes = draw(st.lists(st.integers(0, 405), min_size=1, max_size=12, unique=True))
    labels = [*(DERIVATIVES.opens + minute * MINUTE for minute in sorted(minutes))]
    if draw(st.booleans()):
        labels.append(DERIVATIVES.auction)
    rows = []
    for label in labels:
        steps = draw(st.lists(st.integers(20_000, 20_040), min_size=4, max_size=4))
        opened, close = steps[:2]
        prices = (opened, max(steps), min(steps), close)
        volume = draw(st.one_of(st.integers(0, 6), st.integers(0, 9_000)))
        rows.append((label, *(round(step * 0.05, 2) for step in prices), volume))
    return pl.DataFrame(rows, BARS, orient="row")


@settings(deadline=None, max_examples=150)
@given(any_bars(), st.integers(4, 300))
def test_trades_of_any_bars_give_them_back(bars: pl.DataFrame, most: int) -> None:
    check("A01612", DERIVATIVES, bars, most=most)


def test_the_trades_of_a_minute_do_not_depend_on_other_minutes() -> None:
    bars = MARKET.bars("A01612", DERIVATIVES)
    of_day = ["day_volume", "day_turnover", "day_bought", "day_sold"]
    whole = trades_of_bars("A01612", DERIVATIVES, bars).drop(of_day)
    for row in (0, 77, 410):
        part = trades_of_bars("A01612", DERIVATIVES, bars[[row]]).drop(of_day)
        assert part.equals(whole.filter(pl.col("label") == bars["label"][row]))
    assert not trades_of_bars("A01612", DERIVATIVES, bars, seed=1).drop(of_day).equals(whole)


def test_auctions_have_one_price_and_no_side() -> None:
    trades = trades_of_bars("A01612", DERIVATIVES, MARKET.bars("A01612", DERIVATIVES))
    closing = trades.filter(pl.col("label") == DERIVATIVES.auction)
    assert (closing.height, closing["side"][0]) == (1, None)
    assert closing["size"][0] == MARKET.bars("A01612", DERIVATIVES)["volume"][-1]
    opening = trades.row(0, named=True)
    assert (opening["label"], opening["side"]) == (DERIVATIVES.opens, None)
    assert opening["size"] == trades.filter(pl.col("label") == DERIVATIVES.opens)["size"].max()
    assert trades["side"].null_count() == 2


def test_the_bars_of_our_own_reader_are_the_markets() -> None:
    bars = MARKET.bars("A01612", DERIVATIVES)
    trades = trades_of_bars("A01612", DERIVATIVES, bars).lazy()
    rows = trades.with_columns(
        session=pl.lit(DAY),
        symbol=pl.lit("A01612"),
        traded_at=pl.col("happened_at").dt.truncate("1s"),
        received_at="happened_at",
        day_turnover=pl.col("day_turnover").cast(pl.Float64),
        open_interest=pl.lit(None, pl.Int64),
    )
    stamp = DERIVATIVES.stamp_of_label(pl.col("traded_at").dt.truncate("1m"))
    multiplier = parse("A01612").product.multiplier
    found = bars_from_trades(rows, stamp, {"A01612": multiplier}).collect()
    expected = bars.with_columns(timestamp=DERIVATIVES.stamp_of_label(pl.col("label")))
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    assert found.select(names).equals(expected.select(names))
    assert found["complete"].all()
    assert (found["vwap"].is_between(found["low"] - 1e-9, found["high"] + 1e-9)).all()


def test_prices_step_by_the_tick_that_holds_there() -> None:
    ticks = parse("005930").ticks
    edge = np.array([1_999.0, 2_000.0, 2_005.0])
    assert next_price(edge, ticks).tolist() == [2_000, 2_005, 2_010]
    assert previous_price(edge, ticks).tolist() == [1_998, 1_999, 2_000]
    assert on_ticks(np.array([1_999.4, 2_003.0, 0.2]), ticks).tolist() == [1_999, 2_005, 1]
    assert previous_price(np.array([1.0]), ticks).tolist() == [0]


def test_a_session_without_bars_has_no_trades() -> None:
    empty = trades_of_bars("A01612", DERIVATIVES, BARS.to_frame())
    assert empty.is_empty()
    assert empty.schema["happened_at"] == pl.Datetime("us")
