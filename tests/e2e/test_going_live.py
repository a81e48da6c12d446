"""With credentials: the same command, the same code; the base address is all that differs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl
import pytest
from aiohttp import web

from engine.clock import Clock, VirtualClock
from engine.market.symbols import parse_chain
from engine.settings import KisSettings, load_settings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import Simulator, serve
from engine.store import Store
from pipelines.databases import Database
from pipelines.day.live import collect_real, collect_simulated
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import next_plan, plan
from pipelines.feed import Feed, configured_feed
from pipelines.simulation import SimulatedDay, start_clock
from tests.e2e.conftest import Desk

MONDAY, UNTIL = date(2026, 11, 9), datetime(2026, 11, 9, 9, 3)
FEED = Feed(("005930",), ("A01",), (parse_chain("KOSDAQ150:front"),))
STORED = {
    "futures_1m": "symbol",
    "stocks_1m": "symbol",
    "option_chain_raw": "symbol",
    "option_matrices": "metric_type",
    "option_summary": "underlying_symbol",
    "dolpha1_signal": "symbol",
}

WHEN = ("committed_at", "fetched_at", "created_at", "quoted_at")  # to the second: by chance

KRT = [sys.executable, "-m", "pipelines.commands.main"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, ...]]:
    """What the simulators are asked from now on: all of it but the caller's secrets."""
    seen: set[tuple[str, ...]] = set()
    handle = Simulator.handle

    async def noting(self: Simulator, request: web.BaseRequest) -> web.StreamResponse:
        query = "&".join(sorted(f"{name}={value}" for name, value in request.query.items()))
        headers = ",".join(sorted(name.lower() for name in request.headers))
        seen.add((request.path, query, request.headers.get("tr_id", ""), headers))
        return await handle(self, request)

    monkeypatch.setattr(Simulator, "handle", noting)
    return seen


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path) -> pytest.MonkeyPatch:
    """Settings as a real collector has them."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATA_FOLDER": str(tmp_path),
        "APP_KEY": "key",
        "APP_SECRET": "secret",
        "STOCKS": "005930",
        "FUTURES": "A01",
        "OPTION_CHAINS": "KOSDAQ150:front",
    }.items():
        monkeypatch.setenv(f"KRT_{name}", value)
    return monkeypatch


async def broken_off(day: Coroutine[Any, Any, None], clock: Clock) -> None:
    collecting = asyncio.create_task(day)
    await clock.sleep_until(UNTIL)
    assert not collecting.done()
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)


async def stored(url: str, clock: Clock) -> dict[str, pl.DataFrame]:
    store = Store(url, clock)
    found = {
        table: pl.DataFrame(await store.query(f"SELECT * FROM {table} ORDER BY timestamp, {name}"))
        for table, name in STORED.items()
    }
    await store.close()
    return {table: rows.drop(WHEN, strict=False) for table, rows in found.items()}


async def test_the_simulator_is_collected_from_as_if_it_were_kis(
    database_url, another_database_url, asked, settings
):
    """The same minutes twice: simulated, and with credentials, started on Sunday."""
    simulated = SimulatedDay(SyntheticMarket(5), MONDAY, FEED)
    clock = start_clock(simulated, float("inf"))
    stats = DayStatistics(plan(FEED, MONDAY), simulated=True)
    database = Database(another_database_url, "simulation", load_settings())
    await broken_off(collect_simulated(simulated, None, clock, database, stats), clock)
    asked_when_simulated = set(asked)
    asked.clear()

    clock = VirtualClock(datetime(2026, 11, 8, 21, 0))
    async with serve(simulated.market, clock, app_keys={"key": "secret"}) as kis:
        settings.setenv("KRT_BASE_URL", kis.base_url)
        files = partial(KisSettings, master_url=kis.base_url + MASTER_PATH)  # KIS's other server
        settings.setattr("engine.settings.KisSettings", files)
        database = Database(database_url, "live", load_settings())
        day = next_plan(configured_feed(database.settings), clock)
        assert day.day == MONDAY, "it waits for the next session"
        stats = DayStatistics(day, simulated=False)
        await broken_off(collect_real(clock, database, stats), clock)

    assert asked == asked_when_simulated
    real, made_up = await stored(database_url, clock), await stored(another_database_url, clock)
    for table, rows in real.items():
        assert rows.filter(pl.col("timestamp") > datetime(2026, 11, 9, 9, 0)).height, table
        assert rows.equals(made_up[table]), table


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_ctrl_c_commits_what_came_and_stops_the_servers(desk: Desk):
    command = [
        sys.executable,
        "-m",
        "pipelines.commands.main",
        "live",
        "--json",
        "--date",
        "2026-11-09",
        *("--stock", "005930", "--future", "A01"),
    ]
    of_day = "timestamp >= '2026-11-09'"  # and not of the warm-up
    counted = (
        f"SELECT (SELECT count(*) FROM stocks_1m WHERE {of_day})"
        f" + (SELECT count(*) FROM futures_1m WHERE {of_day}) AS n"
    )
    server = desk.folder / "simulation" / "postgres-18" / "postmaster.pid"
    with subprocess.Popen(
        [*command, "--speed", "600"],
        cwd=desk.folder,
        env=desk.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "collecting" in line:
                break
        while desk.ask(counted).item() < 3:  # minutes: by then the first one is counted
            time.sleep(0.2)
        assert server.exists()
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=90)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert not server.exists()
    summary = json.loads(out.splitlines()[-1])
    assert summary["complete"] is False
    # A commit that is under way at the Ctrl+C goes through, but is not counted any more.
    assert 0 < summary["bars"] <= desk.ask(counted).item()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
def test_the_end_of_just_db_is_the_end_of_its_server(desk: Desk):
    server = desk.folder / "simulation" / "postgres-18" / "postmaster.pid"
    with subprocess.Popen(
        [*KRT, "db"],
        cwd=desk.folder,
        env=desk.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("postgresql://")
        assert server.exists()
        running.terminate()
        assert running.wait(60) == 130
    assert not server.exists()
