"""What the stored trades of a day lack is found: exactly what was lost, and where it was traded."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from engine.features.missing_trades import MISSING_TRADES
from engine.market.symbols import parse
from engine.simulator.market import trades as simulated
from engine.simulator.stream import day_rows
from pipelines.day.summary import summary
from pipelines.day.trade_keeping import TradeKeeper
from pipelines.history.validate import Validation, validate
from pipelines.texts import Texts
from tests.pipelines.day.playing import DAY, FEED, FUTURE, STOCK, at_time, play, scenario
from tests.pipelines.simulated import Desk, desk

START = at_time("15:17")
# Frames of trades are lost, come twice, come torn, and for some seconds not at all.
LOSING = [
    {"what": "lost_frames", "endpoint": "trades", "probability": 0.1},
    {"what": "doubled_frames", "endpoint": "trades", "probability": 0.1},
    {"what": "torn_frames", "endpoint": "trades", "probability": 0.05},
    {"what": "stream_cut", "from": "15:18:20", "limit": 1},
]


def traded(at: Desk, symbol: str) -> pl.DataFrame:
    """All trades of the session, as the simulated exchange has them."""
    session = parse(symbol).session(DAY)
    assert session is not None
    bars = at.simulator.exchange.session_rows(symbol, session).bars
    found = simulated.trades_of_bars(symbol, session, bars, moments=day_rows.MOST_MOMENTS)
    return found.select(
        "day_volume", "size", pl.col("happened_at").dt.truncate("1s").alias("traded_at")
    )


async def lost(at: Desk, symbol: str) -> list[tuple[datetime | None, datetime | None, int]]:
    """The stretches of the exchange's trades that are not stored, and their volume."""
    kept = await at.frame(f"SELECT day_volume, true AS kept FROM trades WHERE symbol = '{symbol}'")
    rows = traded(at, symbol).join(kept, on="day_volume", how="left", maintain_order="left")
    is_kept = pl.col("kept").fill_null(value=False)
    stretch = is_kept.cast(pl.Int64).cum_sum().alias("stretch")
    rows = rows.with_columns(is_kept.alias("is_kept"), stretch)
    ends = dict(rows.filter("is_kept").select("stretch", "traded_at").iter_rows())
    gone = rows.filter(~pl.col("is_kept")).group_by("stretch").agg(pl.col("size").sum())
    return [
        (ends.get(number), ends.get(number + 1), size)
        for number, size in gone.sort("stretch").iter_rows()
    ]


async def validated(at: Desk) -> Validation:
    return await validate(at.store, at.clock, [STOCK, FUTURE], DAY, DAY)


async def assert_found(at: Desk, *, stretches: int) -> Validation:
    """What is found is what was lost, of both symbols, and nothing else is."""
    found = await validated(at)
    assert found.missing_trades.schema == MISSING_TRADES
    for symbol in (STOCK, FUTURE):
        gone = await lost(at, symbol)
        own = found.missing_trades.filter(symbol=symbol).select("after", "before", "missing")
        assert own.rows() == gone
        assert len(gone) >= stretches
    assert set(found.findings["check"]) == {"trades"}
    assert set(found.findings["severity"]) == {"warning"}
    assert found.exit_code == 1
    return found


@pytest.mark.parametrize("faults", [(), LOSING], ids=["clean", "losing"])
async def test_a_day_lacks_exactly_the_trades_that_were_lost(
    database_url: str, tmp_path: Path, faults: list[dict[str, object]]
) -> None:
    """The collector starts late: what was traded before is not stored, of course."""
    async with desk(database_url, tmp_path, START, faults=scenario(*faults)) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        found = await assert_found(at, stretches=4 if faults else 1)
        missing = found.missing_trades.group_by("symbol").agg(pl.col("missing").sum())
        assert played.stats.as_json()["feed"]["missing_trades"] == dict(missing.iter_rows())
        buffer = io.StringIO()
        Console(file=buffer, width=200).print(summary(played.stats, Texts("en")))
        volume = at.served(STOCK, DAY)["volume"].sum()
        stock = dict(missing.iter_rows())[STOCK]
        assert f"{stock:,} ({stock / volume:.2%})" in buffer.getvalue()
        if faults:
            assert at.simulator.counts.faults["lost_frames"]
            assert at.simulator.counts.faults["stream_cut"]
        else:
            assert found.findings.height == 2
            (until,) = found.findings.filter(symbol=FUTURE)["last_stamp"]
            assert START <= until < at_time("15:20")
        again = await validated(at)
        assert again.as_json() == found.as_json()
        assert again.as_json()["missing_trades"][0]["symbol"] == STOCK


async def test_a_collector_that_was_killed_says_what_it_has_missed(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nothing(*_: object) -> None:
        """Of what an orderly end does with the last trades, a kill does nothing."""

    async with desk(database_url, tmp_path, START) as at:
        with monkeypatch.context() as killed:
            killed.setattr(TradeKeeper, "flush", nothing)
            await play(
                at,
                database_url,
                tmp_path,
                feed=FEED,
                stream=True,
                until=at_time("15:18:10"),
            )
        assert "trades were missed" not in caplog.text
        await at.clock.sleep_until(at_time("15:18:40"))
        await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_found(at, stretches=2)
        said = " ".join(text for text in caplog.messages if "trades were missed" in text)
        for symbol in (STOCK, FUTURE):
            _, (after, before, missing) = await lost(at, symbol)
            assert after is not None
            assert before is not None
            assert after < at_time("15:18:10") < at_time("15:18:40") <= before
            assert f"{symbol} {missing:,} ({after:%H:%M:%S} to {before:%H:%M:%S})" in said
