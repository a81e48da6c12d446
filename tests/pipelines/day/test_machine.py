"""What is amiss on this machine is told once, and again when it is over; and the two messages."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.clock import VirtualClock, WallClock
from engine.kis.skew import Skew
from engine.log import remove_old_logs
from pipelines.day import machine
from pipelines.day.alerts import Contact, open_alerts
from pipelines.day.parts import DayParts
from tests.pipelines.day.playing import STOCK, at_time, play
from tests.pipelines.simulated import desk

NOON = datetime(2026, 11, 27, 12, 0)


def hook(server: HTTPServer) -> SecretStr:
    server.expect_request("/hook").respond_with_data("")
    return SecretStr(f"json://{server.host}:{server.port}/hook")


def told(server: HTTPServer) -> list[dict[str, str]]:
    return [request.get_json() for request, _ in server.log]


async def test_each_trouble_is_told_when_it_begins_and_when_it_is_over_days_later(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = Contact((hook(httpserver),))
    kis = SimpleNamespace(clock_trouble=None, certificate_trouble=None)
    free = [9.0, 1.9, 1.8, 2.1, 9.0]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop(0) * 1e9))
    for hours in range(len(free)):
        clock = VirtualClock(NOON + timedelta(hours=hours))
        kis.clock_trouble = "this machine's clock is 3 min ahead of KIS's" if hours < 2 else None
        ends = clock.now() + timedelta(days=6 if hours == 4 else 90)
        async with open_alerts(contact, WallClock()) as alerts:  # as each day opens its own
            day = SimpleNamespace(clock=clock, kis=kis, alerts=alerts)
            machine.note_troubles(cast("DayParts", day), tmp_path / "spool", ends)
    assert [(event["title"], event["message"]) for event in told(httpserver)] == [
        ("⚠️ clock", "11-27 12:00: this machine's clock is 3 min ahead of KIS's"),
        ("⚠️ disk space", f"11-27 13:00: only 1.9 GB are free on the disk of {tmp_path / 'spool'}"),
        ("✅ clock", "11-27 14:00: well again"),
        ("✅ disk space", "11-27 16:00: well again"),
        (
            "⚠️ certificate",
            "11-27 16:00: the certificate that KIS shows ends on 2026-12-03 16:00",
        ),
    ]
    assert list(contact.amiss) == ["certificate"]


@pytest.mark.parametrize(
    ("ahead", "trouble"),
    [
        (timedelta(seconds=2), None),
        (timedelta(seconds=12), "this machine's clock is 12 s ahead of KIS's"),
        (timedelta(seconds=-40), "this machine's clock is 40 s behind KIS's"),
        (timedelta(hours=9), "this machine's clock is 9 h 0 min ahead of KIS's"),
    ],
)
def test_the_clock_is_in_trouble_from_three_seconds_on(
    ahead: timedelta, trouble: str | None
) -> None:
    skew = Skew()
    skew.agrees(NOON + ahead, NOON)
    assert skew.trouble == trouble
    skew.agrees(NOON, NOON)
    assert skew.trouble is None


def test_an_address_without_a_certificate_has_no_end_of_one() -> None:
    assert machine.certificate_end("http://127.0.0.1:9") is None
    assert machine.certificate_end("https://127.0.0.1:9") is None


async def test_the_morning_says_what_will_be_collected_and_the_evening_what_it_came_to(
    database_url: str, tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A morning that is ended at nine, and the afternoon of the same day."""
    contact = Contact((hook(httpserver),), morning_message=True, evening_message=True)
    contact.amiss["disk"] = "only 1.0 GB are free"
    monkeypatch.setattr(machine, "disk_trouble", lambda *_, **__: "only 1.0 GB are free")
    async with desk(database_url, tmp_path, at_time("08:49")) as at:
        await play(at, database_url, tmp_path, until=at_time("08:59"), contact=contact)
        await at.clock.sleep_until(at_time("15:26"))
        await play(at, database_url, tmp_path, contact=contact)
    morning, evening = (event for event in told(httpserver) if event["title"][0] in "⏱🎉")
    assert morning["title"] == "⏱️ 2025-11-04: 1 to collect, 09:00 to 15:30"
    assert morning["message"].splitlines() == [f"stock {STOCK}", "amiss: only 1.0 GB are free"]
    assert evening["title"] == "🎉 2025-11-04 is complete"
    assert evening["message"].splitlines()[0] == "bars 381, snapshots 0, missing 0"
    assert "delay: " in evening["message"]


def test_log_files_are_removed_when_nobody_wrote_to_them_for_long(tmp_path: Path) -> None:
    day = 86_400
    now = WallClock().now_kst().timestamp()
    for name, age in (("live-2020-01-01.log", 1), ("live-2026-11-26.log", 40), ("mine.log", 900)):
        (tmp_path / name).write_text("line")
        os.utime(tmp_path / name, (now - age * day,) * 2)
    remove_old_logs(tmp_path, 30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live-2020-01-01.log", "mine.log"]
