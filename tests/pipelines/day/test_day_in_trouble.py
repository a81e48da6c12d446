"""A collecting day in trouble: its alerts, its status, and that collecting goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import NoReturn

import polars as pl
import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.errors import InputError, KisKeyRefused, KrtError, StoreError
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from pipelines.day.alerts import Contact
from pipelines.day.ingest import Ingestor
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.databases import long
from tests.pipelines.simulated import KEY, SECRET, Desk, desk

DAY = date(2025, 11, 4)
STOCK = "005930"
BEFORE_OPEN = datetime(2025, 11, 4, 8, 30)
LATE = datetime(2025, 11, 4, 15, 10)
REFUSED_KEY = {"endpoint": "token", "message": "no such key", "status": 403, "code": "EGW00103"}


@asynccontextmanager
async def trading_day(
    url: str, folder: Path, now: datetime, *rules: dict[str, object]
) -> AsyncIterator[Desk]:
    faults = Scenario.model_validate({"rule": rules}) if rules else None
    async with desk(url, folder, now, faults=faults) as at:
        yield at


async def collect(
    at: Desk, url: str, folder: Path, hook: HTTPServer, secret: str = SECRET
) -> DayStatistics:
    hook.expect_request("/hook").respond_with_data("")
    alert = SecretStr(f"json://{hook.host}:{hook.port}/hook")
    key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(secret))
    settings = KisSettings(
        base_url=at.simulator.base_url,
        master_url=at.simulator.base_url + MASTER_PATH,
        app_keys=(key,),
        calls_per_second=5,
    )
    today = plan(Feed((STOCK,)), DAY)
    stats = DayStatistics(today, simulated=True)
    paths = DayPaths(url, folder / "live", folder / "kis")
    await run_day(today, settings, at.clock, paths, stats, contact=Contact((alert,)))
    return stats


def alert_titles(hook: HTTPServer) -> list[str]:
    return [request.get_json()["title"] for request, _ in hook.log]


async def stored_bars(at: Desk) -> list[tuple[object, ...]]:
    bars = await at.bars("stocks_1m")
    return bars.filter(pl.col("timestamp").dt.date() == DAY).rows()


async def statuses(at: Desk) -> list[str]:
    status = await at.frame("SELECT status FROM system_status WHERE component = 'collector'")
    return [str(text) for text in status["status"]]


async def test_a_key_refused_before_the_open_gives_an_alert(
    database_url: str, tmp_path: Path, httpserver: HTTPServer
) -> None:
    async with trading_day(database_url, tmp_path, BEFORE_OPEN) as at:
        with pytest.raises(KisKeyRefused):
            await collect(at, database_url, tmp_path, httpserver, secret="expired")
        assert alert_titles(httpserver) == ["❌ collector stopped"]
        assert await statuses(at) == []  # the status of an earlier session would be kept


async def test_a_key_refused_in_the_session_gives_an_alert_at_once(
    database_url: str, tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    when: list[datetime] = []
    alert = Ingestor.alert_refused_key

    def note_time(self: Ingestor, error: KisKeyRefused) -> None:
        when.append(at.clock.now())
        alert(self, error)

    monkeypatch.setattr(Ingestor, "alert_refused_key", note_time)
    since = {"from": time(15, 15)}
    rules = ({"what": "kill_token", **since}, {"what": "refuse", **REFUSED_KEY, **since})
    async with trading_day(database_url, tmp_path, LATE, *rules) as at:
        with pytest.raises(KisKeyRefused):
            await collect(at, database_url, tmp_path, httpserver)
        assert alert_titles(httpserver) == ["❌ KIS refuses every app key", "❌ collector stopped"]
        assert datetime(2025, 11, 4, 15, 15) < when[0] < datetime(2025, 11, 4, 15, 17)
        assert len(when) > 1
        assert await statuses(at) == ["stopped"]


@pytest.mark.parametrize("error", [InputError("no such column"), long(StoreError("refused"))])
async def test_rejected_rows_that_cannot_be_stored_do_not_end_the_day(
    database_url: str,
    tmp_path: Path,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    error: KrtError,
) -> None:
    async def refuses(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(Ingestor, "store_rejected", refuses)
    async with trading_day(database_url, tmp_path, LATE) as at:
        await collect(at, database_url, tmp_path, httpserver)
        assert await stored_bars(at) == at.served(STOCK, DAY).rows()
        assert await statuses(at) == ["done"]


async def test_a_bar_that_the_database_refuses_does_not_end_the_day(
    database_url: str, tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it stop the bars after it; the bar is fetched again at the close."""
    store_bars = Ingestor.store_bars
    refusals = iter([InputError("odd"), StoreError("refused")])

    async def refuses_twice(self: Ingestor, *given: object) -> object:
        if at.clock.now().time() < time(15, 14):
            return await store_bars(self, *given)  # type: ignore[arg-type]
        for error in refusals:
            raise error
        return await store_bars(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Ingestor, "store_bars", refuses_twice)
    async with trading_day(database_url, tmp_path, LATE) as at:
        stats = await collect(at, database_url, tmp_path, httpserver)
        assert await stored_bars(at) == at.served(STOCK, DAY).rows()
        assert stats.minutes_in_state("open") == 0
        assert next(refusals, None) is None


async def test_a_start_in_the_afternoon_counts_the_bars_stored_in_the_morning(
    database_url: str, tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends_before_the_close(*_: object) -> None: ...

    async with trading_day(database_url, tmp_path, LATE) as at:
        first = await collect(at, database_url, tmp_path, httpserver)
        monkeypatch.setattr("pipelines.day.run.close_day", ends_before_the_close)
        again = await collect(at, database_url, tmp_path, httpserver)
        assert again.bars == first.bars == at.served(STOCK, DAY).height
