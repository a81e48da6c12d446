"""A day without a usable token says so, and ends; the next one is not refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from pipelines.collector_lock import hold_collector_lock
from tests.databases import long
from tests.pipelines.day.playing import (
    DAY,
    STOCK,
    at_time,
    expected,
    play,
    scenario,
    statuses,
    stored,
)
from tests.pipelines.simulated import Desk, desk

NO_TOKEN = {"what": "refuse", "endpoint": "token", "status": 500, "code": "EGW00999"}


def alert(hook: HTTPServer) -> SecretStr:
    hook.expect_request("/hook").respond_with_data("")
    return SecretStr(f"json://{hook.host}:{hook.port}/hook")


def alerted(hook: HTTPServer) -> list[str]:
    messages = [request.get_json() for request, _ in hook.log]
    return [message["message"][6:11] for message in messages if "nothing can" in message["title"]]


@pytest.mark.parametrize(
    "rule",
    [
        NO_TOKEN,
        long({"what": "html", "endpoint": "token", "status": 502}),
        {"what": "kill_token", "endpoint": ("bars", "CTCA0903R")},
    ],
    ids=["refused", "html", "rejected"],
)
async def test_a_day_without_a_token_tells_so_and_ends(
    database_url: str, tmp_path: Path, httpserver: HTTPServer, rule: dict[str, object]
) -> None:
    heartbeats: list[str] = []

    async def listen(at: Desk) -> None:
        await at.clock.sleep_until(at_time("15:20:30"))
        found = await at.frame("SELECT message FROM system_status WHERE component = 'kis'")
        heartbeats.extend(found["message"])

    start = at_time("15:10")
    async with desk(database_url, tmp_path, start, faults=scenario(rule)) as at:
        played = await play(at, database_url, tmp_path, trouble=listen, alerts=(alert(httpserver),))
        assert played.error is None or "could not be compared" in str(played.error)
        assert played.ended_at < at_time("18:00")
        told = alerted(httpserver)
        assert told[0] < "15:14", "not at once"
        assert 5 <= len(told) <= 12, "without growing pauses"
        assert any(why in heartbeats[0] for why in ("no token since 15:1", "rejects the tokens"))
        assert await stored(at, STOCK, "stocks_1m") == []
        ledger = await at.frame(
            f"SELECT state, sum(stamps)::bigint FROM gaps WHERE session = '{DAY}' GROUP BY 1"
        )
        assert ledger.rows() == [("open", 381)]
        with hold_collector_lock(tmp_path / "live"):
            pass
        assert (await statuses(at))["collector"] in ("done", "stopped")


async def test_a_token_that_comes_late_brings_everything(
    database_url: str, tmp_path: Path, httpserver: HTTPServer
) -> None:
    late = NO_TOKEN | {"to": "15:20"}
    async with desk(database_url, tmp_path, at_time("15:10"), faults=scenario(late)) as at:
        played = await play(at, database_url, tmp_path, alerts=(alert(httpserver),))
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("15:40"))
        assert alerted(httpserver)[-1] < "15:21"
