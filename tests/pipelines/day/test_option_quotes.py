"""Options near the money by the feed: few registrations change, and snapshots are the newest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kis.stream.frames import OPTION_QUOTES
from engine.market.symbols import parse_chain
from pipelines.day.option_quotes import MOST, MOST_CHANGES, REACH, SLACK, OptionQuotes
from pipelines.day_plan import plan
from pipelines.feed import DataFeedBuilder, Feed
from tests.pipelines.day.playing import DAY, FUTURE, at_time, play, scenario
from tests.pipelines.simulated import desk

CHAIN, LATER = "202511_KOSPI200", "202512_KOSPI200"
STRIKES = [500 + 2.5 * n for n in range(81)]


def options() -> OptionQuotes:
    feed = DataFeedBuilder().add_option_chain("202512").add_option_chain("202511").build()
    return OptionQuotes(plan(feed, DAY))


def snapshot(
    forward: float | None, name: str = CHAIN, strikes: list[float] = STRIKES
) -> pl.DataFrame:
    rows = [(name, f"{side}{strike}", strike, forward) for strike in strikes for side in "CP"]
    types = {"underlying_symbol": pl.String, "symbol": pl.String, "strike": pl.Float64}
    return pl.DataFrame(rows, types | {"forward": pl.Float64}, orient="row")


def strikes(found: OptionQuotes) -> list[float]:
    return sorted({float(symbol[1:]) for symbol in found.symbols})


def test_eight_strikes_on_each_side_of_the_money_in_the_nearest_maturity() -> None:
    found = options()
    assert found.chain == CHAIN
    assert not found.follow(snapshot(600.0, LATER), MOST)
    assert found.follow(snapshot(600.9), MOST)
    assert len(found.symbols) == MOST == 34
    assert strikes(found) == [600 + 2.5 * n for n in range(-REACH, REACH + 1)]
    assert set(found.symbols[:2]) == {"C600.0", "P600.0"}


def test_the_room_that_is_left_is_for_the_nearest() -> None:
    found = options()
    found.follow(snapshot(600.0), 7)
    assert len(found.symbols) == 7
    assert {"C600.0", "P600.0", "C597.5", "P602.5"} <= set(found.symbols)
    assert not options().follow(snapshot(600.0), 0)
    assert found.follow(snapshot(600.0), 0)
    assert found.symbols == ()


def test_nothing_changes_while_the_money_moves_within_the_slack() -> None:
    found = options()
    found.follow(snapshot(600.0), MOST)
    for forward in (602.5, 605.0, 600.0, 595.0, 605.0, 597.0) * 5:
        assert not found.follow(snapshot(forward), MOST)
    assert found.follow(snapshot(607.5), MOST)
    assert 582.5 in strikes(found)  # what is two strikes too far stays
    assert len(found.symbols) == MOST


def test_a_snapshot_without_the_money_changes_nothing() -> None:
    found = options()
    beyond = [strike for strike in STRIKES if strike > 610]
    for odd in (snapshot(None), snapshot(600.0, strikes=beyond), snapshot(900.0), snapshot(1.0)):
        assert not options().follow(odd, MOST)
    found.follow(snapshot(600.0), MOST)
    before = found.symbols
    found.follow(snapshot(600.0, strikes=beyond), MOST)  # KIS's board may lack them once
    assert found.symbols == before


def test_after_a_crash_the_registrations_follow_a_few_a_minute() -> None:
    found = options()
    found.follow(snapshot(600.0), MOST)
    shares = [set(found.symbols)]
    for _ in range(12):
        found.follow(snapshot(550.0), MOST)
        shares.append(set(found.symbols))
    changes = [len(after - before) for before, after in pairwise(shares)]
    assert max(changes) == MOST_CHANGES
    assert changes[-1] == 0
    assert max(abs(strike - 550.0) / 2.5 for strike in strikes(found)) <= REACH + SLACK


def test_records_of_options_that_nobody_wants_are_left_out() -> None:
    found = options()
    found.follow(snapshot(600.0), MOST)
    traded = at_time("10:00:05")
    rows = [
        {"symbol": symbol, "traded_at": traded, "received_at": traded, "price": 1.0, "volume": 5}
        for symbol in ("C600.0", "C700.0")
    ]
    for _ in range(3):
        found.note(pa.RecordBatch.from_pylist(rows, OPTION_QUOTES))
    assert found.newest()["symbol"].to_list() == ["C600.0"]
    found.note(pa.RecordBatch.from_pylist([], OPTION_QUOTES))
    assert found.newest().height == 1


@given(st.lists(st.floats(520, 680), min_size=2, max_size=12), st.integers(1, 60))
def test_never_more_than_fit_nor_more_changes_than_a_few(forwards: list[float], room: int) -> None:
    found = options()
    found.follow(snapshot(forwards[0]), room)
    for forward in forwards[1:]:
        before = set(found.symbols)
        changed = found.follow(snapshot(forward), room)
        after = set(found.symbols)
        assert len(after) == len(found.symbols) == min(room, MOST)
        assert len(after - before) <= MOST_CHANGES
        assert changed == (after != before)


SINGLE_CALL = "FHMIF10000000"
CHAINS = Feed((), (FUTURE,), (parse_chain("KOSPI200:202511"),))


@pytest.mark.long  # plays two days
async def test_the_snapshot_is_sooner_and_newer_with_the_feed_at_the_same_pace(
    database_url: str, another_database_url: str, tmp_path: Path
) -> None:
    found, calls = {}, {}
    for url, stream in ((database_url, True), (another_database_url, False)):
        async with desk(url, tmp_path / str(stream), at_time("14:00")) as at:
            played = await play(
                at,
                url,
                tmp_path / str(stream),
                feed=CHAINS,
                stream=stream,
                until=at_time("14:04"),
            )
            assert played.error is None
            chain = await at.frame("SELECT * FROM option_chain_raw ORDER BY timestamp, symbol")
            assert (chain["quoted_at"] <= chain["fetched_at"]).all()
            calls[stream] = at.simulator.counts.calls[SINGLE_CALL]
            found[stream] = chain.filter(pl.col("timestamp") >= at_time("14:01"))
            registered = at.simulator.stream.counts["OPSP0000"]
            assert registered == (2 + MOST if stream else 0)  # the future, and halts of all
    plain, with_feed = found[False], found[True]
    assert set(plain["quote_source"]) == {"board", "single"}
    key = ["timestamp", "symbol", "strike", "option_type"]
    assert with_feed.select(key).equals(plain.select(key))

    took = (pl.col("fetched_at") - pl.col("timestamp")).dt.total_seconds(fractional=True)
    delays = [frame.select(took.max()).item() for frame in (with_feed, plain)]
    assert delays[0] < delays[1] - 1.0  # seconds, of which both wait two until they ask
    assert calls[True] < 0.75 * calls[False]

    both = with_feed.filter(quote_source="feed").join(plain, on=key, suffix="_plain")
    assert both.height > 3 * 20
    assert both.null_count().select("bid", "ask", "iv", "delta").sum_horizontal().item() == 0
    age = (pl.col("fetched_at") - pl.col("quoted_at")).dt.total_seconds()
    assert both.select(age.max()).item() < 30
    # REST shows the last whole minute, so what is younger than that knows of as much trading.
    younger = both.filter(pl.col("quoted_at") >= pl.col("timestamp"))
    assert younger.height > 20
    assert (younger["volume"] >= younger["volume_plain"]).all()


ROUGH = [
    {"what": "lost_frames", "probability": 0.02},
    {"what": "doubled_frames", "probability": 0.05},
    {"what": "torn_frames", "probability": 0.02},
    {"what": "foreign_records", "probability": 0.05},
    {"what": "held_frames", "probability": 0.002, "seconds": 4.0},
    {"what": "stream_cut", "from": "14:02:20", "to": "14:02:22"},
    {"what": "registration_limit", "registrations": 20},
    {
        "what": "wrong_time",
        "endpoint": "trades",
        "from": "14:04:00",
        "to": "14:05:00",
        "seconds": 7,
    },
]


@pytest.mark.long
async def test_whatever_the_feed_does_wrong_a_snapshot_has_true_quotes(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, at_time("14:00"), faults=scenario(*ROUGH)) as at:
        played = await play(
            at, database_url, tmp_path, feed=CHAINS, stream=True, until=at_time("14:07")
        )
        assert played.error is None
        rows = await at.frame("SELECT * FROM option_chain_raw ORDER BY timestamp, symbol")
        sizes = rows.group_by("timestamp").len()["len"]
        assert (sizes.len(), sizes.n_unique()) == (7, 1)
        by_feed = rows.filter(quote_source="feed")
        assert by_feed.height > 40
        assert (by_feed["quoted_at"] <= by_feed["fetched_at"]).all()
        for (code,), own in by_feed.group_by("symbol"):
            served = at.served(str(code), DAY)
            assert own["price"].is_between(served["low"].min(), served["high"].max()).all(), code
            assert own.sort("timestamp")["volume"].is_sorted()
        assert at.simulator.stream.counts["OPSP0008"] == 1  # the limit is learned
        assert played.stats.feed_message == "1 of 1 symbols, 18 options; connected"
