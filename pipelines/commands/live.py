"""`krt live`: a trading day, real where there are KIS credentials, else simulated."""

from __future__ import annotations

import asyncio
import datetime as dt
import json as jsonlib
import logging
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from engine.clock import Clock, WallClock, today
from engine.configuration import Configuration, DatabaseConfiguration, load
from engine.errors import InputError
from engine.files import private_folder
from engine.log import setup_logging
from engine.simulator.faults.scenario import Scenario, load_scenario
from pipelines.commands.options import Seed, must_be_writable
from pipelines.databases import Kind, believe_kis_days, database, folder
from pipelines.day import view
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.feed import ChainChoice, DayPlan, Feed, plan
from pipelines.simulated_market import SEED, kept_market
from pipelines.simulation import (
    Scene,
    clock_of,
    parse_speed,
    recorded,
    simulated_kis,
    synthetic,
)

log = logging.getLogger(__name__)

DEFAULT_SPEED = "480"  # a day of 7½ hours in about a minute
SIMULATION = "🚀 this is a simulation"
HOW_TO_GO_LIVE = (
    "; with app_key and app_secret in config.json or KRT_APP_KEY and"
    " KRT_APP_SECRET in the environment the same command collects from KIS"
)


def live(
    *,
    replay: Path | None = None,
    date: dt.date | None = None,
    speed: str | None = None,
    fresh: bool = False,
    json: bool = False,
    faults: str | None = None,
    seed: Seed = SEED,
    simulate: bool = False,
    stock: tuple[str, ...] = (),
    future: tuple[str, ...] = (),
    chain: tuple[str, ...] = (),
    picture: Path | None = None,
) -> int:
    """Run a trading day: simulated without KIS credentials, real with them.

    Parameters
    ----------
    replay
        serve the bars of this Parquet file instead of synthetic ones (a simulation)
    date
        the session to simulate; the latest one by default
    speed
        of a simulation: 1 (wall clock), N times faster, or max; by default about a minute a day
    fresh
        empty the simulation's database first, and its spool (the embedded one only)
    json
        print the summary as one JSON object on the last line, and no live view
    faults
        make the simulated KIS misbehave: rough, storm, or a TOML file of yours
    seed
        of the synthetic market; the same seed gives the same day; a database keeps to one
    simulate
        simulate although there are credentials
    stock
        collect this stock; may be repeated, and so may the next two; they replace the settings
    future
        collect this futures code, or the front month of this product
    chain
        collect this option chain: front, a maturity, or SERIES:MATURITY
    picture
        save the view as it stands at the end to this SVG file
    """
    configuration, yours = load()
    simulated = bool(replay or simulate or faults) or not configuration.has_credentials
    if not simulated and (date or speed):
        raise InputError("--date and --speed belong to a simulation: add --simulate")
    feed = Feed(stock, future, tuple(ChainChoice.parse(text) for text in chain))
    if simulated:
        scene = _scene(replay, date, seed)
        clock: Clock = clock_of(scene, parse_speed(speed or DEFAULT_SPEED))
        stats = DayStatistics(plan(feed or scene.feed, scene.day), simulated=True)
        scenario = load_scenario(faults) if faults else None
        job = partial(_simulated, scene, scenario, configuration)
    else:
        clock = WallClock()
        believe_kis_days(configuration)
        stats = DayStatistics(
            next_plan(feed or configuration_feed(configuration), clock), simulated=False
        )
        job = partial(_real, configuration)
    kind: Kind = "simulation" if simulated else "live"
    if not stats.plan.sessions:
        raise InputError(f"nothing to collect on {stats.day}: {', '.join(stats.plan.skipped)}")
    if picture:
        must_be_writable(picture)  # told now, not at the end of the day
    with (
        database(configuration, yours, kind, fresh=fresh, collects=True) as url,
        _logged(stats, clock, configuration, yours, quiet=json),
    ):
        if simulated:
            log.info(SIMULATION if configuration.has_credentials else SIMULATION + HOW_TO_GO_LIVE)
        complete = _ran(job(clock, url, stats))
    if picture:
        view.save(stats, clock, picture)
    _end(stats, as_json=json, complete=complete)
    return 0 if complete else 130


def _ran(day: Coroutine[Any, Any, None]) -> bool:
    """Run the day; False if Ctrl+C broke it off, with everything committed that had come."""
    try:
        asyncio.run(day)
    except KeyboardInterrupt:
        return False
    return True


def _scene(replay: Path | None, day: dt.date | None, seed: int) -> Scene:
    return recorded(replay, day) if replay else synthetic(seed, day, today(WallClock()))


def configuration_feed(configuration: Configuration) -> Feed:
    """Return what the settings say is collected."""
    chains = tuple(ChainChoice.parse(text) for text in configuration.option_chains)
    return Feed(configuration.stocks, configuration.futures, chains)


def next_plan(feed: Feed, clock: Clock) -> DayPlan:
    """Return the plan of the session that is on or comes next. Raises CalendarRangeError."""
    day = today(clock)
    while True:
        found = plan(feed, day)
        if any(session.sealed_at > clock.now() for session in found.sessions):
            return found
        day += dt.timedelta(days=1)


async def _simulated(
    scene: Scene,
    faults: Scenario | None,
    configuration: Configuration,
    clock: Clock,
    url: str,
    stats: DayStatistics,
) -> None:
    kept_market(url, scene.market)
    with TemporaryDirectory(prefix="krt-") as here:  # its tokens and paces are of no use later
        paths = DayPaths(url, folder(configuration, "simulation") / "spool", Path(here))
        async with simulated_kis(scene, clock, configuration, faults) as (settings, simulator):
            await run_day(stats.plan, settings, clock, paths, stats)
            stats.refused = simulator.counts.refusals.total()


async def _real(configuration: Configuration, clock: Clock, url: str, stats: DayStatistics) -> None:
    here = folder(configuration, "live")
    paths = DayPaths(url, here / "spool", here / "kis")
    addresses = configuration.alerts
    await run_day(stats.plan, configuration.kis, clock, paths, stats, alert_addresses=addresses)


@contextmanager
def _logged(
    stats: DayStatistics,
    clock: Clock,
    configuration: Configuration,
    yours: DatabaseConfiguration,
    *,
    quiet: bool,
) -> Iterator[None]:
    """Log to a file of the day, and to the view on a terminal, else to standard error."""
    console = Console()
    drawn = console.is_terminal and not quiet
    lines = view.LastLines() if drawn else None
    kind: Kind = "simulation" if stats.simulated else "live"
    setup_logging(
        clock=clock,
        level=configuration.log_level,
        secrets=[*configuration.secrets(), *yours.secrets()],
        handler=lines,
        file=private_folder(folder(configuration, kind) / "logs") / f"live-{stats.day}.log",
    )
    with view.show_view(stats, clock, lines, console) if lines else nullcontext():
        yield


def _end(stats: DayStatistics, *, as_json: bool, complete: bool) -> None:
    if as_json:
        figures = stats.as_json() | {"complete": complete}
        sys.stdout.write(jsonlib.dumps(figures, ensure_ascii=False) + "\n")
    else:
        Console().print(view.summary(stats, complete=complete))
