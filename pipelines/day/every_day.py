"""`just live --every-day`: session after session, until it is stopped.

A session is collected as by `just live`, then it is validated, then exported if that is asked for.
Between sessions nothing is held: no database, no connection, no task, no thread. An error of any
part costs a line and another try of that part, after a pause that grows. What cannot be used from
the first moment on (a setting, a symbol, a database) ends it at once; so does, at any time, a
database that a newer version of this program has migrated.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol, TypeVar

from engine.awake import keep_awake
from engine.clock import Clock, VirtualClock, WallClock, today
from engine.errors import InputError, SchemaIsNewer, StoreLoginRefused
from engine.settings import DataKind, Settings, load_settings
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store import Store
from pipelines.collector_lock import hold_collector_lock
from pipelines.databases import Database, load_kis_holidays, open_database
from pipelines.day.alerts import Contact, Event, check_addresses, open_alerts, stopped_component
from pipelines.day.costs import require_pace
from pipelines.day.evening import BETWEEN_TRIES, Evening, describe
from pipelines.day.live import (
    Collect,
    Simulation,
    begin_log,
    collect_real,
    collect_simulated,
    contact_of,
    show_day,
)
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import DayPlan, next_plan
from pipelines.feed import Feed, configured_feed
from pipelines.simulation import SimulatedDay, parse_speed, simulated_feed, start_clock
from pipelines.universes import resolve_universes

log = logging.getLogger(__name__)
Result = TypeVar("Result")

BEFORE_OPEN = timedelta(minutes=20)  # then the database is opened
STAYS_AWAKE = timedelta(hours=2)  # before that: a machine woken for the open sleeps in minutes else
LAST_TRY = timedelta(minutes=90)  # after a session is sealed: the night begins two hours after it
LOCK = "every-day.lock"  # held from session to session, unlike the collector's own
_AT_ONCE = (InputError, StoreLoginRefused, SchemaIsNewer)  # of the start: a person must act
OnDay = Callable[[DayStatistics], object]


@dataclass(frozen=True)
class EveryDayOptions:
    """How `just live --every-day` is run; without `sessions` it goes on until it is stopped."""

    sessions: int | None = None
    export: Path | None = None
    fresh: bool = False
    quiet: bool = False
    on_day: OnDay = lambda _: None  # gets the figures of each day


class DaySource(Protocol):
    """Where the days come from: KIS on the wall clock, or a simulation."""

    kind: DataKind

    @property
    def clock(self) -> Clock:
        """The clock of the next piece of work."""
        ...

    def plan(self, settings: Settings) -> DayPlan:
        """Return the plan of the session that is on or comes next. Raises InputError."""
        ...

    def begin_of(self, plan: DayPlan) -> datetime:
        """Return when the database is opened for the plan's day."""
        ...

    def wait(self, when: datetime, name: str | None) -> None:
        """Return when it is `when` or later; say so if it is a session that is waited for."""
        ...

    def collect(self, plan: DayPlan, contact: Contact) -> Collect:
        """Return what collects the plan."""
        ...


class _Kis:
    """Real days."""

    kind: DataKind = "live"

    def __init__(self, feed: Feed | None, clock: Clock) -> None:
        self.clock = clock
        self._feed = feed

    def plan(self, settings: Settings) -> DayPlan:
        load_kis_holidays(settings, doubted=today(self.clock))  # the day's run asks KIS again
        feed = self._feed or configured_feed(settings)
        return next_plan(resolve_universes(feed, self.clock, settings), self.clock)

    def begin_of(self, plan: DayPlan) -> datetime:
        return before_open(plan)

    def wait(self, when: datetime, name: str | None) -> None:
        asyncio.run(self._sleep_until(when, name))

    async def _sleep_until(self, when: datetime, name: str | None) -> None:
        """Say it once Ctrl+C finds a running loop, which ends without a word."""
        say_sleeping(self.clock, when, name)
        await self.clock.sleep_until(when - STAYS_AWAKE)
        with keep_awake("a session is near"):
            await self.clock.sleep_until(when)

    def collect(self, plan: DayPlan, contact: Contact) -> Collect:  # noqa: ARG002
        return partial(collect_real, self.clock, contact=contact)


def say_sleeping(clock: Clock, when: datetime, name: str | None) -> None:
    """Say until when nothing is done, and what comes then."""
    if name and clock.now() < when:
        log.info("⏱️ sleeping until %s; the next session is %s", f"{when:%Y-%m-%d %H:%M}", name)


class _Simulator:
    """Simulated days, each on a market and a clock of its own; nobody waits for a night."""

    kind: DataKind = "simulation"

    def __init__(self, feed: Feed | None, simulation: Simulation, settings: Settings) -> None:
        first = simulation.day()
        self._simulation = simulation
        self._feed = feed or simulated_feed(settings)
        self._speed = parse_speed(simulation.speed)
        self._faults = load_scenario(simulation.faults) if simulation.faults else None
        self.clock = start_clock(first, self._speed, simulation.start)

    def plan(self, settings: Settings) -> DayPlan:
        market = SyntheticMarket(self._simulation.seed)
        return next_plan(resolve_universes(self._feed, self.clock, settings, market), self.clock)

    def begin_of(self, plan: DayPlan) -> datetime:
        if not plan.night:
            start = self._simulation.start
            return datetime.combine(plan.day, start) if start else before_open(plan)
        begun = self._simulation.night_start
        if not begun:
            return before_open(plan)
        after_midnight = begun < time(12)
        return datetime.combine(plan.day + timedelta(days=after_midnight), begun)

    def wait(self, when: datetime, name: str | None) -> None:
        say_sleeping(self.clock, when, name)
        gc.collect()  # the market of the day before holds itself in circles
        self.clock = VirtualClock(max(when, self.clock.now()), self._speed)

    def collect(self, plan: DayPlan, contact: Contact) -> Collect:  # noqa: ARG002 - nobody is told
        market = SyntheticMarket(self._simulation.seed)
        simulated = SimulatedDay(market, plan.day, self._feed)
        return partial(collect_simulated, simulated, self._faults, self.clock)


def run_every_day(
    feed: Feed | None = None,
    *,
    simulation: Simulation | None = None,
    settings: Settings | None = None,
    options: EveryDayOptions | None = None,
) -> None:
    """Collect every session from now on; `just live --every-day` in Python.

    The arguments are those of `run`. Settings are read again before each session, unless they are
    given. Ctrl+C raises KeyboardInterrupt, when everything that has come is committed. Raises
    KrtError for what cannot be used at the start, and SchemaIsNewer.
    """
    first = settings or load_settings()
    if simulation is None and not first.has_credentials:
        simulation = Simulation()
    source: DaySource = (
        _Simulator(feed, simulation, first) if simulation else _Kis(feed, WallClock())
    )
    EveryDay(source, first, options or EveryDayOptions(), None if settings else load_settings).run()


class EveryDay:
    """The life of a collector of every day."""

    def __init__(
        self,
        source: DaySource,
        settings: Settings,
        options: EveryDayOptions,
        read_settings: Callable[[], Settings] | None = None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._options = options
        self._read_settings = read_settings
        self._contact = self._read_contact()
        self._found: dict[date, str] = {}  # what was last found in a session, for that to be news

    def run(self) -> None:
        """Go from session to session. Raises what is wrong from the start, and SchemaIsNewer."""
        folder = self._settings.folder(self._source.kind)
        with hold_collector_lock(folder / "spool", LOCK):
            plan = self._source.plan(self._settings)
            require_pace(plan, self._settings.kis)
            check_addresses(self._settings.alerts)
            self._begin_log(plan)
            self._look_at_database()
            wanted = self._options.sessions
            for _ in count() if wanted is None else range(wanted):
                plan = self._persist("the plan of the next session", self._plan_next) or plan
                self._contact.told.clear()
                self._begin_log(plan)
                self._sleep_until(plan)
                if plan.universes:  # since it was made another day may have begun
                    plan = self._persist("the plan with the day's stocks", self._plan_next) or plan
                self._collect(plan)

    def _look_at_database(self) -> None:
        """Open the database once: what is wrong with it from the start is said at once."""
        try:
            with self._open_database(fresh=self._options.fresh):
                pass
        except _AT_ONCE:
            raise
        except Exception as error:  # noqa: BLE001 - it is opened again for the session
            log.error("❌ the database cannot be opened now: %s", describe(error))

    def _open_database(self, *, fresh: bool = False) -> AbstractContextManager[Database]:
        return open_database(
            self._source.kind, settings=self._settings, fresh=fresh, collects=True, patient=True
        )

    def _plan_next(self) -> DayPlan:
        self._refresh_settings()
        return self._source.plan(self._settings)

    def _refresh_settings(self) -> None:
        """Read the settings again; those that cannot be used change nothing."""
        if self._read_settings is None:
            return
        try:
            found = self._read_settings()
            check_addresses(found.alerts)
            if self._source.kind == "live" and not found.has_credentials:
                raise InputError("app_key and app_secret are gone")  # this does not simulate then
        except InputError as error:
            log.error("❌ the settings cannot be used, those of before are kept: %s", error)
            self._tell(
                stopped_component(self._contact.t, "settings", self._source.clock.now(), str(error))
            )
        else:
            self._settings = found
            told, amiss = self._contact.told, self._contact.amiss
            self._contact = replace(self._read_contact(), told=told, amiss=amiss)

    def _read_contact(self) -> Contact:
        return contact_of(self._settings) if self._source.kind == "live" else Contact()

    def _begin_log(self, plan: DayPlan) -> None:
        begin_log(plan.day, self._source.clock, self._settings, self._source.kind)

    def _sleep_until(self, plan: DayPlan) -> None:
        self._source.wait(self._source.begin_of(plan), plan.name)

    def _collect(self, plan: DayPlan) -> None:
        """Collect a session, however often it has to be begun again, until the next is near."""
        last = max(session.sealed_at for session in plan.sessions) + LAST_TRY
        self._persist(f"the session {plan.name}", partial(self._collect_once, plan), until=last)

    def _collect_once(self, plan: DayPlan) -> None:
        stats = DayStatistics(plan, simulated=self._source.kind == "simulation")
        show = partial(show_day, stats, self._source.clock, quiet=self._options.quiet)
        try:
            with self._open_database() as database, show(database):
                asyncio.run(self._go_through(database, stats))
        except KeyboardInterrupt:
            stats.interrupted = stats.minutes is None
            self._options.on_day(stats)
            raise
        finally:
            self._begin_log(plan)  # the view has gone
        self._options.on_day(stats)
        if stats.closed:  # else it would be the next session again
            self._source.wait(max(session.sealed_at for session in plan.sessions), None)

    async def _go_through(self, database: Database, stats: DayStatistics) -> None:
        """Collect a session; when it is over, validate it and export what is sealed."""
        await self._source.collect(stats.plan, self._contact)(database, stats)
        if stats.closed:
            return
        clock, day = self._source.clock, stats.day
        folder = self._options.export or self._settings.export_folder
        store = Store(database.url, clock, component="evening")
        try:
            async with open_alerts(self._contact, clock) as alerts:
                evening = Evening(store, alerts, self._found)
                await evening.attempt(f"the validation of {day}", partial(evening.validate, day))
                if folder:
                    await evening.attempt(f"the export of {day}", partial(evening.export, folder))
        finally:
            await store.close()

    def _persist(
        self, what: str, job: Callable[[], Result], *, until: datetime | None = None
    ) -> Result | None:
        """Run a job, again after pauses that grow; None if it still fails `until` a moment."""
        for failures in count(1):
            try:
                return job()
            except SchemaIsNewer as error:
                self._tell(
                    stopped_component(
                        self._contact.t, "collector", self._source.clock.now(), str(error)
                    )
                )
                raise
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it goes on
                why = describe(error)
                again = self._source.clock.now() + timedelta(
                    seconds=BETWEEN_TRIES.wait_after(failures)
                )
                self._tell(
                    stopped_component(self._contact.t, "collector", self._source.clock.now(), why)
                )
                if until and again >= until:
                    log.error("❌ %s came to nothing: %s", what, why)
                    return None
                log.error("❌ %s failed, next try at %s: %s", what, f"{again:%H:%M:%S}", why)
                self._source.wait(again, None)
        return None

    def _tell(self, event: Event) -> None:
        """Send an alert now, from outside of a session."""

        async def send() -> None:
            async with open_alerts(self._contact, self._source.clock) as alerts:
                alerts.tell(event)

        if self._contact.addresses:
            asyncio.run(send())


def before_open(plan: DayPlan) -> datetime:
    """Return a moment that leaves time to open the database before the day's work begins."""
    return plan.begins - BEFORE_OPEN
