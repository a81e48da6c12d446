"""What is told once, as the feed tells it: equal to what the market holds, beside REST's rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.market.symbols import parse
from engine.simulator.quotations.auctions import auction_steps
from engine.simulator.quotations.programmes import programme_minutes
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play, scenario
from tests.pipelines.simulated import desk

MINUTE = timedelta(minutes=1)
VOLUMES = [
    f"{kind}_{side}_volume" for kind in ("arbitrage", "other") for side in ("sold", "bought")
]
HELD = [f"{kind}_{side}_volume" for kind in ("arbt", "nabt") for side in ("sold", "bought")]


async def test_programmes_auctions_and_states_of_the_feed_stand_beside_those_of_rest(
    database_url: str, tmp_path: Path
) -> None:
    """A morning in which REST refuses programme trading until 09:03, and from 09:05 on."""
    rules = [
        {"what": "refuse", "endpoint": "FHPPG04600101", "from": begin, "to": end}
        for begin, end in (("08:40:00", "09:03:00"), ("09:05:00", "09:20:00"))
    ]
    feed = Feed((STOCK,), (FUTURE,), streams=("auctions", "programme"))
    async with desk(database_url, tmp_path, at_time("08:50"), faults=scenario(*rules)) as at:
        until = at_time("09:07:30")
        played = await play(at, database_url, tmp_path, feed=feed, until=until, stream=True)
        assert played.error is None
        exchange = at.simulator.exchange
        for market, code in (("KOSPI", "0001"), ("KOSDAQ", "1001")):
            stored = await at.frame(
                f"SELECT * FROM programme_trades WHERE symbol = '{market}' ORDER BY timestamp"
            )
            held = programme_minutes(exchange, code, DAY).head(stored.height)
            assert stored["timestamp"].to_list() == (held["label"] + MINUTE).to_list()
            assert stored.height == 7
            assert stored[VOLUMES].rows() == held[HELD].rows()
            assert (
                stored["arbitrage_sold"].to_list() == held["arbt_sold_amount"].to_list()
            )  # by whichever
            for kind in ("arbitrage", "other"):
                for ending in ("", "_volume"):
                    bought, sold = (stored[f"{kind}_{s}{ending}"] for s in ("bought", "sold"))
                    assert (bought - sold == stored[f"{kind}_net{ending}"]).all()
            # REST gave 09:01 to 09:04 again at 09:03 and 09:04: the feed's volumes stay.
            assert stored["source"].to_list() == ["FHPPG04600101"] * 4 + ["H0UPPGM0"] * 3
        session = parse(STOCK).session(DAY)
        assert session is not None
        steps = auction_steps(exchange.session_rows(STOCK, session), STOCK)
        expected = [
            (moment, *step) for moment, step in steps if at_time("08:50:30") < moment < until
        ]
        told = await at.frame(
            "SELECT said_at, price, size::double precision FROM expected_prices"
            f" WHERE source = 'H0STANC0' AND symbol = '{STOCK}' AND said_at > '{DAY} 08:50:30'"
            " ORDER BY 1"
        )
        assert told.rows() == expected
        assert len(expected) > 50
        states = await at.frame("SELECT * FROM futures_state ORDER BY timestamp")
        trades = await at.frame(
            "SELECT traded_at, price, open_interest, bid, ask FROM trades"
            f" WHERE symbol = '{FUTURE}' ORDER BY day_volume"
        )
        rejected = await at.frame("SELECT * FROM rejected_rows WHERE tr_id LIKE 'H0%'")
    assert rejected.is_empty()
    # The feed has a state of each minute, though REST was asked for few of its bars.
    assert set(states["source"]) == {"H0IFCNT0", "FHKIF03020200"}
    first = at_time("08:52")
    stamps = pl.datetime_range(first, at_time("09:07"), "1m", eager=True).to_list()
    assert states.filter(pl.col("timestamp") >= first)["timestamp"].to_list() == stamps
    for row in states.filter(source="H0IFCNT0").iter_rows(named=True):
        last = trades.filter(pl.col("traded_at") < row["timestamp"]).tail(1).row(0, named=True)
        for name in ("price", "open_interest", "bid", "ask"):
            assert row[name] == last[name], row
        assert row["basis"] == round(row["theoretical_price"] - row["index_price"], 2)


@pytest.mark.long
async def test_a_stock_is_registered_for_its_auctions_alone(
    database_url: str, tmp_path: Path
) -> None:
    """And its halts are, since the state of the market is collected."""
    feed = Feed((STOCK,), (FUTURE,), streams=("auctions", "state"))
    async with desk(database_url, tmp_path, at_time("15:16")) as at:
        played = await play(
            at,
            database_url,
            tmp_path,
            feed=feed,
            until=at_time("15:33:30"),
            stream=True,
            halts=False,
        )
        assert played.error is None
        told = await at.frame(
            "SELECT min(said_at)::time::text AS first, max(said_at)::time::text AS last"
            " FROM expected_prices WHERE source = 'H0STANC0'"
        )
        counts = at.simulator.stream.counts
    assert told.rows() == [("15:20:00", "15:29:50")]
    assert counts["OPSP0000"] == 4  # trades of both, halts and auctions of the stock
    assert counts["OPSP0001"] == 1  # taken off at 15:31
    assert counts["connections"] == 1
