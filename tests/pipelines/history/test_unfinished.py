"""A collector that was killed: the next start finishes its session.

The seasons of tests/soak found each of these: seed 0, killed until the next morning.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from engine import schemas
from engine.errors import KisRefused
from engine.market.sessions import Market, previous_sessions
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.store import ledger
from engine.store.metadata import store_collected_symbols
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import NIGHT_OF, plan
from pipelines.evaluation.replay import replay_signals
from pipelines.feed import Feed
from pipelines.history.reconcile import fill_before_open, finish_earlier, reconcile
from pipelines.history.request import BackfillContext
from pipelines.history.signal_inputs import computed_signals, signal_relations
from strategies.comparison import differences
from strategies.registry import STRATEGIES
from tests.engine.features.conftest import board
from tests.heartbeats import record_heartbeat
from tests.pipelines.simulated import KEY, SECRET, Desk, desk

YESTERDAY = date(2025, 11, 4)
TODAY = date(2025, 11, 5)
NOON = datetime(2025, 11, 4, 12, 0)
MORNING = datetime(2025, 11, 5, 8, 35)
CONTRACT = "101W12"
STOCK = "005930"


async def store_half_a_day(at: Desk, status: str) -> None:
    """Store what a collector killed at noon has stored: half of the bars, the first one wrong."""
    await store_bars_and_signals(at, pl.col("timestamp") <= NOON)
    await record_heartbeat(at.store, "collector", status)


async def store_bars_and_signals(at: Desk, kept: pl.Expr) -> None:
    """Store the bars of yesterday that are kept, the first one wrong, and their signals."""
    served = [at.served(symbol, YESTERDAY) for symbol in (CONTRACT, STOCK)]
    for bars, schema in zip(served, (schemas.FUTURES_BARS, schemas.STOCK_BARS), strict=True):
        first = pl.int_range(pl.len()) == 0
        half = bars.filter(kept).with_columns(
            close=pl.when(first).then(pl.col("low")).otherwise("close"),
            volume=pl.when(first).then(1).otherwise("volume"),
            timeframe=pl.lit("1m"),
            fetched_at=pl.lit(NOON),
            source=pl.lit(schemas.REST),
        )
        table = "futures_1m" if schema is schemas.FUTURES_BARS else "stocks_1m"
        await at.store.merge(table, schemas.conform(half, schema))
    for strategy in STRATEGIES.values():
        bars = await at.bars()
        rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
        signals = rows.with_columns(created_at=pl.lit(NOON))
        await at.store.merge(strategy.table, schemas.conform(signals, strategy.schema))


async def assert_signals_follow_bars(at: Desk) -> None:
    """Assert that yesterday's signals are there, and are those of the stored bars."""
    session = pl.DataFrame({"symbol": [CONTRACT], "session": [YESTERDAY]})
    for strategy in STRATEGIES.values():
        stored = await at.frame(f"SELECT * FROM {strategy.table}")
        computed = await computed_signals(at.store, strategy, session)
        assert stored.height == computed.height == 411
        assert differences(computed, stored.drop("created_at")).is_empty()


async def test_its_bars_and_signals_are_completed_for_the_symbols_of_both_days(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, NOON) as at:
        await store_half_a_day(at, "running")
        await at.clock.sleep_until(MORNING)
        await finish_earlier(at.context, ["A01603", "000660"], TODAY)  # rolled, and other stocks
        whole = [at.served(symbol, YESTERDAY) for symbol in (CONTRACT, "A01603")]
        assert_frame_equal(await at.bars(), pl.concat(whole).sort("symbol", "timestamp"))
        stocks = [at.served(symbol, YESTERDAY) for symbol in ("000660", STOCK)]
        assert_frame_equal(await at.bars("stocks_1m"), pl.concat(stocks))
        await assert_signals_follow_bars(at)


async def test_a_finished_day_is_not_fetched_again(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, NOON) as at:
        await store_half_a_day(at, "done")
        await at.clock.sleep_until(MORNING)
        await finish_earlier(at.context, [CONTRACT, STOCK], TODAY)
        assert at.calls == 0


@pytest.mark.parametrize(("status", "first"), [("stopped", 0), ("done", 1)])
async def test_days_without_any_collector_are_finished_too(
    database_url: str, tmp_path: Path, status: str, first: int
) -> None:
    """The machine was off or asleep: in the middle of the first day, or from its evening on."""
    async with desk(database_url, tmp_path, NOON) as at:
        await record_heartbeat(at.store, "collector", status)
        await at.clock.sleep_until(datetime(2025, 11, 10, 8, 35))
        await finish_earlier(at.context, [STOCK], date(2025, 11, 10), missed=True)
        days = [YESTERDAY + timedelta(days=n) for n in range(first, 4)]
        whole = pl.concat([at.served(STOCK, day) for day in days])
        assert_frame_equal(await at.bars("stocks_1m"), whole)


async def test_a_day_without_a_database_does_not_hide_the_unfinished_one_before_it(
    database_url: str, tmp_path: Path
) -> None:
    """It could store nothing but its own status, from the spool: the ledger knew of neither."""
    async with desk(database_url, tmp_path, NOON) as at:
        await store_half_a_day(at, "running")
        await store_collected_symbols(at.store, YESTERDAY, [STOCK, CONTRACT], NOON)
        await at.clock.sleep_until(MORNING)
        await record_heartbeat(at.store, "collector", "stopped")
        await at.clock.sleep_until(MORNING + timedelta(days=1))
        for calls in (8 + 10, 0):
            before = at.calls
            await finish_earlier(
                at.context, [STOCK, CONTRACT], TODAY + timedelta(days=1), missed=True
            )
            assert at.calls - before == calls
            days = [at.served(STOCK, day) for day in (YESTERDAY, TODAY)]
            assert_frame_equal(await at.bars("stocks_1m"), pl.concat(days))
            await record_heartbeat(at.store, "collector", "done")


async def test_a_day_without_a_database_hides_no_night_before_it_either(
    database_url: str, tmp_path: Path
) -> None:
    night = f"{CONTRACT}_NIGHT"
    async with desk(database_url, tmp_path, NOON) as at:
        await store_collected_symbols(at.store, YESTERDAY, [night], NOON)
        await at.clock.sleep_until(MORNING)
        await record_heartbeat(at.store, "collector", "stopped")
        await at.clock.sleep_until(MORNING + timedelta(days=1))
        for calls in (2 * 7, 0):
            before = at.calls
            await finish_earlier(at.context, [night], TODAY + timedelta(days=1), missed=True)
            assert at.calls - before == calls
            closed = await at.frame("SELECT session FROM kept_sessions ORDER BY 1")
            assert closed["session"].to_list() == [YESTERDAY, TODAY]
            await record_heartbeat(at.store, "collector", "done", f"{NIGHT_OF}{TODAY}: ", 0, None)


async def test_what_was_told_only_once_is_written_down_as_lost_for_the_rest_of_the_day(
    database_url: str, tmp_path: Path
) -> None:
    """Seed 20261128, session 40: killed after five minutes, and until the next morning."""
    feed = Feed((STOCK,), ("A01",), streams=("state", "index"))
    day = plan(feed, YESTERDAY)
    codes = [stream.code for stream in day.streams]
    async with desk(database_url, tmp_path, NOON) as at:
        await store_half_a_day(at, "running")
        await store_collected_symbols(at.store, YESTERDAY, day.kept, NOON)
        await at.clock.sleep_until(MORNING)
        await finish_earlier(at.context, [CONTRACT, STOCK], TODAY)
        lost = await at.frame(
            "SELECT symbol, sum(stamps)::bigint AS stamps FROM gaps WHERE state = 'unavailable'"
            f" AND reason = '{ledger.TOLD_ONCE}' GROUP BY 1"
        )
        minutes = {one.code: one.symbol.expected_stamps(YESTERDAY).len() for one in day.streams}
        assert len(codes) == 4
        assert dict(lost.iter_rows()) == minutes


async def test_a_symbol_of_which_nothing_was_stored_yet_is_finished_too(
    database_url: str, tmp_path: Path
) -> None:
    """And later settings do not name it."""
    async with desk(database_url, tmp_path, NOON) as at:
        await record_heartbeat(at.store, "collector", "running")
        planned = [STOCK, "202512_KOSPI200", f"{CONTRACT}_NIGHT"]
        await store_collected_symbols(at.store, YESTERDAY, planned, NOON)
        await at.clock.sleep_until(MORNING)
        await finish_earlier(at.context, [CONTRACT], TODAY)
        assert_frame_equal(await at.bars("stocks_1m"), at.served(STOCK, YESTERDAY))
        assert await at.ledger() == [
            ("filled", "", 411 + 381),
            ("unavailable", "KIS has no history of option chains", 420),
        ]


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_bars_of_a_closed_day_that_come_before_the_next_open_change_its_signals(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_cut_off: bool
) -> None:
    """Seed 478, session 147: two minutes were open after the close, since clocks differed.

    `is_cut_off`: the collector dies with the bars stored, and the signals not yet.
    """
    ten = datetime(2025, 11, 4, 10, 0)
    async with desk(database_url, tmp_path, NOON) as at:
        await store_bars_and_signals(at, pl.col("timestamp") != ten)
        await record_heartbeat(at.store, "collector", "done")
        await at.clock.sleep_until(MORNING)
        if is_cut_off:
            with monkeypatch.context() as patched:
                patched.setattr("pipelines.history.reconcile.recompute_signals", _killed)
                with pytest.raises(KisRefused):
                    await fill_before_open(at.context, [CONTRACT], TODAY, warm_up=0)
        await fill_before_open(at.context, [CONTRACT], TODAY, warm_up=0)
        assert (await at.bars()).filter(timestamp=ten).height == 1
        await assert_signals_follow_bars(at)


async def test_signals_of_a_thin_contract_stay_those_that_live_gave(
    database_url: str, tmp_path: Path
) -> None:
    """Seed 478, session 213: bars that reach further back than live's have more of its minutes."""
    days = previous_sessions(Market.DERIVATIVES, TODAY, 26)
    with_minute = [days[n] for n in (-23, -15, -12, -9, -3, -1)]
    ten = pl.col("timestamp").dt.time() == time(10)
    async with desk(database_url, tmp_path, MORNING) as at:
        bars = pl.concat(at.served(CONTRACT, day) for day in days).filter(
            ~ten | pl.col("timestamp").dt.date().is_in(with_minute)
        )
        whole = bars.with_columns(
            timeframe=pl.lit("1m"), fetched_at=pl.lit(NOON), source=pl.lit(schemas.REST)
        )
        await at.store.merge("futures_1m", schemas.conform(whole, schemas.FUTURES_BARS))
        strategy = STRATEGIES["dolpha1"]
        for day in days[-5:]:
            session = pl.DataFrame({"symbol": [CONTRACT], "session": [day]})
            window = previous_sessions(Market.DERIVATIVES, day, 20)[0]
            seen = bars.filter(pl.col("timestamp").dt.date().is_between(window, day))
            rows = strategy.evaluate(seen.lazy(), strategy.params()).collect()
            live = rows.filter(pl.col("timestamp").dt.date() == day).with_columns(
                created_at=pl.lit(NOON)
            )
            await at.store.merge(strategy.table, schemas.conform(live, strategy.schema))
            assert differences(
                await computed_signals(at.store, strategy, session), live.drop("created_at")
            ).is_empty()
        of_all = await signal_relations(at.store, [CONTRACT], days[-5], days[-1])
        assert of_all["signals"].height == 5 * 411 - 3
        assert_frame_equal(of_all["signals"], of_all["expected_signals"], check_row_order=False)
        replayed = replay_signals(database_url, strategy, strategy.params())
        assert replayed.counts == {"same": 5 * 411 - 3}
        await fill_before_open(at.context, [CONTRACT], TODAY, warm_up=0)
        assert (await at.frame("SELECT * FROM signal_corrections")).is_empty()


async def _killed(*_: object) -> None:
    raise KisRefused("killed here")


async def test_a_snapshot_without_its_matrix_gets_it_at_the_close(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2025, 11, 4, 18)) as at:
        chain = board(moment=NOON).select(schemas.OPTION_CHAIN.names)
        await at.store.merge("option_chain_raw", schemas.conform(chain, schemas.OPTION_CHAIN))
        await reconcile(at.context, ["202612_KOSPI200"], YESTERDAY)
        with_greeks = chain_with_greeks(chain)
        for table, schema, follows in (
            ("option_matrices", schemas.OPTION_MATRIX, chain_matrix(with_greeks)),
            (
                "option_summary",
                schemas.OPTION_SUMMARY,
                chain_summary(chain_figures(with_greeks), chain_surface(with_greeks)),
            ),
        ):
            stored = await at.frame(f"SELECT {', '.join(schema.names)} FROM {table}")
            key = [name for name in ("timestamp", "metric_type") if name in stored.columns]
            assert_frame_equal(stored.sort(key), follows.sort(key), check_dtypes=False)
        assert await at.ledger() == [("unavailable", "KIS has no history of option chains", 419)]


async def test_a_start_stores_the_status_running_before_the_days_first_row(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a collector killed while it catches up would leave a day that no start finishes."""
    statuses: list[object] = []

    async def killed(context: BackfillContext, *_: object) -> None:
        statuses.extend((await context.store.query("SELECT status FROM system_status"))["status"])
        raise KisRefused("killed here")

    monkeypatch.setattr("pipelines.day.before_open.fill_before_open", killed)
    async with desk(database_url, tmp_path, NOON) as at:
        key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
        settings = KisSettings(
            base_url=at.simulator.base_url,
            master_url=at.simulator.base_url + MASTER_PATH,
            app_keys=(key,),
        )
        today = plan(Feed((STOCK,)), YESTERDAY)
        paths = DayPaths(database_url, tmp_path / "live", tmp_path / "kis")
        with pytest.raises(KisRefused):
            await run_day(today, settings, at.clock, paths, DayStatistics(today, simulated=True))
    assert [str(status) for status in statuses] == ["running"] * 3
