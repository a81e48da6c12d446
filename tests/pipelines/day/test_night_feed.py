"""A night by the feed: its own TRs, its own names, the same bars as by polling."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.market.sessions import Market
from engine.market.symbols import parse_chain
from engine.settings import KisSettings
from pipelines.day.feed_states import why_no_feed
from pipelines.day_plan import next_plan
from pipelines.history.validate import validate
from tests.databases import LONG
from tests.pipelines.day.test_night import CHAIN, EVENING, FEED, NIGHT, TABLE, collect
from tests.pipelines.simulated import Desk, desk

NEARLY_OVER = datetime(2026, 11, 19, 5, 30)
BEGIN = datetime(2026, 11, 18, 17, 30) if LONG else NEARLY_OVER


async def sources(at: Desk) -> dict[str, int]:
    found = await at.frame(f"SELECT source, count(*) AS bars FROM {TABLE} GROUP BY 1")
    return dict(found.iter_rows())


@pytest.mark.long
async def test_a_night_by_the_feed_is_the_night_that_is_polled(
    database_url: str, another_database_url: str, tmp_path: Path
) -> None:
    """To 06:00, the auction included; begun late, what was before comes from REST."""
    found, calls = {}, {}
    for url, stream in ((database_url, True), (another_database_url, False)):
        folder = tmp_path / str(stream)
        async with desk(url, folder, BEGIN) as at:
            stats = await collect(at, url, folder, next_plan(FEED, at.clock), stream=stream)
            assert stats.complete
            found[stream] = (await at.bars(TABLE)).filter(pl.col("timestamp") > BEGIN)
            calls[stream] = at.calls
            served = at.served(NIGHT, EVENING).filter(pl.col("timestamp") > BEGIN)
            assert found[stream].equals(served)
            assert (await validate(at.store, at.clock, [NIGHT])).exit_code == 0
            assert (await at.frame("SELECT 1 FROM replaced_bars")).is_empty()
            if not stream:
                assert set(await sources(at)) == {"rest"}
                continue
            registered = {one for one in at.simulator.stream.counts if one.startswith("OPSP")}
            assert registered == {"OPSP0000"}
            # The auction ends the night: no trade comes after it to prove it, nor, ten minutes
            # after the last continuous minute, that one at once.
            by_feed = stats.by_feed[NIGHT]
            last = sorted(served["timestamp"])[-2:]
            whole = BEGIN + timedelta(minutes=2)
            assert {stamp for stamp in served["timestamp"] if stamp > whole} - {
                stamp for stamp, complete in by_feed.items() if complete
            } == set(last)
            # At night some minutes are proven by their next trade only after REST was asked.
            assert (await sources(at))["feed"] >= 10
            assert stats.feed is not None
            assert stats.feed.by_feed == 1
            states = await at.frame("SELECT session, symbol, by_feed FROM feed_symbols")
            assert states.rows() == [(EVENING, NIGHT, True)]
            await trades_are_of_the_night(at)
    assert found[True].equals(found[False])
    assert calls[True] < calls[False] - 5


async def trades_are_of_the_night(at: Desk) -> None:
    trades = await at.frame(
        "SELECT session, symbol, sum(size)::bigint AS traded,"
        " date_trunc('minute', traded_at) + interval '1 minute' AS timestamp"
        " FROM trades GROUP BY session, symbol, 4"
    )
    assert trades.select("session", "symbol").unique().rows() == [(EVENING, NIGHT)]
    whole = pl.col("timestamp").is_between(
        BEGIN + timedelta(minutes=2), datetime(2026, 11, 19, 5, 50)
    )
    both = at.served(NIGHT, EVENING).filter(whole).join(trades, on=["symbol", "timestamp"])
    assert both.height >= 18
    assert (both["volume"] == both["traded"]).all()


@pytest.mark.long  # by day: test_option_quotes.py; frames of the night: test_frames.py
async def test_options_near_the_money_come_by_the_feed_at_night(
    database_url: str, tmp_path: Path
) -> None:
    """H0EUCNT0, whose tail has another order: prices, volumes and greeks of the snapshot agree."""
    feed = replace(FEED, option_chains=(parse_chain("front"),))
    async with desk(database_url, tmp_path, datetime(2026, 11, 19, 5, 45)) as at:
        session = next_plan(feed, at.clock)
        stats = await collect(at, database_url, tmp_path, session, stream=True)
        assert stats.rejected.total() == 0
        rows = await at.frame(
            "SELECT timestamp, symbol, price, volume, open_interest, quote_source"
            f" FROM option_chain_raw WHERE underlying_symbol = '{CHAIN}'"
        )
        fed = rows.filter(quote_source="feed")
        assert fed.height > 10
        assert set(rows["quote_source"]) == {"feed", "single"}
        told = at.simulator.exchange.options.at("KOSPI200", "202612", EVENING, 718, Market.NIGHT)
        last = rows.filter(timestamp=datetime(2026, 11, 19, 5, 59))
        both = last.join(told, left_on="symbol", right_on="code", suffix="_told")
        assert both.height == 82
        asked = both.filter(quote_source="single")
        for name in ("price", "volume"):
            assert asked[name].to_list() == asked[f"{name}_told"].to_list(), name
        newer = both.filter(quote_source="feed")
        assert newer.height > 0
        assert (newer["volume"] >= newer["volume_told"]).all()  # the feed has the last seconds, too
        assert ((newer["price"] / newer["price_told"] - 1).abs() < 0.1).all()
        kept = await at.frame("SELECT DISTINCT symbol FROM trades WHERE symbol <> 'A01612_NIGHT'")
        assert kept["symbol"].str.ends_with("_NIGHT").all()
        assert kept.height > 5


@pytest.mark.parametrize("night", [True, False])
def test_the_feed_is_used_by_night_as_by_day(night: bool) -> None:
    session = next_plan(replace(FEED, night=night), VirtualClock(NEARLY_OVER))
    assert session.night == night
    assert why_no_feed(KisSettings(stream=True), session, counted=True) is None
