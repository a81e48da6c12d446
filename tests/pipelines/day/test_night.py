"""A night is collected by the machinery of the day: the same run with another session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from io import StringIO
from itertools import starmap
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr
from rich.console import Console

from engine.clock import VirtualClock
from engine.history.queries import read_chain
from engine.market.sessions import Market
from engine.market.symbols import parse, parse_chain
from engine.market.trading_days import expect_nights
from engine.settings import AppKey, KisSettings, Settings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store import MergeCounts
from engine.store.trade_files import TradeFiles
from pipelines.databases import load_kis_holidays
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day.summary import summary
from pipelines.day_plan import DayPlan, next_plan, plan, plan_night
from pipelines.feed import Feed
from pipelines.history.reconcile import finish_earlier
from pipelines.history.validate import validate
from pipelines.texts import Texts
from strategies.base import signal_schema
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1
from strategies.registry import STRATEGIES, register
from tests.pipelines.history.test_nights import NotHeld
from tests.pipelines.simulated import KEY, SECRET, Desk, desk

EVENING, MORNING = date(2026, 11, 18), date(2026, 11, 19)
NIGHT, TABLE = "A01612_NIGHT", "futures_night_1m"
CHAIN = "202612_KOSPI200_NIGHT"
OWN = f"underlying_symbol = '{CHAIN}'"
OWN_DELTA = f"{OWN} AND metric_type = 'delta'"
FEED = Feed(futures=("A01",), night=True)


async def collect(
    at: Desk,
    url: str,
    folder: Path,
    session: DayPlan,
    *,
    stream: bool = False,
    kis: Path | None = None,
) -> DayStatistics:
    key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
    settings = KisSettings(
        base_url=at.simulator.base_url,
        master_url=at.simulator.base_url + MASTER_PATH,
        app_keys=(key,),
        calls_per_second=15,
        stream=stream,
    )
    stats = DayStatistics(session, simulated=True)
    files = TradeFiles(folder / "trades", 30)
    paths = DayPaths(url, folder / "live", kis or folder / "kis", files)
    await run_day(session, settings, at.clock, paths, stats)
    return stats


def summary_text(stats: DayStatistics) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(summary(stats, Texts("en")))
    return str(console.file.getvalue())


async def night_is_whole(at: Desk, stats: DayStatistics) -> None:
    assert stats.complete
    stored = (await at.bars(TABLE)).filter(pl.col("timestamp") > datetime(2026, 11, 18, 12))
    assert_frame_equal(stored, at.served(NIGHT, EVENING))
    assert stored["timestamp"].to_list() == parse(NIGHT).expected_stamps(EVENING).to_list()
    assert (stored["timestamp"][0], stored["timestamp"][-1]) == (
        datetime(2026, 11, 18, 18, 1),
        datetime(2026, 11, 19, 6),
    )
    beat = await at.frame("SELECT status, message FROM system_status WHERE component = 'collector'")
    assert beat.rows() == [("done", "night of 2026-11-18: 711 bars, 0 snapshots")]


async def test_a_night_is_whole_though_the_collector_came_late(
    database_url: str, tmp_path: Path
) -> None:
    """It starts at 05:35: what it missed is filled, the last minutes and the auction come live."""
    now = datetime(2026, 11, 19, 5, 35)
    async with desk(database_url, tmp_path, now) as at:
        session = next_plan(FEED, at.clock)
        assert (session.name, session.names) == ("night of 2026-11-18", [NIGHT])
        stats = await collect(at, database_url, tmp_path, session)
        await night_is_whole(at, stats)
        live = [stamp for stamp in stats.delays if stamp > now]
        assert len(live) == 15 + 1  # 05:36 … 05:50, and the auction
        assert max(stats.delays.values()) < 10

        assert "🎉 night of 2026-11-18 is complete" in summary_text(stats)

        # No signal of a night, none of its bars among the day's, and nothing is amiss.
        assert stats.signals == {}
        assert (await at.bars()).filter(pl.col("timestamp") > now - timedelta(hours=13)).is_empty()
        assert (await validate(at.store, at.clock, [NIGHT])).exit_code == 0
        planned = await at.frame("SELECT session, symbol FROM collected_symbols")
        assert planned.rows() == [(EVENING, NIGHT)]


@pytest.mark.long
async def test_a_whole_night_from_the_wait_for_the_open(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 11, 18, 16)) as at:
        session = next_plan(FEED, at.clock)
        assert session.night
        stats = await collect(at, database_url, tmp_path, session)
        await night_is_whole(at, stats)
        assert len(stats.delays) == 711
        assert at.clock.now() < datetime(2026, 11, 19, 6, 10)


async def test_a_night_that_nobody_finished_is_finished_by_the_next_session(
    empty_database_url: str, tmp_path: Path
) -> None:
    """The collector of the night dies after midnight; the day's does what is left."""
    async with desk(empty_database_url, tmp_path, datetime(2026, 11, 19, 9)) as at:
        await at.store.execute(
            "INSERT INTO system_status VALUES ('collector', '2026-11-19 01:30', 'running',"
            " 'night of 2026-11-18: 450 bars, 0 snapshots', 450, NULL, '2026-11-19 01:30')"
        )
        today = plan(FEED, MORNING)
        await finish_earlier(at.context, [*today.names, *today.nights], MORNING)
        assert_frame_equal(await at.bars(TABLE), at.served(NIGHT, EVENING))
        assert (await at.bars()).is_empty()  # the day before it was finished
        assert await finish_earlier(at.context, today.names, MORNING) == MergeCounts()


async def test_a_night_before_a_holiday_without_bars_ends_after_five_minutes(
    database_url: str, tmp_path: Path
) -> None:
    eve = date(2026, 10, 8)
    async with desk(database_url, tmp_path, datetime(2026, 10, 8, 17, 45), NotHeld(3)) as at:
        stats = await collect(at, database_url, tmp_path, plan_night(FEED, eve))
        assert stats.closed
        assert at.clock.now() < datetime(2026, 10, 8, 18, 7)


UNLIKELY = date(2026, 9, 23)  # the eve of Chuseok


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Remove what the test taught the calendar about nights."""
    yield
    expect_nights([])


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("held", [True, False])
async def test_of_a_night_that_the_calendar_does_not_expect_kis_is_asked_and_believed(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, held: bool
) -> None:
    settings = Settings(data_folder=tmp_path, night=True, futures=("A01",))
    kis = tmp_path / "live" / "kis"
    load_kis_holidays(settings, doubted=UNLIKELY + timedelta(days=1))  # after midnight
    now = datetime(2026, 9, 24, 5, 40)
    market = SyntheticMarket(3) if held else NotHeld(3, UNLIKELY)
    async with desk(database_url, tmp_path, now, market) as at:
        session = next_plan(FEED, at.clock)
        assert session.name == "night of 2026-09-23"
        stats = await collect(at, database_url, tmp_path, session, kis=kis)
        assert stats.closed != held
        stored = (await at.bars(TABLE)).filter(pl.col("timestamp") > datetime(2026, 9, 23, 12))
        assert stored.height == (711 if held else 0)
        said = "gives bars of the night of 2026-09-23 (" if held else "gives no bars of the night"
        assert said in caplog.text
        if held:
            assert (await validate(at.store, at.clock, [], UNLIKELY, UNLIKELY)).exit_code == 0
        assert (plan_night(FEED, UNLIKELY).sessions != []) == held
    load_kis_holidays(settings)  # of another command, later
    assert (plan_night(FEED, UNLIKELY).sessions != []) == held
    load_kis_holidays(settings.model_copy(update={"night": False}), doubted=UNLIKELY)
    assert (plan_night(FEED, UNLIKELY).sessions != []) == held


def test_days_and_nights_follow_each_other() -> None:
    clock = VirtualClock(datetime(2026, 11, 18, 15, 40))
    names = []
    for _ in range(6):
        session = next_plan(FEED, clock)
        names.append(session.name)
        clock = VirtualClock(max(found.sealed_at for found in session.sessions))
    assert names == [
        *("2026-11-18", "night of 2026-11-18", "2026-11-19", "night of 2026-11-19"),
        *("2026-11-20", "night of 2026-11-20"),
    ]
    assert next_plan(FEED, clock).name == "2026-11-23"  # after the weekend
    days = replace(FEED, night=False)
    evening = VirtualClock(datetime(2026, 11, 18, 18))
    assert next_plan(days, evening).name == "2026-11-19"
    assert plan(days, EVENING).nights == ()


def test_a_day_knows_the_night_that_follows_it() -> None:
    """So it is missing if nobody collects it."""
    with_chain = replace(FEED, option_chains=(parse_chain("front"),))
    expiry, eve_of_chuseok = date(2026, 12, 10), date(2026, 9, 23)
    asked = (FEED, EVENING), (with_chain, EVENING), (FEED, expiry), (FEED, eve_of_chuseok)
    nights = [of_day.tonight for of_day in starmap(plan, asked)]
    assert [night and night.names for night in nights] == [
        *([NIGHT], [NIGHT, CHAIN], ["A01703_NIGHT"], []),
    ]
    assert plan(replace(FEED, night=False), EVENING).tonight is None


def test_the_night_before_a_long_holiday_is_left_out() -> None:
    clock = VirtualClock(datetime(2026, 9, 23, 16))
    assert next_plan(FEED, clock).name == "2026-09-28"
    assert plan_night(FEED, date(2026, 9, 23)).sessions == []


class Nightly(Dolpha1):
    """A strategy that asks for the night, and says of each bar that it has seen it."""

    name, table, schema, nights = "nightly", "nightly_signal", signal_schema(), True

    def evaluate(self, bars: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
        return bars.select(
            "timestamp",
            "symbol",
            "close",
            monitor_signal=pl.lit(0, pl.Int64),
            trade_signal=pl.lit(0, pl.Int64),
            reason=pl.lit("seen"),
            ub=pl.lit(None, pl.Float64),
            lb=pl.lit(None, pl.Float64),
        ).sort("symbol", "timestamp")


async def test_a_strategy_sees_nights_only_if_it_asks_for_them(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRATEGIES, "nightly", register(Nightly())["nightly"])
    async with desk(database_url, tmp_path, datetime(2026, 11, 19, 5, 45)) as at:
        stats = await collect(at, database_url, tmp_path, plan_night(FEED, EVENING))
        assert stats.signals == {"nightly": 711}
        given = await at.frame("SELECT symbol, timestamp FROM nightly_signal ORDER BY 2")
        assert given["timestamp"].to_list() == parse(NIGHT).expected_stamps(EVENING).to_list()
        assert given["symbol"].unique().to_list() == [NIGHT]
        none = await at.frame("SELECT count(*) AS n FROM dolpha1_signal")
        assert none["n"].item() == 0
        assert (await validate(at.store, at.clock, [NIGHT])).exit_code == 0


async def test_a_chain_at_night_is_quoted_option_by_option(
    database_url: str, tmp_path: Path
) -> None:
    """Boards are refused then: 82 calls a minute, with matrix and summary of a name of its own."""
    feed = replace(FEED, option_chains=(parse_chain("front"),))
    now = datetime(2026, 11, 19, 5, 56)
    async with desk(database_url, tmp_path, now) as at:
        session = next_plan(feed, at.clock)
        assert session.names == [NIGHT, CHAIN]
        stats = await collect(at, database_url, tmp_path, session)
        assert at.simulator.counts.refusals.total() == 0
        assert stats.snapshots == 4 + 1  # the running minute's, 05:57 … 06:00

        rows = await at.frame(
            "SELECT timestamp, underlying_symbol, symbol, strike, option_type, price, volume,"
            " open_interest, delta, underlying_source, quote_source FROM option_chain_raw"
        )
        assert rows["underlying_symbol"].unique().to_list() == [CHAIN]
        others = rows.filter(pl.col("price").is_null())
        assert others["open_interest"].min() > 0  # type: ignore[operator]
        rows = rows.filter(pl.col("price").is_not_null())
        assert rows.group_by("timestamp").len()["len"].unique().to_list() == [82]
        assert rows["underlying_source"].unique().to_list() == ["future:A01612"]
        assert rows["quote_source"].unique().to_list() == ["single"]
        last = rows.filter(timestamp=datetime(2026, 11, 19, 5, 59))
        told = at.simulator.exchange.options.at("KOSPI200", "202612", EVENING, 718, Market.NIGHT)
        both = last.join(told, left_on="symbol", right_on="code", suffix="_told")
        assert both.height == 82
        for name in ("price", "volume", "open_interest"):
            assert both[name].to_list() == both[f"{name}_told"].to_list()

        figures = await at.frame(f"SELECT atm_volatility FROM option_summary WHERE {OWN}")
        assert figures["atm_volatility"].null_count() == 0
        assert figures.height == 5
        cells = await at.frame(f"SELECT c_atm, p_otm10 FROM option_matrices WHERE {OWN_DELTA}")
        assert (cells.null_count().row(0), cells.height) == ((0, 0), 5)

        found = await validate(at.store, at.clock, [CHAIN], EVENING, EVENING)
        assert set(found.findings["check"]) == {"unavailable"}  # what was before the start
        assert found.findings["bars"].sum() == 720 - 5
        day = await read_chain(at.store, "202612_KOSPI200", EVENING, MORNING)
        assert day.is_empty()
