"""`just live`: a trading day, real where there are KIS credentials, else simulated."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

from engine.errors import InputError
from engine.market.symbols import parse_chain
from engine.settings import load_settings
from pipelines.commands.options import (
    BarTimesOption,
    Day,
    RecordedFile,
    Seed,
    require_file,
    require_writable,
    time_of_day,
)
from pipelines.console import PlainConsole
from pipelines.day import view
from pipelines.day.live import DEFAULT_SPEED, Simulation, run
from pipelines.feed import Feed
from pipelines.reports.terminal import print_json
from pipelines.simulation import SEED


def live(
    *,
    recorded: RecordedFile = None,
    bar_times: BarTimesOption = None,
    date: Day = None,
    speed: str | None = None,
    start: str | None = None,
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
    date
        the session to simulate; the latest one by default
    speed
        of a simulation: 1 (wall clock), N times faster, or max; by default about a minute a day
    start
        of a simulation: the time of day (KST, HH:MM) at which the collector is started; by default
        a quarter of an hour before the open
    fresh
        empty the simulation's database first, and its spool (the embedded one only)
    json
        print the summary as one JSON object on the last line, and no live view
    faults
        make the simulated KIS misbehave: rough, storm, or your own TOML file; limit_down: a crash
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
    require_file("--recorded", recorded, bar_times)
    settings = load_settings()
    simulated = bool(recorded or simulate or faults) or not settings.has_credentials
    if not simulated and (date or speed or start):
        raise InputError("--date, --speed and --start belong to a simulation: add --simulate")
    chains = tuple(parse_chain(text) for text in chain)
    feed = Feed(stock, future, chains, settings.night, settings.collect)
    at = time_of_day("--start", start) if start else None
    simulation = Simulation(recorded, date, speed or DEFAULT_SPEED, faults, seed, bar_times, at)
    if picture:
        require_writable(picture)  # refused now, not at the end of the day
    stats = run(
        feed or None,
        simulation=simulation if simulated else None,
        settings=settings,
        fresh=fresh,
        quiet=json,
        picture=picture,
    )
    if json:
        print_json(jsonlib.dumps(stats.as_json(), ensure_ascii=False))
    else:
        PlainConsole().print(view.summary(stats))
    if stats.interrupted:
        return 130
    return 1 if stats.spooled else 0
