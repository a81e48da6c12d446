"""`just live --every-day`: from session to session, whatever happens in one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.clock import Clock, VirtualClock
from engine.errors import InputError, KisUnreachable, SchemaIsNewer, StoreError, StoreUnreachable
from engine.settings import DatabaseSettings, DataKind, Settings
from engine.store.connection import Connection
from pipelines.commands.main import main
from pipelines.databases import Database
from pipelines.day import every_day
from pipelines.day.alerts import Contact
from pipelines.day.every_day import (
    Collect,
    EveryDay,
    EveryDayOptions,
    before_open,
    run_every_day,
    say_sleeping,
)
from pipelines.day.live import Simulation
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import DayPlan, next_plan
from pipelines.feed import Feed, configured_feed

FRIDAY = datetime(2026, 11, 27, 8, 0)
LAST_OF_YEAR = date(2026, 12, 30)  # a Wednesday; the exchange is closed until Monday
STOCK = Feed(("005930",))


class StubDaySource:
    """Days in which nothing happens but what `happens` does; time passes at once."""

    kind: DataKind = "live"

    def __init__(self, start: datetime, happens: Callable[[DayStatistics], None]) -> None:
        self.clock: Clock = VirtualClock(start)
        self.happens = happens
        self.collected: list[tuple[datetime, tuple[str, ...]]] = []

    def plan(self, settings: Settings) -> DayPlan:
        return next_plan(configured_feed(settings), self.clock)

    def begin_of(self, plan: DayPlan) -> datetime:
        return before_open(plan)

    def wait(self, when: datetime, name: str | None) -> None:
        say_sleeping(self.clock, when, name)
        self.clock = VirtualClock(max(when, self.clock.now()))

    def collect(self, plan: DayPlan, contact: Contact) -> Collect:
        async def collect(_: Database, stats: DayStatistics) -> None:
            self.collected.append((self.clock.now(), tuple(plan.names)))
            self.happens(stats)
            stats.closed = True  # there is nothing to validate
            await self.clock.sleep_until(max(s.sealed_at for s in plan.sessions))

        return collect


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_folder=tmp_path,
        app_key=SecretStr("key"),
        app_secret=SecretStr("secret"),
        stocks=("005930",),
        futures=(),
        option_chains=(),
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What opening the database raises, in order; without an error it opens."""
    caplog.set_level(logging.INFO)
    errors: list[Any] = []

    @contextmanager
    def open_database(kind: DataKind, *, settings: Settings, **_: object) -> Iterator[Database]:
        if errors and (error := errors.pop(0)):
            raise error
        yield Database("postgresql://nowhere", kind, settings)

    monkeypatch.setattr(every_day, "open_database", open_database)
    monkeypatch.setattr(every_day, "begin_log", lambda *_: None)
    monkeypatch.setattr(every_day, "show_day", lambda *_, **__: nullcontext())
    return errors


def nothing(_: DayStatistics) -> None:
    """The day goes well."""


def failing(*errors: BaseException | None) -> Callable[[DayStatistics], None]:
    """Return what raises these one after the other, and then nothing."""
    left = list(errors)

    def fail(_: DayStatistics) -> None:
        if left and (error := left.pop(0)):
            raise error

    return fail


def live_through(
    source: StubDaySource,
    settings: Settings,
    sessions: int,
    read: Callable[[], Settings] | None = None,
) -> None:
    EveryDay(source, settings, EveryDayOptions(sessions), read).run()


def begins(source: StubDaySource) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment, _ in source.collected]


def test_a_machine_that_is_woken_before_a_session_does_not_fall_asleep_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a wake timer Windows sleeps again within minutes, and a late open may be hours away."""
    clock = VirtualClock(FRIDAY)
    held: list[str] = []

    @contextmanager
    def keep_awake(_: str) -> Iterator[None]:
        held.append(f"{clock.now():%H:%M}")
        yield
        held.append(f"{clock.now():%H:%M}")

    monkeypatch.setattr(every_day, "keep_awake", keep_awake)
    every_day._Kis(None, clock).wait(FRIDAY.replace(hour=14), None)
    assert held == ["12:00", "14:00"]


@pytest.mark.usefixtures("opened")
def test_it_sleeps_through_weekends_and_holidays_and_says_until_when(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    source = StubDaySource(datetime(2026, 12, 23, 20), nothing)
    live_through(source, settings, 4)
    # Christmas is a Friday, and the last day of the year is closed.
    assert begins(source) == [
        "12-24 08:40:00",
        "12-28 08:40:00",
        "12-29 08:40:00",
        "12-30 08:40:00",
    ]
    slept = [record.message for record in caplog.records if "sleeping" in record.message]
    assert slept[1] == ("⏱️ sleeping until 2026-12-28 08:40; the next session is 2026-12-28")
    live_through(source, settings, 1)
    assert begins(source)[-1] == "01-04 09:40:00"  # the first session of a year begins at ten


@pytest.mark.usefixtures("opened")
def test_with_nights_it_goes_from_day_to_night(settings: Settings) -> None:
    source = StubDaySource(FRIDAY, nothing)
    live_through(source, settings.model_copy(update={"night": True, "futures": ("A01",)}), 3)
    assert begins(source) == ["11-27 08:25:00", "11-27 17:40:00", "11-30 08:25:00"]


class ClosedDaySource(StubDaySource):
    """Sessions that turn out not to be held, as a night before a holiday, soon after the open."""

    def collect(self, plan: DayPlan, contact: Contact) -> Collect:
        async def collect(_: Database, stats: DayStatistics) -> None:
            self.collected.append((self.clock.now(), tuple(plan.names)))
            await self.clock.sleep_until(max(s.opens for s in plan.sessions) + timedelta(minutes=6))
            stats.closed = True

        return collect


@pytest.mark.usefixtures("opened")
def test_a_session_that_is_not_held_is_not_begun_again_and_again(settings: Settings) -> None:
    source = ClosedDaySource(datetime(2026, 12, 24, 16), nothing)
    live_through(source, settings.model_copy(update={"night": True, "futures": ("A01",)}), 3)
    assert begins(source) == ["12-24 17:40:00", "12-28 08:25:00", "12-28 17:40:00"]


@pytest.mark.usefixtures("opened")
def test_started_or_woken_in_the_middle_of_a_session_it_collects_at_once(
    settings: Settings,
) -> None:
    source = StubDaySource(datetime(2026, 11, 27, 13, 7), nothing)
    live_through(source, settings, 1)
    assert begins(source) == ["11-27 13:07:00"]


@pytest.mark.usefixtures("opened")
def test_a_day_that_crashes_is_begun_again_after_pauses_that_grow(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    errors = (
        KisUnreachable("no network"),
        ZeroDivisionError("in our code"),
        StoreUnreachable("away"),
    )
    source = StubDaySource(FRIDAY, failing(*errors))
    live_through(source, settings, 2)
    assert begins(source) == [
        "11-27 08:40:00",
        "11-27 08:40:10",
        "11-27 08:40:30",
        "11-27 08:41:10",
        "11-30 08:40:00",
    ]
    lines = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 3
    assert lines[0].startswith("❌ the session 2026-11-27 failed, next try at 08:40:10: no network")
    assert "ZeroDivisionError: in our code (test_every_day.py:" in lines[1]


@pytest.mark.usefixtures("opened")
def test_a_day_that_always_crashes_is_left_in_the_night_and_the_next_is_collected(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_on_friday(stats: DayStatistics) -> None:
        if stats.day == FRIDAY.date():
            raise RuntimeError("always")

    source = StubDaySource(FRIDAY, fail_on_friday)
    live_through(source, settings, 2)
    moments = [moment for moment, _ in source.collected]
    assert moments[-1] == datetime(2026, 11, 30, 8, 40)
    assert moments[-2] < datetime(2026, 11, 27, 17, 5)
    assert len(moments) < 60, "no busy loop: at most each ten minutes"
    assert "❌ the session 2026-11-27 came to nothing: RuntimeError: always" in caplog.text


def test_a_server_that_does_not_start_is_tried_again(settings: Settings, opened: list[Any]) -> None:
    opened += [StoreError("the database in … does not start"), OSError("no space"), None]
    source = StubDaySource(FRIDAY, nothing)
    live_through(source, settings, 1)
    assert begins(source) == ["11-27 08:40:10"]


def test_what_is_wrong_from_the_start_ends_it_at_once(
    settings: Settings, opened: list[Any]
) -> None:
    source = StubDaySource(FRIDAY, nothing)
    opened.append(InputError("your database holds simulated data"))
    with pytest.raises(InputError, match="holds simulated data"):
        live_through(source, settings, 1)
    for wrong in ({"stocks": ("nonsense",)}, {"alerts": (SecretStr("pw-in://x"),)}):
        with pytest.raises(InputError):
            live_through(source, settings.model_copy(update=wrong), 1)
    assert source.collected == []


def test_a_database_that_a_newer_program_migrated_ends_it(
    settings: Settings, opened: list[Any]
) -> None:
    """What starts it again then starts the new program."""
    opened += [None, None, SchemaIsNewer("the database is newer than this program")]
    source = StubDaySource(FRIDAY, nothing)
    with pytest.raises(SchemaIsNewer):
        live_through(source, settings, 3)
    assert begins(source) == ["11-27 08:40:00"]


@pytest.mark.usefixtures("opened")
def test_settings_are_read_again_before_each_session_and_broken_ones_change_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def update(**changed: Any) -> Settings:
        kept = {name: getattr(settings, name) for name in settings.model_fields_set}
        return Settings(**(kept | changed))

    def broken() -> Settings:
        raise InputError("config.json: unknown key 'stoks'")

    reads: list[Callable[[], Settings]] = [
        lambda: settings,
        broken,
        lambda: update(stocks=("005930", "000660")),
        lambda: update(app_key=SecretStr(""), app_secret=SecretStr("")),
    ]

    def read() -> Settings:
        return reads.pop(0)()

    source = StubDaySource(FRIDAY, nothing)
    live_through(source, settings, 4, read)
    stocks = [names for _, names in source.collected]
    assert stocks == [("005930",)] * 2 + [("005930", "000660")] * 2
    assert "those of before are kept: config.json: unknown key 'stoks'" in caplog.text
    assert "those of before are kept: app_key and app_secret are gone" in caplog.text


@pytest.mark.usefixtures("opened")
def test_a_second_one_is_refused_while_the_first_sleeps(settings: Settings) -> None:
    def start_another(_: DayStatistics) -> None:
        with pytest.raises(InputError, match="another collector is running"):
            live_through(StubDaySource(FRIDAY, nothing), settings, 1)

    source = StubDaySource(FRIDAY, start_another)
    live_through(source, settings, 1)
    assert len(source.collected) == 1


@pytest.mark.usefixtures("opened")
def test_the_same_crash_is_told_once_a_day(settings: Settings, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    hook = SecretStr(f"json://{httpserver.host}:{httpserver.port}/hook")
    errors = [KisUnreachable("no network")] * 3 + [None, KisUnreachable("no network")]
    source = StubDaySource(FRIDAY, failing(*errors))
    live_through(source, settings.model_copy(update={"alerts": (hook,)}), 2)
    told = [request.get_json() for request, _ in httpserver.log]
    assert [event["title"] for event in told] == ["❌ collector stopped"] * 2
    assert [event["message"][:11] for event in told] == ["11-27 08:40", "11-30 08:40"]


def figures() -> dict[str, int]:
    """What the process holds."""
    me = psutil.Process()
    return {
        "files": me.num_fds() if hasattr(me, "num_fds") else me.num_handles(),
        "connections": len(me.net_connections("all")),
        "threads": threading.active_count(),  # ours; libraries keep pools of their own
    }


def held_by(url: str) -> int:
    """How many connections the database has, beside the one that asks."""
    asking = Connection(url, "test")
    try:
        found = asking.query(
            "SELECT count(*)::bigint AS n FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(found["n"][0].as_py())
    finally:
        asking.close()


def test_from_session_to_session_over_the_end_of_a_year_nothing_is_held(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days of the simulated KIS, each begun shortly before its end: it fetches what was before."""
    days: list[DayStatistics] = []
    held: list[dict[str, int]] = []

    def look(stats: DayStatistics) -> None:
        days.append(stats)
        held.append(figures() | {"sessions": held_by(empty_database_url)})

    own = DatabaseSettings(postgres_url=SecretStr(empty_database_url))
    settings = Settings(data_folder=tmp_path, log_days=30).model_copy(update={"database": own})
    run_every_day(
        STOCK,
        simulation=Simulation(date=LAST_OF_YEAR, speed="max", start=time(15, 26)),
        settings=settings,
        options=EveryDayOptions(3, tmp_path / "parquet", quiet=True, on_day=look),
    )
    assert [f"{stats.day:%m-%d}" for stats in days] == ["12-30", "01-04", "01-05"]
    assert all(stats.complete for stats in days)
    assert [stats.bars for stats in days] == [381, 321, 381]
    assert held[2] == held[1]
    logs = sorted(path.name for path in (tmp_path / "simulation" / "logs").iterdir())
    assert logs == [f"live-{stats.day}.log" for stats in days]
    text = (tmp_path / "simulation" / "logs" / "live-2027-01-04.log").read_text("utf-8")
    assert "✅ 2027-01-04 is valid" in text
    assert "sleeping until 2027-01-05" not in text, "it stands in the file of the day it waits for"
    files = list((tmp_path / "parquet").rglob("*.parquet"))
    with_the_one_before = 381 + sum(stats.bars for stats in days)
    assert pl.read_parquet(files).height == with_the_one_before
    monkeypatch.setenv("KRT_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    assert main(["validate", "--from", "2026-12-30"]) == 0, "days to come are not unexpected ones"
