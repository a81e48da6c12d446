"""Each option of a snapshot has its newest quote, and says whose it is; never an older one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engine.fetchers import chain_rows
from engine.fetchers.newest_quotes import (
    FEED,
    FEED_QUOTES,
    VALUES,
    fresh_symbols,
    usable_quotes,
    with_newest,
)
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from tests.engine.fetchers.test_option_chain import MINUTE, frame, open_simulated, request

NOW = MINUTE + timedelta(seconds=20)
CHAIN = chain_rows.read_board([], NOW).drop("reason", "row", strict=False).schema
SYMBOLS = ("x", "y", "z")


def moments(whole: bool) -> st.SearchStrategy[datetime]:
    step = 1_000_000 if whole else 250_000
    last = 40_000_000 // step
    return st.integers(0, last).map(lambda n: MINUTE + timedelta(microseconds=n * step))


def chain(*rows: tuple[str, datetime | None, int | None]) -> pl.DataFrame:
    """Rows of a chain: symbol, when it was quoted by REST (None: not yet) and volume so far."""
    dicts: list[dict[str, Any]] = [
        {
            "symbol": symbol,
            "strike": 330.0 + number,
            "price": 1.5 if quoted_at else None,
            "volume": volume,
            "quoted_at": quoted_at,
            "quote_source": "board" if quoted_at else None,
        }
        for number, (symbol, quoted_at, volume) in enumerate(rows)
    ]
    return pl.DataFrame(dicts, CHAIN)


def feed(*rows: tuple[str, datetime, datetime, int]) -> pl.DataFrame:
    """Quotes of the feed: symbol, exchange time, receipt, volume; each has a price of its own."""
    dicts = [
        {
            "symbol": symbol,
            "traded_at": traded_at,
            "received_at": received_at,
            "volume": volume,
            "price": 100.0 + number,
            "iv": 30.0,
        }
        for number, (symbol, traded_at, received_at, volume) in enumerate(rows)
    ]
    return pl.DataFrame(dicts, FEED_QUOTES)


def at(seconds: float) -> datetime:
    return MINUTE + timedelta(seconds=seconds)


def told(found: pl.DataFrame) -> dict[str, tuple[Any, ...]]:
    rows = found.select("symbol", "quote_source", "price", "quoted_at").iter_rows()
    return {symbol: rest for symbol, *rest in rows}


def test_the_newest_of_board_single_call_and_feed_is_taken_as_a_whole() -> None:
    board = chain(("x", at(5), 10), ("y", at(5), 10), ("z", None, None))
    found = told(
        with_newest(
            board,
            feed(("x", at(6), at(6.4), 11), ("y", at(4), at(4.5), 10), ("z", at(1), at(1.4), 3)),
        )
    )
    assert found["x"] == [FEED, 100.0, at(6)]
    assert found["y"] == ["board", 1.5, at(5)]
    assert found["z"] == [FEED, 102.0, at(1)]


def test_what_may_be_older_does_not_replace_what_rest_gave() -> None:
    board = chain(("x", at(5), 10))
    for doubtful in (
        ("x", at(5), at(5.4), 11),  # the second in which the board came: before or after it?
        ("x", at(6), at(6.4), 9),  # less was traded than the board knows
        ("x", at(6), at(4.5), 11),  # received before the board: this machine's clock is behind
        ("x", at(9), at(6.0), 11),  # traded three seconds after it was received
        ("x", at(6), at(37), 11),  # half a minute on its way
    ):
        assert told(with_newest(board, feed(doubtful)))["x"] == ["board", 1.5, at(5)]


def test_who_came_to_whose_price_is_known_where_nothing_was_traded_since() -> None:
    """REST never tells it: of an option whose row is always the board's it would never be known."""
    board = chain(("x", at(5), 10), ("y", at(5), 12), ("z", at(5), None))
    quotes = feed(*((symbol, at(1), at(1.4), 10) for symbol in "xyz"))
    told_by_feed = quotes.with_columns(bought=pl.lit(7, pl.Int64), sold=pl.lit(3, pl.Int64))
    found = with_newest(board, told_by_feed)
    assert found["quote_source"].to_list() == ["board"] * 3
    assert found["price"].to_list() == [1.5] * 3
    assert found["bought"].to_list() == [7, None, None], "traded since; not known whether"
    assert found["sold"].to_list() == [3, None, None]


def test_a_clock_a_little_behind_makes_no_quote_newer_than_its_receipt() -> None:
    found = told(with_newest(chain(("x", at(5), 10)), feed(("x", at(8), at(6.5), 11))))
    assert found["x"] == [FEED, 100.0, at(6.5)]


def test_of_two_quotes_in_one_second_the_one_with_more_volume_is_later() -> None:
    quotes = feed(("x", at(6), at(6.2), 12), ("x", at(6), at(6.9), 11), ("x", at(3), at(7), 99))
    assert usable_quotes(quotes)["volume"].to_list() == [12]


def test_a_fresh_quote_is_a_few_seconds_old() -> None:
    quotes = feed(("x", at(0), at(0.3), 1), ("y", at(12), at(12.2), 1))
    assert fresh_symbols(quotes, NOW).to_list() == ["y"]


@given(
    board=st.lists(
        st.tuples(
            st.sampled_from(SYMBOLS),
            st.none() | moments(whole=False),
            st.none() | st.integers(0, 20),
        ),
        max_size=3,
        unique_by=lambda row: row[0],
    ),
    quotes=st.lists(
        st.tuples(
            st.sampled_from((*SYMBOLS, "other")),
            moments(whole=True),
            moments(whole=False),
            st.integers(0, 20),
        ),
        max_size=12,
    ),
)
def test_never_an_older_quote_over_a_newer_one(
    board: list[tuple[str, datetime | None, int | None]],
    quotes: list[tuple[str, datetime, datetime, int]],
) -> None:
    before, given_by_feed = chain(*board), feed(*quotes)
    after = with_newest(before, given_by_feed)
    assert after.columns == before.columns
    assert after.schema == before.schema
    assert after["symbol"].equals(before["symbol"])
    assert after["strike"].equals(before["strike"])
    for old, new in zip(before.to_dicts(), after.to_dicts(), strict=True):
        own = [quote for quote in given_by_feed.to_dicts() if quote["symbol"] == old["symbol"]]
        if new["quote_source"] != FEED:
            assert new == old
            continue
        taken = next(quote for quote in own if quote["price"] == new["price"])
        assert [taken[name] for name in VALUES] == [new[name] for name in VALUES]
        assert new["quoted_at"] == min(taken["traded_at"], taken["received_at"])
        if old["quoted_at"] is not None:
            assert taken["traded_at"] > old["quoted_at"]
            assert taken["received_at"] > old["quoted_at"]
            assert old["volume"] is None or taken["volume"] >= old["volume"]
        in_time = [quote for quote in own if -2 <= delay(quote) <= 30]
        assert taken["traded_at"] == max(quote["traded_at"] for quote in in_time)


def delay(quote: dict[str, Any]) -> float:
    return float((quote["received_at"] - quote["traded_at"]).total_seconds())


@given(
    board=st.lists(
        st.tuples(
            st.sampled_from(SYMBOLS),
            st.none() | moments(whole=False),
            st.none() | st.integers(0, 20),
        ),
        max_size=3,
        unique_by=lambda row: row[0],
    )
)
def test_without_the_feed_a_snapshot_is_as_rest_gave_it(
    board: list[tuple[str, datetime | None, int | None]],
) -> None:
    before = chain(*board)
    assert with_newest(before, FEED_QUOTES.to_frame()).equals(before)


async def test_what_the_feed_has_just_quoted_is_not_asked_for_and_has_bid_and_ask(
    tmp_path: Path,
) -> None:
    """The calls saved bring the snapshot sooner, at the same pace."""
    async with open_simulated(tmp_path) as (simulator, client):
        plain = frame(await OptionChainFetcher(client).fetch(request()))
        singles = plain.filter(quote_source="single")
        known = singles.filter((pl.col("strike") - plain["underlying_price"][0]).abs() <= 20)
        alone, took = simulator.counts.calls["FHMIF10000000"], client.clock.now()
        minute = MINUTE + timedelta(minutes=1)
        await client.clock.sleep_until(minute + timedelta(seconds=2))
        now = client.clock.now()
        quotes = known.select(
            "symbol",
            pl.lit(now - timedelta(seconds=3)).dt.truncate("1s").alias("traded_at"),
            pl.lit(now - timedelta(seconds=2)).alias("received_at"),
            *(
                pl.lit(7.5, FEED_QUOTES[name]).alias(name)
                if name in ("bid", "ask")
                else pl.col(name)
                for name in VALUES
            ),
        )
        asked = ChainRequest("KOSPI200", "202612", minute, feed_quotes=lambda: quotes)
        with_feed = frame(await OptionChainFetcher(client).fetch(asked))
        calls = simulator.counts.calls["FHMIF10000000"] - alone
        lasted = client.clock.now() - now
    assert known.height >= 30
    assert with_feed["symbol"].equals(plain["symbol"])
    by_feed = with_feed.filter(quote_source=FEED)
    assert by_feed["symbol"].sort().equals(known["symbol"].sort())
    assert by_feed["bid"].unique().to_list() == [7.5]
    assert by_feed["quoted_at"].unique().to_list() == [now - timedelta(seconds=3)]
    assert set(with_feed["quote_source"]) == {"board", "single", FEED}
    assert calls == alone - known.height
    assert lasted < 0.6 * (took - MINUTE - timedelta(seconds=2))
