"""The stocks of a feed's universes: by KIS's files, by the last ones kept, or one clear line."""

from __future__ import annotations

import logging
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.clock import VirtualClock
from engine.errors import InputError
from engine.kis.stock_layout import MARKETS
from engine.kis.stock_master import parse_stock_master
from engine.settings import AppKey, KisSettings, Settings
from engine.simulator.market.listed_stocks import stock_master_file
from pipelines.day.costs import require_pace
from pipelines.day_plan import plan
from pipelines.feed import Feed, configured_feed
from pipelines.history.backfill import plan_backfill
from pipelines.history.listings import refresh_listings
from pipelines.history.universes import log_not_yet_listed
from pipelines.simulation import FEED as FEED_WITHOUT_SETTINGS
from pipelines.simulation import simulated_feed
from pipelines.universes import resolve_universes
from tests.pipelines.simulated import MARKET, desk

DAY = date(2026, 11, 16)
CLOCK = VirtualClock(datetime(2026, 11, 16, 8, 30))
FEED = Feed(("005930", "900110"), universes=("KOSPI200",))


@pytest.fixture
def settings(httpserver: HTTPServer, tmp_path: Path) -> Settings:
    url = httpserver.url_for("")
    keys = {"master_url": f"{url}/master/fo_idx_code_mts.mst.zip", "base_url": url}

    class AtTheServer(Settings):
        @property
        def kis(self) -> KisSettings:  # type: ignore[override]
            return KisSettings(**keys)

    return AtTheServer(data_folder=tmp_path)


def give(httpserver: HTTPServer) -> None:
    for market in MARKETS:
        path = f"/master/{market.lower()}_code.mst.zip"
        file = stock_master_file(MARKET, market, DAY)
        httpserver.expect_request(path).respond_with_data(file)


def test_kis_lists_the_stocks_and_its_last_files_stand_in(
    httpserver: HTTPServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    give(httpserver)
    found = resolve_universes(FEED, CLOCK, settings)
    assert found.stocks[:2] == FEED.stocks
    assert len(found.stocks) == 201  # 005930 is a member itself
    httpserver.clear()
    assert resolve_universes(FEED, CLOCK, settings) == found
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert all("are those that it listed on 2026-11-16: KIS's file server" in line for line in said)


def test_without_any_file_one_line_says_so(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"which stocks KOSPI lists is not known.*by their codes"):
        resolve_universes(FEED, CLOCK, settings)
    assert resolve_universes(Feed(("005930",)), CLOCK, settings) == Feed(("005930",))


def test_a_simulated_market_lists_its_own(settings: Settings) -> None:
    everything = resolve_universes(Feed(universes=("all",)), CLOCK, settings, MARKET)
    assert len(everything.stocks) == 2_700
    day = plan(everything, DAY)
    assert len(day.bars) == 2_700
    key = AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret"))
    with pytest.raises(InputError, match=r"too much to follow: bars 2700.* than all in `stocks`"):
        require_pace(day, KisSettings(app_keys=(key,), calls_per_second=15))


def test_an_unresolved_plan_knows_its_session() -> None:
    feed = configured_feed(Settings(stocks=("KOSPI200",), follow=("005930",), futures=()))
    assert (feed.stocks, feed.universes) == (("005930",), ("KOSPI200",))
    (session,) = plan(Feed(universes=("ETF",)), DAY).sessions
    assert session.date == DAY


async def test_a_backfill_takes_the_stocks_of_each_day(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 11, 16, 18, 0)) as at:
        with pytest.raises(
            InputError, match=r"what ETF means is not known.*just symbols --refresh"
        ):
            await plan_backfill(at.store, ["ETF"], DAY, DAY)
        await refresh_listings(at.context)
        calls = await plan_backfill(at.store, ["ETF", "005930"], date(2026, 11, 13), DAY)
    counts = calls.group_by("session").agg(pl.col("symbol").n_unique()).sort("session")
    assert counts["symbol"].to_list() == [91, 91]
    assert "what ETF was before 2026-11-16 is not known: taken as of that day" in caplog.text


def test_a_simulation_follows_what_the_settings_name(tmp_path: Path) -> None:
    named = Settings(
        data_folder=tmp_path, stocks=("KOSPI200",), follow=("900110",), option_chains=()
    )
    assert simulated_feed(named) == Feed(("900110",), ("A01",), universes=("KOSPI200",))
    assert simulated_feed(Settings(data_folder=tmp_path)) == FEED_WITHOUT_SETTINGS


def test_a_stock_is_no_member_before_it_is_listed(settings: Settings) -> None:
    """The master files have it some days before."""
    early = VirtualClock(datetime(2025, 11, 10, 8, 30))
    found = resolve_universes(Feed(universes=("all",)), early, settings, MARKET).stocks
    in_files = pl.concat(
        parse_stock_master(stock_master_file(MARKET, market, date(2025, 11, 10)), market).listings
        for market in MARKETS
    )
    coming = in_files.filter(pl.col("listed_from") > date(2025, 11, 10))["symbol"].to_list()
    everything = resolve_universes(Feed(universes=("all",)), CLOCK, settings, MARKET).stocks
    assert coming
    assert set(found) == set(everything) - set(coming)


async def test_a_line_names_what_is_left_out_before_it_is_listed(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipelines.history.universes")
    async with desk(database_url, tmp_path, datetime(2025, 11, 10, 8, 30)) as at:
        await refresh_listings(at.context)
        await log_not_yet_listed(at.store, ["005930"], date(2025, 11, 10))  # names no universe
        await log_not_yet_listed(at.store, ["KOSPI200"], date(2025, 11, 10))  # leaves none out
        assert not caplog.records
        await log_not_yet_listed(at.store, ["ETF", "KOSPI", "231850"], date(2025, 11, 10))
        await log_not_yet_listed(at.store, ["all"], date(2025, 11, 10))
    few, many = [record.getMessage() for record in caplog.records]
    assert few.startswith("⏱️ 5 stocks of ETF, KOSPI are left out until the day from which KIS")
    assert "종목296880 296880 from 2025-11-14, " in few
    assert "종목306420 306420 from 2026-01-31" in few
    assert "⏱️ 16 stocks of all are left out" in many
    assert many.count(" from 202") == 5
    assert many.endswith(" …")
