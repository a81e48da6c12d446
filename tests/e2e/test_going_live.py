"""With credentials: the same command, the same code; the base address is all that differs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime

import polars as pl
import pytest
from pydantic import SecretStr

from engine.clock import VirtualClock
from engine.configuration import Configuration
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.server import serve
from engine.simulator.synthetic import SyntheticMarket
from engine.store import Store
from pipelines.day.feed import ChainChoice, Feed
from pipelines.day.live import next_plan
from pipelines.day.run import Place, run_day
from pipelines.day.tally import Tally
from tests.e2e.conftest import Desk

SECRET = "a-secret-that-nobody-may-see"


async def test_the_simulator_is_collected_from_as_if_it_were_kis(database_url, tmp_path, caplog):
    """Credentials and an address from the settings; a clock that says Sunday evening."""
    clock = VirtualClock(datetime(2026, 11, 8, 21, 0))
    feed = Feed(("005930",), ("A01",), (ChainChoice(),))
    async with serve(SyntheticMarket(5), clock, app_keys={"key": SECRET}) as kis:
        configuration = Configuration(
            base_url=kis.base_url, app_key=SecretStr("key"), app_secret=SecretStr(SECRET)
        )
        settings = configuration.kis.model_copy(update={"master_url": kis.base_url + MASTER_PATH})
        plan = next_plan(feed, clock)
        assert plan.day == date(2026, 11, 9)  # it waits for Monday
        short = plan.day, clock.now()
        tally = Tally(plan, simulated=False)
        place = Place(database_url, tmp_path / "spool", tmp_path / "kis")
        day = asyncio.create_task(run_day(plan, settings, clock, place, tally))
        await clock.sleep_until(datetime(2026, 11, 9, 9, 5))
        day.cancel()
        await asyncio.gather(day, return_exceptions=True)
    assert short[1] < datetime(2026, 11, 9)
    store = Store(database_url, clock)
    bars = pl.DataFrame(
        await store.query(
            "SELECT symbol, timestamp FROM futures_1m WHERE timestamp >= '2026-11-09'"
        )
    )
    await store.close()
    assert bars["timestamp"].min() == datetime(2026, 11, 9, 8, 46)
    assert bars["timestamp"].max() >= datetime(2026, 11, 9, 9, 4)
    assert tally.snapshots >= 18
    assert SECRET not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_ctrl_c_commits_what_came_and_stops_the_servers(desk: Desk):
    command = [sys.executable, "-m", "pipelines.cli", "live", "--json", "--date", "2026-11-09"]
    with subprocess.Popen(
        [*command, "--speed", "600"], cwd=desk.folder, env=desk.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        for line in running.stderr:
            if "collecting" in line:
                break
        time.sleep(6)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=90)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    summary = json.loads(out.splitlines()[-1])
    assert summary["complete"] is False
    stored = desk.ask("SELECT count(*) AS n FROM stocks_1m WHERE timestamp::date = '2026-11-09'")
    futures = desk.ask("SELECT count(*) AS n FROM futures_1m WHERE timestamp::date = '2026-11-09'")
    assert stored.item() + futures.item() == summary["bars"]
    assert not (desk.folder / "simulation" / "postgres-18" / "postmaster.pid").exists()
