"""What is said of the feed: which symbols, how late, since when not and why not."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine.history.delays import DELAYS
from engine.history.feed_standing import FEED_SYMBOLS, STREAM_OFF, FeedStanding
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.state import StreamState
from engine.market.symbols import parse_chain
from engine.settings import KisSettings
from pipelines.day.feed_states import FeedStates, why_no_feed
from pipelines.day_plan import plan
from pipelines.feed import Feed

DAY = date(2026, 11, 16)
TEN = datetime(2026, 11, 16, 10)
FUTURE, STOCK = StreamRegistration("H0IFCNT0", "A01612"), StreamRegistration("H0STCNT0", "005930")


def at(minute: int) -> datetime:
    return TEN + timedelta(minutes=minute)


def states(*rows: tuple[str, bool, int, str | None]) -> pl.DataFrame:
    given = [(DAY, symbol, by_feed, at(since), why) for symbol, by_feed, since, why in rows]
    return pl.DataFrame(given, FEED_SYMBOLS, orient="row")


def delays(symbol: str, *seconds: float) -> pl.DataFrame:
    rows = [(symbol, at(minute), delay) for minute, delay in enumerate(seconds)]
    return pl.DataFrame(rows, DELAYS, orient="row")


def test_the_figures_are_those_of_a_calculation_by_hand() -> None:
    hundred = delays("A01612", *(1 + n / 100 for n in range(101)))  # 1.00 … 2.00 s
    found = FeedStanding(
        states(("A01612", True, 0, None), ("005930", True, 0, None)),
        pl.concat([hundred, delays("005930", 4.0, 0.5)]),
    )
    shown = {row["symbol"]: row for row in found.symbols.to_dicts()}
    future = shown["A01612"]
    assert (future["bars"], future["last"], future["last_bar"]) == (101, 2.0, at(100))
    assert future["p50"] == pytest.approx(1.5)
    assert future["p99"] == pytest.approx(1.99)
    assert (shown["005930"]["p50"], shown["005930"]["last"]) == (2.25, 0.5)
    assert found.line() == "2 of 2 symbols by feed, late by p50 1.5 s, p99 2.0 s, last 2.0 s"
    assert found.polled() == []
    told = found.as_json()
    assert (told["p50"], told["last"]) == (1.5, 2.0)
    assert [row["symbol"] for row in told["symbols"]] == ["005930", "A01612"]


def test_what_is_polled_is_told_with_its_reason_and_since_when() -> None:
    found = FeedStanding(
        states(
            ("A", False, 2, "the connection was closed"),
            ("B", False, 2, "the connection was closed"),
            ("C", True, 0, None),
            ("D", False, 0, "no room among 41 registrations"),
        ),
        delays("C"),
    )
    assert found.line() == "1 of 4 symbols by feed"
    assert found.polled() == [
        "D is polled since 10:00: no room among 41 registrations",
        "A and 1 more are polled since 10:02: the connection was closed",
    ]
    assert found.symbols["symbol"].to_list() == ["A", "B", "D", "C"]
    assert found.as_json()["p50"] is None


def test_since_is_when_a_symbol_last_changed_between_feed_and_polling() -> None:
    known = FeedStates(DAY, at(0))
    told = [
        known.note({"A": reason}, at(minute)).select("by_feed", "since", "reason").row(0)
        for minute, reason in enumerate(["connects", None, None, "cut", "pauses until 10:20", None])
    ]
    assert told == [
        (False, at(0), "connects"),
        (True, at(1), None),
        (True, at(1), None),
        (False, at(3), "cut"),
        (False, at(3), "pauses until 10:20"),
        (True, at(5), None),
    ]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (StreamState(connected_since=TEN, registered=(FUTURE,)), None),
        (StreamState(connected_since=TEN, registered=(FUTURE,), silent=(FUTURE,)), "no data"),
        (StreamState(connected_since=TEN), "not registered"),
        (StreamState(connected_since=TEN, paper=True), "a paper key has stocks alone"),
        (StreamState(doing="the app key is in use by another connection"), "in use by another"),
        (StreamState(doing="pauses until 10:20:00"), "pauses until"),
        (
            StreamState(held_elsewhere=True, doing="another process has the connection"),
            "another process",
        ),
    ],
)
def test_why_a_symbol_is_polled(state: StreamState, why: str | None) -> None:
    told = state.why_not(FUTURE)
    assert told is None if why is None else told is not None and why in told
    assert state.why_not(STOCK) is not None


@pytest.mark.parametrize(
    ("stream", "feed", "counted", "why"),
    [
        (True, Feed(("005930",)), True, None),
        (False, Feed(("005930",)), True, STREAM_OFF),
        (True, Feed(option_chains=(parse_chain("front"),)), True, "no symbol with bars"),
        (True, Feed(("005930",)), False, "connections cannot be counted"),
    ],
)
def test_why_there_is_no_feed_at_all(
    stream: bool, feed: Feed, counted: bool, why: str | None
) -> None:
    told = why_no_feed(KisSettings(stream=stream), plan(feed, DAY), counted=counted)
    assert told is None if why is None else told is not None and told.startswith(why)
