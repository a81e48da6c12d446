"""Bars from trades: exact where no trade is missing, and never said to be complete where one is."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import schemas
from engine.features.ticks import FEED_BARS, bars_from_trades, clashes, distinct_trades
from engine.market.sessions import Market, session

DAY = date(2026, 9, 16)
FUTURES = session(Market.DERIVATIVES, DAY)
STOCKS = session(Market.STOCKS, DAY)
TRADES = pl.DataFrame(schemas.TRADES.empty_table()).schema
MULTIPLIER = 250_000.0


def trades_of(*rows: tuple[str, float, int], symbol: str = "A01612", begin: int = 0):
    """Return trades at the times (HH:MM:SS), prices and sizes, all bought; `begin` went before."""
    frame = pl.DataFrame(rows, schema=["at", "price", "size"], orient="row")
    size, price = pl.col("size"), pl.col("price")
    return frame.select(
        pl.lit(DAY).alias("session"),
        pl.lit(symbol).alias("symbol"),
        pl.format("2026-09-16 {}", "at").str.to_datetime(time_unit="us").alias("traded_at"),
        pl.format("2026-09-16 {}", "at").str.to_datetime(time_unit="us").alias("received_at"),
        price.cast(pl.Float64),
        size.cast(pl.Int64),
        pl.lit("B").alias("side"),
        (size.cum_sum() + begin).alias("day_volume"),
        ((price * size).cum_sum() * MULTIPLIER).alias("day_turnover"),
        (size.cum_sum() + begin).alias("day_bought"),
        pl.lit(0).alias("day_sold"),
        pl.lit(None).alias("bid"),
        pl.lit(None).alias("ask"),
        pl.lit(None).alias("bid_size"),
        pl.lit(None).alias("ask_size"),
        pl.lit(7).alias("open_interest"),
        pl.lit(None).alias("limit_state"),
    ).cast(TRADES)


def bars_of(trades: pl.DataFrame, hours=FUTURES) -> pl.DataFrame:
    stamp = hours.stamp_of_trade(pl.col("traded_at"))
    return bars_from_trades(trades.lazy(), stamp, {"A01612": MULTIPLIER}).collect()


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-09-16 {clock}")


MINUTE = (
    ("09:00:00", 340.0, 2),
    ("09:00:30", 341.5, 1),
    ("09:00:30", 339.5, 3),
    ("09:00:59", 340.5, 2),
)
NEXT = (("09:01:03", 340.6, 1),)


def test_a_bar_has_the_values_of_its_trades() -> None:
    bar = bars_of(trades_of(*MINUTE, *NEXT)).row(0, named=True)
    assert bar == {
        "timestamp": at("09:01"),
        "symbol": "A01612",
        "open": 340.0,
        "high": 341.5,
        "low": 339.5,
        "close": 340.5,
        "volume": 8,
        "missing_volume": 0,
        "turnover": 2721.0 * MULTIPLIER,
        "vwap": 2721.0 / 8,
        "trades": 4,
        "bought": 8,
        "sold": 0,
        "open_interest": 7,
        "received_at": at("09:00:59"),
        "complete": True,
    }


def test_trades_of_one_second_keep_the_order_of_the_volume_in_whatever_order_they_come() -> None:
    trades = trades_of(*MINUTE)
    assert bars_of(trades.reverse()).equals(bars_of(trades))
    assert bars_of(pl.concat([trades, trades])).equals(bars_of(trades))  # twice, after a reconnect


@pytest.mark.parametrize("lost", range(len(MINUTE)))
def test_a_bar_that_lacks_a_trade_is_not_complete(lost: int) -> None:
    trades = trades_of(*MINUTE, *NEXT).with_row_index("number")
    bar = bars_of(trades.filter(pl.col("number") != lost).drop("number")).row(0, named=True)
    assert not bar["complete"]


def test_what_is_missing_is_known_from_the_trade_before() -> None:
    before = (("08:59:58", 340.0, 5),)
    trades = trades_of(*before, *MINUTE, *NEXT).with_row_index("number")
    bar = bars_of(trades.filter(pl.col("number") != 1).drop("number")).row(1, named=True)
    assert not bar["complete"]
    assert (bar["volume"], bar["missing_volume"], bar["vwap"]) == (6, 2, 2721.0 / 8)


def test_a_loss_at_the_end_is_found_when_the_next_trade_comes_and_till_then_nobody_can_say() -> (
    None
):
    trades = trades_of(*MINUTE, *NEXT)
    assert bars_of(trades[:3])["complete"].to_list() == [None]
    assert bars_of(trades[:4])["complete"].to_list() == [None]
    bars = bars_of(pl.concat([trades[:3], trades[4:]]))
    assert bars["complete"].to_list() == [False, False]  # it may have been the next minute's


def test_after_a_late_connection_the_first_bar_is_not_complete_and_the_second_is() -> None:
    bars = bars_of(trades_of(*MINUTE, *NEXT, begin=500))
    assert bars["complete"].to_list() == [False, None]
    assert bars["turnover"].to_list()[0] is None
    assert bars["missing_volume"].to_list() == [None, 0]


def test_after_a_reconnect_only_the_bar_of_the_break_is_not_complete() -> None:
    trades = trades_of(
        *MINUTE, *NEXT, ("09:02:10", 340.0, 4), ("09:02:50", 341.0, 1), ("09:03:00", 341.0, 9)
    )
    broken = trades.filter(pl.col("traded_at") != at("09:02:10"))
    complete = bars_of(broken).select("timestamp", "complete").rows()
    assert complete == [
        (at("09:01"), True),
        (at("09:02"), False),
        (at("09:03"), False),
        (at("09:04"), None),
    ]


def test_symbols_do_not_touch_each_other() -> None:
    both = pl.concat([trades_of(*MINUTE), trades_of(*MINUTE, symbol="A05610", begin=3)])
    bars = bars_of(both)
    assert bars["complete"].to_list() == [None, False]
    assert bars["vwap"].to_list() == [2721.0 / 8, None]


def test_auctions_have_their_own_stamps() -> None:
    stocks = trades_of(
        ("08:59:59", 70_000.0, 3),  # before the open: no bar
        ("09:00:11", 70_100.0, 900),  # the opening auction ends at a random moment
        ("15:19:59", 70_200.0, 1),
        ("15:30:27", 70_300.0, 800),  # so does the closing auction
        ("15:45:00", 70_300.0, 5),  # trades at the closing price: no bar
        symbol="005930",
    )
    bars = bars_of(stocks, STOCKS)
    assert bars["timestamp"].to_list() == [at("09:01"), at("15:20"), at("15:30")]
    assert bars["volume"].to_list() == [900, 1, 800]
    assert bars["complete"].all()
    futures = trades_of(("08:45:00", 340.0, 50), ("15:34:59", 341.0, 1), ("15:45:00", 341.2, 700))
    assert bars_of(futures)["timestamp"].to_list() == [at("08:46"), at("15:35"), at("15:45")]


def test_a_halt_has_no_bars_and_the_minute_before_it_is_complete() -> None:
    trades = trades_of(*MINUTE, ("09:21:00", 330.0, 80))  # twenty minutes of a circuit breaker
    bars = bars_of(trades)
    assert bars["timestamp"].to_list() == [at("09:01"), at("09:22")]
    assert bars["complete"].all()


def test_a_price_locked_at_its_limit_is_a_bar_like_any_other() -> None:
    bar = bars_of(trades_of(("09:00:01", 300.0, 1), ("09:00:40", 300.0, 2), *NEXT)).row(
        0, named=True
    )
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (300.0,) * 4
    assert bar["complete"]


def test_no_trades_no_bars() -> None:
    bars = bars_of(pl.DataFrame(schema=TRADES))
    assert bars.schema == FEED_BARS
    assert bars.is_empty()


def moved(trades: pl.DataFrame, of_them: range, seconds: float, column: str) -> pl.DataFrame:
    """Move a time of some trades."""
    number = pl.int_range(pl.len())
    touched = number.is_between(of_them.start, of_them.stop - 1)
    later = pl.col(column) + pl.duration(milliseconds=int(seconds * 1000))
    return trades.with_columns(pl.when(touched).then(later).otherwise(pl.col(column)).alias(column))


def test_a_wrong_clock_of_the_exchange_leaves_no_bar_complete_that_it_touches() -> None:
    """What came on the 1st of September 2025 in the storm: 4 of 146 contracts, said to be all."""
    trades = trades_of(
        *MINUTE,
        ("09:01:20", 340.0, 9),
        ("09:01:40", 341.0, 9),
        ("09:01:59", 342.0, 4),
        ("09:02:01", 341.0, 1),
        ("09:03:00", 341.0, 1),
    )
    behind = moved(trades, range(4, 6), -90, "traded_at")  # the clock is right again at 09:01:59
    found = bars_of(behind).select("timestamp", "complete").rows()
    assert found == [
        (at("09:00"), False),
        (at("09:01"), False),
        (at("09:02"), False),
        (at("09:03"), True),
        (at("09:04"), None),
    ]


def test_by_a_wrong_clock_of_ours_nothing_is_partial_once_its_difference_is_known() -> None:
    trades = trades_of(*MINUTE, *NEXT)
    stamp = FUTURES.stamp_of_trade(pl.col("traded_at"))
    for seconds in (-60, 60):
        ours = moved(trades, range(len(trades)), seconds, "received_at").lazy()
        ahead = timedelta(seconds=seconds)
        corrected = bars_from_trades(ours, stamp, {}, ahead=ahead).collect()
        assert corrected["complete"].to_list() == [True, None]
        assert bars_from_trades(ours, stamp, {}).collect()["complete"].to_list() == [False, False]


def test_two_trades_with_one_volume_of_the_session_leave_the_minute_open() -> None:
    trades = trades_of(*MINUTE, *NEXT, ("09:02:00", 340.0, 1), ("09:03:00", 340.0, 1))
    other = trades[1:2].with_columns(price=pl.lit(999.0))
    for both in ([trades, other], [other, trades]):
        complete = bars_of(pl.concat(both))["complete"].to_list()
        assert complete == [False, True, True, None]
    assert distinct_trades(pl.concat([trades, trades]).lazy()).collect().height == len(trades)
    found = distinct_trades(pl.concat([trades, other]).lazy()).filter(clashes()).collect()
    assert found["price"].to_list() == [999.0]


@st.composite
def markets(draw) -> tuple[pl.DataFrame, set[int]]:
    """Draw trades of some minutes and which of them are lost."""
    steps = draw(st.lists(st.integers(0, 45), min_size=1, max_size=40))
    seconds = [sum(steps[: n + 1]) for n in range(len(steps))]
    moments = [at("09:00") + timedelta(seconds=s) for s in seconds]
    prices = draw(st.lists(st.integers(330, 350), min_size=len(steps), max_size=len(steps)))
    sizes = draw(st.lists(st.integers(1, 9), min_size=len(steps), max_size=len(steps)))
    rows = [(f"{m:%H:%M:%S}", float(p), s) for m, p, s in zip(moments, prices, sizes, strict=True)]
    lost = draw(st.sets(st.integers(0, len(steps) - 1), max_size=6))
    return trades_of(*rows), lost


@st.composite
def faults(draw, trades: pl.DataFrame) -> tuple[pl.DataFrame, set[int]]:
    """Draw what else goes wrong, and the numbers of the trades that it touches."""
    kind = draw(st.sampled_from(["nothing", "held", "wrong clock", "foreign record"]))
    first = draw(st.integers(0, len(trades) - 1))
    run = range(first, draw(st.integers(first + 1, len(trades))))
    if kind == "held":  # the frames from some time on have not come yet
        return trades[:first], set(range(first, len(trades)))
    if kind == "wrong clock":
        seconds = draw(st.sampled_from([-3600, -90, -20, -7, 7, 20, 90]))
        return moved(trades, run, seconds, "traded_at"), set(run)
    if kind == "foreign record":  # another symbol's, under this one's code
        foreign = trades[first : first + 1].with_columns(
            price=pl.col("price") + draw(st.integers(0, 1)),
            size=pl.col("size") + draw(st.integers(0, 1)),
            day_volume=pl.col("day_volume") + draw(st.integers(0, 3)),
        )
        at_first = draw(st.booleans())
        parts = [foreign, trades] if at_first else [trades, foreign]
        return pl.concat(parts), set()
    return trades, set()


@given(st.data(), markets())
def test_a_complete_bar_is_the_true_one_and_a_touched_one_is_never_complete(data, market) -> None:
    trades, lost = market
    true = bars_of(trades)
    kept = [number for number in range(len(trades)) if number not in lost]
    left = trades[kept]
    seen, touched = data.draw(faults(left)) if kept else (left, set())
    complete = bars_of(seen).filter("complete")
    values = [name for name in complete.columns if name != "complete"]
    same = complete.join(true, on=values, how="semi", nulls_equal=True)
    assert same.height == complete.height
    stamps = trades.select(FUTURES.stamp_of_trade(pl.col("traded_at"))).to_series()
    numbers = lost | {kept[number] for number in touched}
    assert not set(stamps.gather(sorted(numbers))) & set(complete["timestamp"])
    if seen.equals(trades):
        assert complete["timestamp"].to_list() == true["timestamp"].to_list()[:-1]
