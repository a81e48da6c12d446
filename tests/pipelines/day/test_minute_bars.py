"""Minutes of the feed: each bar once it is over, again only if something about it changed."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import schemas
from engine.market.sessions import Market, session
from pipelines.day.minute_bars import MinuteBars

DAY = date(2026, 9, 16)
FUTURES = session(Market.DERIVATIVES, DAY)
STOCKS = session(Market.STOCKS, DAY)
TRADES = pl.DataFrame(schemas.TRADES.empty_table()).schema


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-09-16 {clock}")


def trades(*rows: tuple[str, float, int, int], symbol: str = "A01612"):
    """Return a batch of trades: time, price, size, volume of the day after it."""
    frame = pl.DataFrame(rows, schema=["at", "price", "size", "day_volume"], orient="row")
    moment = pl.format("2026-09-16 {}", "at").str.to_datetime(time_unit="us")
    known = {"session": pl.lit(DAY), "symbol": pl.lit(symbol), "traded_at": moment}
    known["received_at"] = moment
    known["day_turnover"] = pl.col("day_volume") * 85_000_000.0
    columns = [
        (known.get(name, pl.col(name) if name in frame.columns else pl.lit(None)))
        .cast(kind)
        .alias(name)
        for name, kind in TRADES.items()
    ]
    return schemas.conform(frame.select(columns), schemas.TRADES)


@pytest.fixture
def minutes() -> MinuteBars:
    return MinuteBars({"A01612": FUTURES, "005930": STOCKS})


def shown(bars: pl.DataFrame) -> list[tuple]:
    return [
        (f"{stamp:%H:%M}", *rest)
        for stamp, *rest in bars.select("timestamp", "symbol", "volume", "complete").iter_rows()
    ]


def test_a_bar_goes_out_once_when_its_minute_is_over(minutes: MinuteBars) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5), ("08:45:59", 341.0, 1, 6)))
    assert shown(minutes.finished(at("08:45:59"))) == []
    assert shown(minutes.finished(at("08:46:00"))) == [("08:46", "A01612", 6, None)]
    assert shown(minutes.finished(at("08:46:30"))) == []


def test_the_trade_after_a_bar_proves_it(minutes: MinuteBars) -> None:
    assert minutes.add(trades(("08:45:00", 340.0, 5, 5)))
    assert minutes.finished(at("08:46:00"))["complete"].to_list() == [None]
    assert minutes.add(trades(("08:46:01", 341.0, 2, 7))), "the minute before is over"
    assert not minutes.add(trades(("08:46:02", 341.0, 1, 8)))
    assert shown(minutes.finished(at("08:46:01"))) == [("08:46", "A01612", 5, True)]
    assert shown(minutes.finished(at("08:47:00"))) == [("08:47", "A01612", 3, None)]


def test_a_minute_is_over_for_a_symbol_that_trades_in_the_next(minutes: MinuteBars) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5), ("08:46:00", 341.0, 2, 7)))
    assert shown(minutes.finished(at("08:45:59"))) == [("08:46", "A01612", 5, True)]


def test_a_late_trade_sends_the_bar_again(minutes: MinuteBars) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5)))
    assert shown(minutes.finished(at("08:46:00"))) == [("08:46", "A01612", 5, None)]
    minutes.add(trades(("08:45:59", 341.0, 1, 6)))
    assert shown(minutes.finished(at("08:46:02"))) == [("08:46", "A01612", 6, None)]


def test_a_bar_whose_proof_turns_out_to_be_doubtful_is_taken_back(minutes: MinuteBars) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5)))
    assert shown(minutes.finished(at("08:46:00"))) == [("08:46", "A01612", 5, None)]
    minutes.add(trades(("08:46:01", 341.0, 1, 6)))
    assert shown(minutes.finished(at("08:46:01"))) == [("08:46", "A01612", 5, True)]
    minutes.add(trades(("08:46:02", 341.0, 9, 6)))  # another one with the same volume of the day
    again = shown(minutes.finished(at("08:47:00")))
    assert again == [("08:46", "A01612", 5, False), ("08:47", "A01612", 1, False)]


def test_the_last_trade_of_an_earlier_minute_proves_the_next_bar(minutes: MinuteBars) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5)))
    minutes.finished(at("08:46:00"))
    for minute in range(47, 60):
        assert shown(minutes.finished(at(f"08:{minute}:00"))) == []
    minutes.add(trades(("09:00:10", 341.0, 2, 7)))
    minutes.add(trades(("09:01:00", 341.0, 2, 9)))
    assert shown(minutes.finished(at("09:01:00"))) == [("09:01", "A01612", 2, True)]


def test_hours_and_prices_are_those_of_each_symbol(minutes: MinuteBars) -> None:
    minutes.add(trades(("15:30:20", 85_000_000.0, 3, 3), symbol="005930"))  # the stocks' auction
    minutes.add(trades(("15:30:20", 340.0, 5, 5)))  # futures trade on
    bars = minutes.finished(at("15:31:00"))
    assert shown(bars) == [("15:30", "005930", 3, None), ("15:31", "A01612", 5, None)]
    assert bars["vwap"].to_list() == [85_000_000.0, 340.0]


def test_the_closing_auction_is_over_a_minute_after_its_time(minutes: MinuteBars) -> None:
    minutes.add(trades(("15:45:00", 340.0, 900, 900)))
    assert shown(minutes.finished(at("15:45:59"))) == []
    assert shown(minutes.finished(at("15:46:00"))) == [("15:45", "A01612", 900, None)]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=1, max_size=60),
    st.lists(st.integers(1, 7), min_size=1, max_size=20),
)
def test_whatever_the_pieces_the_bars_are_those_of_all_trades_at_once(steps, pieces) -> None:
    moments, volume, rows = at("09:00:00"), 0, []
    for seconds, size in steps:
        moments, volume = moments + timedelta(seconds=seconds), volume + size
        rows.append((f"{moments:%H:%M:%S}", 300.0 + len(rows) % 7, size, volume))
    whole = MinuteBars({"A01612": FUTURES})
    whole.add(trades(*rows))
    end = at("15:00:00")
    wanted = whole.finished(end)

    piecewise = MinuteBars({"A01612": FUTURES})
    given_bars = []
    sizes = iter(pieces * 60)
    while rows:
        size = next(sizes)
        piecewise.add(trades(*rows[:size]))
        last, rows = at(rows[:size][-1][0]), rows[size:]
        given_bars.append(piecewise.finished(last))
        piecewise.forget()
    given_bars.append(piecewise.finished(end))
    newest = pl.concat(given_bars).unique(["symbol", "timestamp"], keep="last").sort("timestamp")
    assert newest.equals(wanted)


def test_a_time_that_goes_back_gives_no_bar_of_what_was_let_go_again(minutes: MinuteBars) -> None:
    """The clock closes a minute; then a frame of a slow connection says an earlier time."""
    minutes.add(trades(("08:45:00", 340.0, 5, 5), ("08:45:30", 341.0, 1, 6)))
    minutes.add(trades(("08:46:30", 341.0, 1, 7)))
    assert shown(minutes.finished(at("08:47:00")))[0] == ("08:46", "A01612", 6, True)
    for minute in ("08:48", "08:49", "08:50"):
        minutes.finished(at(f"{minute}:00"))
        minutes.forget()
    assert shown(minutes.finished(at("08:46:00"))) == []
    assert shown(minutes.finished(at("08:51:00"))) == []
    assert shown(minutes.finished(at("08:52:00"))) == []


def test_a_clock_that_was_an_hour_ahead_for_a_while_costs_no_later_minute(
    minutes: MinuteBars,
) -> None:
    minutes.add(trades(("08:45:00", 340.0, 5, 5)))
    minutes.finished(at("09:45:00"))
    minutes.forget()
    minutes.add(trades(("08:46:10", 341.0, 1, 6), ("08:47:10", 341.0, 1, 7)))
    assert shown(minutes.finished(at("08:47:09"))) == []
    minutes.add(trades(("08:48:10", 341.0, 1, 8)))
    assert shown(minutes.finished(at("08:48:09"))) == [
        ("08:47", "A01612", 1, True),
        ("08:48", "A01612", 1, True),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A01612", "005930"]),
            st.sampled_from([-70, -3, -1, 0, 0, 1, 5, 20, 40]),  # seconds after the one before
            st.sampled_from([0, 1, 1, 1, 2, 3]),  # by how much the volume of the day grows
            st.integers(1, 2),  # size: where it differs from that, a trade is missing
        ),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(1, 7), min_size=1, max_size=20),
    st.integers(0, 3),
)
def test_bars_set_aside_are_given_again_where_they_would_have_been(steps, pieces, every) -> None:
    """Trades come twice, late, out of order, with the volume of another one, or not at all."""
    moment, volumes, rows = at("09:00:30"), {"A01612": 0, "005930": 0}, []
    for symbol, seconds, growth, size in steps:
        moment = max(moment + timedelta(seconds=seconds), at("09:00:00"))
        volumes[symbol] += growth
        rows.append((symbol, (f"{moment:%H:%M:%S}", 300.0, size, max(volumes[symbol], 1))))
    all_at_hand, set_aside = (MinuteBars({"A01612": FUTURES, "005930": STOCKS}) for _ in range(2))
    sizes, number = iter(pieces * 40), 0
    while rows:
        size, number = next(sizes), number + 1
        piece, rows = rows[:size], rows[size:]
        until = max(at(row[0]) for _, row in piece)
        found = []
        for minutes in (all_at_hand, set_aside):
            for symbol, row in piece:
                minutes.add(trades(row, symbol=symbol))
            found.append(minutes.finished(until))
            if minutes is set_aside and number % (every + 1) == 0:
                minutes.set_proven_aside()
        assert found[1].equals(found[0])
    final = at("09:30:00")
    assert set_aside.finished(final).equals(all_at_hand.finished(final))
