"""`just live`: a trading day, real where there are KIS credentials, else simulated."""

from __future__ import annotations

import gc
import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from engine.errors import InputError
from engine.market.symbols import parse_chain
from engine.settings import load_settings
from pipelines.commands.options import (
    BarTimesOption,
    Day,
    RecordedFile,
    Seed,
    SessionCount,
    require_file,
    require_folder,
    require_writable,
    time_of_day,
)
from pipelines.console import PlainConsole
from pipelines.day.every_day import EveryDayOptions, run_every_day
from pipelines.day.live import DEFAULT_SPEED, Simulation, run
from pipelines.day.statistics import DayStatistics
from pipelines.day.summary import summary
from pipelines.doctor.settings_checks import placeholders
from pipelines.feed import Feed, read_stocks, with_wishes
from pipelines.reports.terminal import print_json
from pipelines.simulation import SEED
from pipelines.texts import Texts, texts_for


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
    every_day: bool = False,
    sessions: SessionCount = None,
    export: Path | None = None,
) -> int:
    """Run a trading day: simulated without KIS credentials, real with them.

    Parameters
    ----------
    date
        the session to simulate; the latest one by default
    speed
        of a simulation: 1 (wall clock), N times faster, or max; by default 480
        times, a minute a day, if the machine is that fast
    start
        of a simulation: the time of day (KST, HH:MM) at which the collector is started; by default
        a quarter of an hour before the open
    fresh
        empty the simulation's database first, and its spool (the embedded one only)
    json
        print the summary as one JSON object on the last line, and no live view
    faults
        make the simulated KIS misbehave: rough, storm, or your own TOML file; limit_down crashes
        the market
    seed
        of the synthetic market; the same seed gives the same day; a database keeps to one seed
    simulate
        simulate although there are credentials
    stock
        collect this stock or universe (KOSPI200, ETF …); may be repeated, as --future and --chain
        may; the three replace what the settings name
    future
        collect this futures code, or the front month of this product
    chain
        collect this option chain: front, a maturity, or SERIES:MATURITY
    picture
        save the view as it stands at the end to this SVG file
    every_day
        go on from session to session until it is stopped: collect, validate, export
    sessions
        with --every-day: end after so many sessions
    export
        with --every-day: keep a Parquet copy in this folder, as the setting export_folder does
    """
    require_file("--recorded", recorded, bar_times)
    settings = load_settings()
    simulated = bool(recorded or simulate or faults) or not settings.has_credentials
    if not simulated and (odd := {n for key in settings.kis.app_keys for n in placeholders(key)}):
        raise InputError(
            f"not what KIS gives: {' and '.join(sorted(odd))}; put your own into config.json,"
            " or add --simulate"
        )
    if not simulated and (date or speed or start):
        raise InputError("--date, --speed and --start belong to a simulation: add --simulate")
    chains = tuple(parse_chain(text) for text in chain)
    universes, codes = read_stocks(stock)
    feed = with_wishes(Feed(codes, future, chains, universes=universes), settings)
    at = time_of_day("--start", start) if start else None
    simulation = Simulation(recorded, date, speed or DEFAULT_SPEED, faults, seed, bar_times, at)
    if picture:
        require_writable(picture)  # refused now, not at the end of the day
    if export:
        require_folder("--export", export)
    show = partial(_show, as_json=json, t=texts_for(settings.language))
    with _loaded_for_good():
        if every_day:
            if recorded or picture:
                raise InputError("--every-day plays no file and saves no picture")
            options = EveryDayOptions(sessions, export, fresh=fresh, quiet=json, on_day=show)
            with suppress(KeyboardInterrupt):  # which is how it is meant to end
                run_every_day(
                    feed or None, simulation=simulation if simulated else None, options=options
                )
            return 0
        if sessions or export:
            raise InputError("--sessions and --export belong to --every-day")
        stats = run(
            feed or None,
            simulation=simulation if simulated else None,
            settings=settings,
            fresh=fresh,
            quiet=json,
            picture=picture,
        )
        show(stats)
        if stats.interrupted:
            return 130
        return 1 if stats.spooled else 0


@contextmanager
def _loaded_for_good() -> Iterator[None]:
    """Leave what is loaded by now out of the search for garbage.

    It would take a tenth of a second, now and then in the very moment in which a minute ends. At
    the end it is let go again: else libraries find at the exit that their objects have leaked.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _show(stats: DayStatistics, *, as_json: bool, t: Texts) -> None:
    if as_json:
        print_json(jsonlib.dumps(stats.as_json(), ensure_ascii=False))
    else:
        PlainConsole().print(summary(stats, t))
