"""The feed beside the polling: bars at once where they are complete, REST for the others."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from engine.history.scan import query
from engine.store.spool import Spool
from engine.store.trade_files import sessions_in_files
from pipelines.reports.standing import read_feed_standing
from tests.engine.store.outage import away
from tests.engine.store.trades import trades as old_trades
from tests.pipelines.day.playing import (
    DAY,
    FEED,
    FUTURE,
    STOCK,
    Played,
    at_time,
    play,
    scenario,
    statuses,
)
from tests.pipelines.simulated import Desk, desk

OLD = date(2025, 9, 1)
START, OPEN_FEED = at_time("15:06"), at_time("15:08")  # the minute after: the first one whole
ROUGH = [
    {"what": "lost_frames", "probability": 0.01},
    {"what": "doubled_frames", "probability": 0.02},
    {"what": "torn_frames", "probability": 0.01},
    {"what": "foreign_records", "probability": 0.01},
    {"what": "held_frames", "endpoint": "trades", "from": "15:20:50", "limit": 2, "seconds": 25},
    {"what": "added_fields", "from": "15:17:00", "fields": 2},
    {"what": "stream_cut", "from": "15:15:20", "to": "15:15:22"},
    {
        "what": "wrong_time",
        "endpoint": "trades",
        "from": "15:17:00",
        "to": "15:18:00",
        "seconds": 7,
    },
    {
        "what": "wrong_time",
        "endpoint": "trades",
        "from": "15:18:30",
        "to": "15:19:30",
        "seconds": -90,
    },
]


async def bars_of(at: Desk, table: str) -> pl.DataFrame:
    return (await at.bars(table)).filter(pl.col("timestamp").dt.date() == DAY)


async def assert_as_served(at: Desk) -> None:
    for table, symbol in (("futures_1m", FUTURE), ("stocks_1m", STOCK)):
        assert (await bars_of(at, table)).equals(at.served(symbol, DAY)), symbol


async def assert_sources_are_known(at: Desk) -> None:
    """Each bar says who gave it first; REST has given those of the feed, too, just so."""
    for table in ("futures_1m", "stocks_1m"):
        found = await at.frame(
            f"SELECT source, count(*) AS bars, count(confirmed_at) AS confirmed,"
            " min(confirmed_at - timestamp) AS soonest, max(confirmed_at - timestamp) AS latest"
            f" FROM {table} WHERE timestamp::date = '{DAY}' GROUP BY source"
        )
        by_source = {row["source"]: row for row in found.iter_rows(named=True)}
        assert by_source["feed"]["bars"] == by_source["feed"]["confirmed"] > 3
        assert by_source["feed"]["latest"] <= timedelta(minutes=30)
        assert by_source["rest"]["confirmed"] == 0
    assert (await at.frame("SELECT 1 FROM replaced_bars")).is_empty()


async def signals(at: Desk) -> pl.DataFrame:
    found = await at.frame("SELECT * FROM dolpha1_signal ORDER BY symbol, timestamp")
    return found.drop("created_at", "committed_at")


@pytest.mark.usefixtures("all_frames")
async def test_complete_minutes_are_known_before_rest_and_need_no_call(
    database_url: str, another_database_url: str, tmp_path: Path
) -> None:
    calls, found = {}, {}
    for url, stream in ((database_url, True), (another_database_url, False)):
        async with desk(url, tmp_path / str(stream), START) as at:
            await at.store.merge("trades", old_trades(OLD))
            played = await play(at, url, tmp_path / str(stream), feed=FEED, stream=stream)
            assert sessions_in_files(tmp_path / str(stream) / "trades") == [OLD]
            await assert_as_served(at)
            calls[stream], found[stream] = at.calls, await signals(at)
            if stream:
                for symbol, bars in played.stats.by_feed.items():
                    owed = at.served(symbol, DAY).filter(pl.col("timestamp") > OPEN_FEED)
                    stamps = owed["timestamp"].to_list()
                    complete = {stamp for stamp, state in bars.items() if state}
                    # Ten minutes lie between the last two, and nothing follows the auction.
                    assert set(stamps) - complete == set(stamps[-2:])
                    assert max(played.stats.delays[stamp] for stamp in stamps) <= 3.1
                await assert_sources_are_known(at)
                await assert_told_alike(played, url)
                trades = await at.frame(
                    "SELECT symbol, date_trunc('minute', traded_at) AS label,"
                    " sum(size)::bigint AS volume FROM trades GROUP BY 1, 2"
                )
                bars = at.served(FUTURE, DAY).with_columns(
                    label=pl.col("timestamp").dt.offset_by("-1m")
                )
                both = bars.filter(pl.col("timestamp") > OPEN_FEED).join(
                    trades, on=["symbol", "label"]
                )
                assert both.height > 20
                assert (both["volume"] == both["volume_right"]).all()
                assert played.stats.trades > 500
            else:
                assert played.stats.feed is None
                off = ['no feed today: `"stream": false`, all bars are polled']
                assert played.stats.as_json()["feed"]["says"] == off
                assert (await at.frame("SELECT 1 FROM feed_symbols")).is_empty()
                assert "feed" not in await statuses(at)
    assert found[True].equals(found[False])
    assert calls[True] < calls[False] - 12  # of the 50 polls of both symbols


@pytest.mark.long
async def test_whatever_the_feed_does_wrong_the_bars_are_those_of_rest(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, START, faults=scenario(*ROUGH)) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_as_served(at)
        counts = played.stats.feed_bars
        assert counts[True] > 3
        assert counts[False] > 5
        assert at.simulator.counts.faults["stream_cut"]
        assert at.simulator.counts.faults["held_frames"]
        summary = played.stats.as_json()["feed"]
        assert summary["reconnects"] > 0
        assert summary["most_in_ten_minutes"] <= 4
        # What was said to be complete was so: REST gave each of these bars just so.
        assert (await at.frame("SELECT 1 FROM replaced_bars")).is_empty()
        assert played.stats.rejected["a symbol that nobody registered"]
        assert any(reason.startswith("torn") for reason in played.stats.rejected)
        kept = await at.frame("SELECT DISTINCT symbol FROM trades ORDER BY 1")
        assert kept["symbol"].to_list() == [STOCK, FUTURE]


async def test_a_database_that_is_away_costs_neither_a_trade_nor_a_bar(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames are read on, trades and bars go to disk, and all of it is merged when it is back."""
    waiting = []

    async def trouble(at: Desk) -> None:
        await at.clock.sleep_until(at_time("15:12:30"))
        with away(database_url):
            await at.clock.sleep_until(at_time("15:15:30"))
            waiting.extend(entry.table for entry in Spool(tmp_path / "live").entries())

    async with desk(database_url, tmp_path, at_time("15:10")) as at:
        played = await play(
            at,
            database_url,
            tmp_path,
            feed=FEED,
            stream=True,
            trouble=trouble,
            until=at_time("15:18:30"),
        )
        assert {"trades", "futures_1m", "stocks_1m"} <= set(waiting)
        assert Spool(tmp_path / "live").empty
        minutes = {at_time(f"15:{minute}") for minute in range(13, 18)}
        by_feed = played.stats.by_feed[FUTURE]
        assert minutes <= {stamp for stamp, complete in by_feed.items() if complete}
        trades = await at.frame(
            "SELECT symbol, date_trunc('minute', traded_at) + interval '1 minute' AS timestamp,"
            " sum(size)::bigint AS traded FROM trades GROUP BY 1, 2"
        )
        for symbol in (FUTURE, STOCK):
            served = at.served(symbol, DAY).filter(pl.col("timestamp").is_in(minutes))
            both = served.join(trades, on=["symbol", "timestamp"])
            assert both.height == 5
            assert (both["volume"] == both["traded"]).all(), symbol
    assert "trades went to disk" in caplog.text
    assert not at.simulator.counts.faults


async def assert_told_alike(played: Played, url: str) -> None:
    """The summary counts what it saw, status and page read the database: they say the same."""
    told, read = played.stats.feed, read_feed_standing(partial(query, url), played.ended_at)
    assert told is not None
    assert read is not None
    assert told.by_feed == read.by_feed == 2
    assert told.as_json() == read.as_json()
    assert told.total["bars"] > 20
    assert told.total["p50"] <= told.total["p99"] <= 3.1
    assert played.stats.as_json()["feed"]["symbols"] == told.as_json()["symbols"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("OPSP8996", "the app key is in use by another connection"),
        pytest.param("OPSP0010", "the app key is refused", marks=pytest.mark.long),
        pytest.param("OPSP8991", "not registered", marks=pytest.mark.long),
    ],
)
async def test_without_the_feed_all_is_as_before(
    code: str, why: str, database_url: str, tmp_path: Path
) -> None:
    refused = scenario({"what": "refuse_registration", "code": code})
    async with desk(database_url, tmp_path, at_time("15:36"), faults=refused) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_as_served(at)
        assert played.stats.by_feed == {}
        found = await at.frame("SELECT by_feed, reason FROM feed_symbols ORDER BY symbol")
        told = played.stats.feed
        assert told is not None
        assert told.states.sort("symbol").select("by_feed", "reason").equals(found)
        assert found["by_feed"].to_list() == [False, False]
        assert found["reason"].unique().to_list() == [why]
        assert (await statuses(at))["feed"] == "done"
