"""A data folder that is full or can only be read, at the start, does not cost the day."""

from __future__ import annotations

import logging
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.clock import WallClock
from engine.settings import Settings
from pipelines.commands.main import main
from pipelines.databases import Database
from pipelines.day.live import show_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.engine.store.outage import away
from tests.pipelines.day.playing import STOCK, at_time, expected, play, stored
from tests.pipelines.simulated import Desk, desk

START = at_time("08:50")


def mount(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no disk can be mounted here")


def use_up(disk: Path) -> None:
    """Fill the disk: no byte and no file fits any more."""
    with pytest.raises(OSError, match="No space"), (disk / "filler").open("wb") as filler:  # noqa: PT012
        while True:
            filler.write(bytes(4096))
            filler.flush()
    with pytest.raises(OSError, match="No space"):  # noqa: PT012
        for number in range(100):
            (disk / f"file-{number}").touch()


@pytest.fixture(params=["full", "full with folders", "read-only", "read-only with folders"])
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of a data folder that takes nothing."""
    folder = Path(tempfile.gettempdir()) / f"krt-disk-{uuid.uuid4().hex[:8]}"
    mount(folder, "size=64k", "nr_inodes=8", "mode=755")
    if "folders" in request.param:
        (folder / "live").mkdir()
        (folder / "kis").mkdir()
    if request.param.startswith("full"):
        use_up(folder)
    else:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


async def test_the_day_is_collected_and_says_what_it_does_without(
    database_url: str,
    tmp_path: Path,
    disk: Path,
    caplog: pytest.LogCaptureFixture,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    hook = SecretStr(f"json://{httpserver.host}:{httpserver.port}/hook")
    async with desk(database_url, tmp_path, START) as at:
        played = await play(at, database_url, disk, until=at_time("09:03:30"), alerts=(hook,))
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:03"))
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert sum(f"nothing can be spooled: {disk}" in line for line in said) == 1
    assert sum(f"tokens and paces are not kept: {disk}" in line for line in said) == 1
    titles = [request.get_json()["title"] for request, _ in httpserver.log]
    assert titles == ["❌ nothing can be spooled", "⚠️ disk space"]


async def test_without_a_spool_what_comes_meanwhile_is_kept_in_memory(
    database_url: str, tmp_path: Path, disk: Path
) -> None:
    async with desk(database_url, tmp_path, START) as at:
        with ExitStack() as outage:

            async def trouble(at: Desk) -> None:
                await at.clock.sleep_until(at_time("09:01:30"))
                outage.enter_context(away(database_url))
                await at.clock.sleep_until(at_time("09:03:30"))
                outage.close()

            end = at_time("09:05:30")
            played = await play(at, database_url, disk, until=end, trouble=trouble)
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:05"))


async def test_an_end_without_database_and_disk_ends_all_the_same(
    database_url: str, tmp_path: Path, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(database_url, tmp_path, START) as at:
        with ExitStack() as outage:

            async def trouble(at: Desk) -> None:
                await at.clock.sleep_until(at_time("09:01:30"))
                outage.enter_context(away(database_url))

            end = at_time("09:02:30")
            played = await play(at, database_url, disk, until=end, trouble=trouble)
        assert played.ended_at < end + timedelta(minutes=5)
    assert "what neither the database nor the disk took is lost" in caplog.text


def test_a_log_that_cannot_be_written_is_said(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stats = DayStatistics(plan(Feed((STOCK,)), date(2026, 11, 9)), simulated=False)
    database = Database("", "live", Settings(data_folder=disk))
    with show_day(stats, WallClock(), database, quiet=True):
        pass
    assert "❌ no log file is kept" in capsys.readouterr().err


def test_the_embedded_database_on_such_a_disk_is_one_line_with_the_path(
    disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KRT_APP_KEY", "KRT_APP_SECRET", "KRT_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(disk))
    monkeypatch.chdir(Path(tempfile.gettempdir()))
    assert main(("live", "--speed", "max", "--json")) == 2
    said = capsys.readouterr().err
    assert said.startswith("❌ ")
    assert said.count("\n") == 1
    assert str(disk) in said
