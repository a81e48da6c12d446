"""A trading day from the settings to its end: real where there are KIS credentials, else simulated.

`run` is what `just live` does, for your own `Feed`:

    from pipelines.day.live import run
    from pipelines.feed import DataFeedBuilder

    run(DataFeedBuilder().add_stock("005930").add_deriv("A01").build())
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.awake import keep_awake
from engine.clock import Clock, WallClock, today
from engine.errors import InputError
from engine.files import private_folder
from engine.history.bar_file_times import BarTimes
from engine.log import empty_long_launchd_log, remove_old_logs, setup_logging
from engine.settings import DataKind, Settings, load_settings
from engine.simulator.faults.scenario import Scenario, load_scenario
from engine.store.book_files import FOLDER as BOOK_FOLDER
from pipelines.collector_lock import refuse_second_collector
from pipelines.console import PlainConsole
from pipelines.databases import Database, load_kis_holidays, open_database
from pipelines.day import view
from pipelines.day.alerts import Contact
from pipelines.day.costs import require_pace
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import next_plan, plan
from pipelines.feed import Feed, configured_feed, with_wishes
from pipelines.simulation import (
    SEED,
    SimulatedDay,
    market_of_database,
    parse_speed,
    recorded_day,
    simulated_feed,
    simulated_kis,
    start_clock,
    synthetic_day,
)
from pipelines.texts import texts_for
from pipelines.universes import resolve_universes

log = logging.getLogger(__name__)

DEFAULT_SPEED = "480"  # a day of 7½ hours in a minute, where the machine is that fast
SIMULATION = "🚀 this is a simulation"
HOW_TO_GO_LIVE = (
    "; with app_key and app_secret in config.json or KRT_APP_KEY and"
    " KRT_APP_SECRET in the environment the same command collects from KIS"
)
Collect = Callable[[Database, DayStatistics], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Simulation:
    """What is simulated; `pipelines/commands/live.py` says what the options mean."""

    recorded: Path | None = None
    date: date | None = None
    speed: str = DEFAULT_SPEED
    faults: str | None = None
    seed: int = SEED
    bar_times: BarTimes | None = None
    start: time | None = None
    night_start: time | None = None  # of the nights of every day; without it they are played whole

    def day(self) -> SimulatedDay:
        """Return the day to simulate. Raises InputError."""
        if self.recorded:
            return recorded_day(self.recorded, self.date, self.bar_times)
        return synthetic_day(self.seed, self.date, today(WallClock()))


def run(
    feed: Feed | None = None,
    *,
    simulation: Simulation | None = None,
    settings: Settings | None = None,
    fresh: bool = False,
    quiet: bool = False,
    picture: Path | None = None,
) -> DayStatistics:
    """Collect a trading day and return what it came to; `just live` in Python.

    The feed is that of the settings unless it is given. The day is simulated if a simulation is
    given or there are no credentials. `fresh` empties the simulation's database first, `quiet`
    draws no live view, `picture` is an SVG file for the view as it stands at the end. Ctrl+C ends
    the day: everything that has come is committed, and the result is `interrupted`. Raises
    KrtError.
    """
    settings = settings or load_settings()
    if simulation is None and not settings.has_credentials:
        simulation = Simulation()
    if simulation:
        simulated = simulation.day()
        speed = parse_speed(simulation.speed)
        clock: Clock = start_clock(simulated, speed, simulation.start)
        usual = (
            with_wishes(simulated.feed, settings)
            if simulation.recorded
            else simulated_feed(settings)
        )
        wanted = resolve_universes(feed or usual, clock, settings, simulated.market)
        # Started after the close, the day is over and the night is next.
        later = next_plan(wanted, clock) if wanted.night else plan(wanted, simulated.day)
        stats = DayStatistics(later, simulated=True)
        faults = load_scenario(simulation.faults) if simulation.faults else None
        collect: Collect = partial(collect_simulated, simulated, faults, clock)
    else:
        clock = WallClock()
        load_kis_holidays(settings, doubted=today(clock))  # the day's run asks KIS again
        day = next_plan(
            resolve_universes(feed or configured_feed(settings), clock, settings), clock
        )
        stats = DayStatistics(day, simulated=False)
        collect = partial(collect_real, clock)
    if not stats.plan.sessions:
        raise InputError(f"nothing to collect on {stats.day}: {', '.join(stats.plan.skipped)}")
    require_pace(stats.plan, settings.kis)
    kind: DataKind = "simulation" if simulation else "live"
    with open_database(
        kind, settings=settings, fresh=fresh, collects=True, patient=True
    ) as database:
        refuse_second_collector(database.folder / "spool")
        with show_day(stats, clock, database, quiet=quiet):
            if simulation:
                log.info(SIMULATION if settings.has_credentials else SIMULATION + HOW_TO_GO_LIVE)
            try:
                asyncio.run(collect(database, stats))
            except KeyboardInterrupt:
                stats.interrupted = True
    if picture:
        view.save(stats, clock.now(), texts_for(settings.language), picture)
    return stats


async def collect_simulated(
    simulated: SimulatedDay,
    faults: Scenario | None,
    clock: Clock,
    database: Database,
    stats: DayStatistics,
) -> None:
    """Collect the plan of the stats from a simulated KIS."""

    def prepare() -> None:
        if database.prepare:
            database.prepare()
        market_of_database(database.url, simulated.market)

    with TemporaryDirectory(prefix="krt-") as folder:  # its tokens and paces are of no use later
        paths = DayPaths(
            database.url,
            database.folder / "spool",
            Path(folder),
            database.trade_files,
            database.folder / BOOK_FOLDER,
            database.archive,
            database.settings.keep_snapshot_days,
        )
        async with simulated_kis(simulated.market, clock, database.settings.kis, faults) as (
            settings,
            simulator,
        ):
            await run_day(stats.plan, settings, clock, paths, stats, prepare=prepare)
            stats.refused = simulator.counts.refusals.total()


async def collect_real(
    clock: Clock, database: Database, stats: DayStatistics, contact: Contact | None = None
) -> None:
    """Collect the plan of the stats from KIS; `contact` by default that of the settings."""
    settings, folder = database.settings, database.folder
    paths = DayPaths(
        database.url,
        folder / "spool",
        folder / "kis",
        database.trade_files,
        folder / BOOK_FOLDER,
        database.archive,
        settings.keep_snapshot_days,
    )
    with keep_awake("a session is being collected"):
        await run_day(
            stats.plan,
            settings.kis,
            clock,
            paths,
            stats,
            contact=contact or contact_of(settings),
            prepare=database.prepare,
        )


def contact_of(settings: Settings) -> Contact:
    """Return how the settings have a person told."""
    t = texts_for(settings.language)
    return Contact(settings.alerts, settings.morning_message, settings.evening_message, t)


@contextmanager
def show_day(
    stats: DayStatistics, clock: Clock, database: Database, *, quiet: bool
) -> Iterator[None]:
    """Log to a file of the day, and to the view on a terminal, else to standard error."""
    console = PlainConsole()
    lines = view.LastLines() if view.draws_view(console) and not quiet else None
    t = texts_for(database.settings.language)
    begin_log(stats.day, clock, database.settings, database.kind, lines)
    with view.show_view(stats, clock, lines, console, t) if lines else nullcontext():
        yield


def begin_log(
    day: date,
    clock: Clock,
    settings: Settings,
    kind: DataKind,
    handler: logging.Handler | None = None,
) -> None:
    """Log to the file of a day and to standard error (or `handler`); remove files that are old."""
    folder = settings.folder(kind) / "logs"
    setup = partial(
        setup_logging,
        clock=clock,
        level=settings.log_level,
        secrets=settings.secrets(),
        handler=handler,
    )
    try:
        setup(file=private_folder(folder) / f"live-{day}.log")
    except OSError as error:  # a full disk, or one that can only be read: the day is worth more
        setup()
        log.error("❌ no log file is kept: %s: %s", error.filename, error.strerror)
    remove_old_logs(folder, settings.log_days)
    empty_long_launchd_log()
