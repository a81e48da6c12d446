"""A day on which the database goes away, and is killed, ends with the database of a calm day.

The collector runs as `just live` runs it, from a start in the afternoon (the warm-up and the day so
far come in first) to the day's sealing; with KRT_LONG_TESTS set, a whole day.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path

import filelock
import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.market.symbols import parse_chain
from engine.settings import KisSettings
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.spool import Spool
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.simulation import simulated_kis
from tests.databases import LONG, command
from tests.engine.store.kill_loop import kill_server
from tests.engine.store.outage import away
from tests.paths import SERVERS_FOLDER

DAY = date(2026, 11, 10)
START = datetime.combine(DAY, time(8, 30) if LONG else time(15, 0))
GONE, BACK = datetime.combine(DAY, time(15, 2)), datetime.combine(DAY, time(15, 22))
SHUT, OPEN = BACK + timedelta(minutes=2), BACK + timedelta(minutes=7)
# A call more or less at the simulated desk, and the next one is a second later.
TIMES = (
    "fetched_at",
    "quoted_at",
    "created_at",
    "committed_at",
    "opened_at",
    "answered_at",
    "updated_at",
)
TABLES = """
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname NOT IN ('system_status', 'schema_migrations') ORDER BY 1"""
Trouble = Callable[[VirtualClock], Awaitable[None]]


async def a_day(url: str, folder: Path, trouble: Trouble) -> None:
    """Collect a future, a stock and the smallest chain while the trouble takes its course."""
    clock = VirtualClock(START, math.inf)
    feed = Feed(("005930",), ("A01",), (parse_chain("KOSDAQ150:front"),))
    stats = DayStatistics(plan(feed, DAY), simulated=True)
    paths = DayPaths(url, folder / "spool", folder / "kis")
    async with simulated_kis(SyntheticMarket(5), clock, KisSettings()) as (settings, _):
        day = asyncio.create_task(run_day(stats.plan, settings, clock, paths, stats))
        await asyncio.gather(day, trouble(clock))


def left_behind(url: str) -> dict[str, pl.DataFrame]:
    """Every table but the heartbeats, without when its rows were fetched, given and merged."""
    with closing(Connection(url, "test")) as connection:
        names = pl.DataFrame(connection.query(TABLES))["relname"]
        found = {n: pl.DataFrame(connection.query(f'SELECT * FROM "{n}"')) for n in names}
    tables = {name: frame.drop(TIMES, strict=False) for name, frame in found.items()}
    return {name: frame.sort(pl.all(), nulls_last=True) for name, frame in tables.items()}


class Server:
    """An embedded server of our own to take away."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self.url = folder, url

    def kill(self) -> None:
        kill_server(self._folder, alone=False)

    def start(self) -> None:
        with embedded_server(self._folder):
            pass

    def held(self) -> filelock.FileLock:
        """A lock that keeps the server from being started again."""
        return filelock.FileLock(self._folder / "server.lock")


@pytest.fixture
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="krt-away-", dir=SERVERS_FOLDER))
    folder.chmod(0o755)
    with embedded_server(folder / "server", temporary=True) as url:
        command(url, "CREATE DATABASE day")
        migrate(of_the_day := url.replace("/krt?", "/day?"))
        yield Server(folder / "server", of_the_day)
    shutil.rmtree(folder, ignore_errors=True)


async def nothing(_: VirtualClock) -> None:
    """A calm day."""


def troubled(server: Server, spool: Path, chance: random.Random) -> Trouble:
    """The server is killed and stays down, then refuses connections, then is killed repeatedly."""

    async def trouble(clock: VirtualClock) -> None:
        await clock.sleep_until(GONE)
        with server.held():
            await clock.thread(server.kill)
            await clock.sleep_until(BACK)
            assert Spool(spool).size()[0] > 20 * 5, "not every minute's batches were spooled"
        await clock.thread(server.start)
        await clock.sleep_until(SHUT)
        assert Spool(spool).empty
        with away(server.url):
            await clock.sleep_until(OPEN)
            assert not Spool(spool).empty
        for seconds in sorted(chance.sample(range(30, 16 * 60), 3)):
            await clock.sleep_until(OPEN + timedelta(seconds=seconds))
            await clock.thread(server.kill)
            await clock.thread(server.start)

    return trouble


@pytest.mark.long  # in one process: tests/pipelines/day/test_database_away.py
def test_a_day_without_the_server_ends_with_the_database_of_a_calm_day(
    database_url: str, server: Server, tmp_path: Path
) -> None:
    chance = random.Random(seed := random.SystemRandom().randrange(2**32))  # noqa: S311
    calm, bad = tmp_path / "calm", tmp_path / "bad"
    asyncio.run(a_day(database_url, calm, nothing))
    asyncio.run(a_day(server.url, bad, troubled(server, bad / "spool", chance)))
    expected, found = left_behind(database_url), left_behind(server.url)
    assert not list(bad.rglob("*.arrow")), "something stayed spooled"
    assert {name for name, frame in expected.items() if frame.height} >= {
        "futures_1m",
        "stocks_1m",
        "option_chain_raw",
        "option_matrices",
        "option_summary",
        "dolpha1_signal",
        "opening_range_signal",
        "gaps",
        "kept_sessions",
    }
    assert found.keys() == expected.keys()
    for table in expected:
        assert found[table].equals(expected[table]), f"{table} differs, seed {seed}"
