"""The day's stocks are swept after its close; what a run leaves, the next start brings in."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from engine.errors import InputError
from engine.market.trading_days import next_trading_day_from
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, STOCK, at_time, play
from tests.pipelines.history.whole_market import WholeMarket
from tests.pipelines.simulated import desk

SWEPT = [f"{number:05}0" for number in range(100, 112)]
FEED = Feed((STOCK,), sweep=(STOCK, *SWEPT), snapshot=(STOCK,))
TOMORROW = next_trading_day_from(date(2025, 11, 5))
COUNTS = "SELECT symbol, count(*) FROM stocks_1m WHERE timestamp >= '2025-11-04' GROUP BY 1"


async def test_after_the_close_and_at_the_next_start(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    market = WholeMarket(5)
    async with desk(database_url, tmp_path, at_time("15:25"), market) as at:
        until, checks = at_time("15:33"), lambda: None
        await play(at, database_url, tmp_path, feed=FEED, until=until, pace=5, prepare=checks)
        assert "waits for the database" not in caplog.text
        some = dict((await at.frame(COUNTS)).iter_rows())
        rounds = await at.frame("SELECT max(timestamp) AS last FROM market_snapshot")
        evening = at_time("17:00")
        await at.clock.sleep_until(evening)
        # As a collector of every day: it waits for the next session, and goes on meanwhile.
        await play(at, database_url, tmp_path, feed=FEED, until=at_time("17:30"), day=TOMORROW)
        counts = dict((await at.frame(COUNTS)).iter_rows())
        expected = {code: at.served(code, DAY).height for code in (STOCK, *SWEPT)}
        left = await at.frame(
            "SELECT sum(open) AS open FROM kept_sessions WHERE session = '2025-11-04'"
        )
    assert rounds.item() == at_time("15:31")
    assert some.keys() <= counts.keys()
    assert counts == {code: bars for code, bars in expected.items() if bars}
    assert left.item() == 0
    assert "2025-11-04 is swept: " in caplog.text


async def test_a_universe_is_swept_as_the_database_lists_it(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    feed = Feed((STOCK,), sweep=("ETF",))
    async with desk(database_url, tmp_path, at_time("15:25"), WholeMarket(3)) as at:
        await play(at, database_url, tmp_path, feed=feed)
        status = await at.frame("SELECT symbol, session, open FROM kept_sessions")
        assert at.clock.now() < at_time("15:36")
    # Its other day was swept before anybody knew what is listed: a line says so.
    assert "the sweep of 2025-11-03: what ETF means is not known" in caplog.text
    assert "2025-11-04 is swept: " in caplog.text
    assert status.filter(session=DAY).height == 90, status.filter(pl.col("open") > 0)
    # 89 ETFs and the stock that is followed: the files have another ETF long before its first day.
    left_out = [r.getMessage() for r in caplog.records if "are left out until" in r.getMessage()]
    assert left_out == [
        "⏱️ 1 stocks of ETF are left out until the day from which KIS lists them:"
        " 종목306420 306420 from 2026-01-31"
    ]


def test_only_stocks_and_universes_can_be_swept() -> None:
    with pytest.raises(InputError, match="A01 is not a stock: `sweep` takes stocks and universes"):
        plan(Feed(sweep=("ETF", "A01")), DAY)
    (held,) = plan(Feed(sweep=("ETF",)), DAY).sessions
    assert held.date == DAY
