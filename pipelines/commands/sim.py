"""`just sim`: the KIS simulator on its own, for any KIS client to talk to."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
from pathlib import Path

from engine.clock import ScaledClock, WallClock
from engine.errors import InputError
from engine.history.bar_file_times import BarTimes
from engine.log import setup_logging
from engine.settings import load_settings
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.market.data import MarketData
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import serve
from pipelines.commands.options import (
    BarTimesOption,
    Day,
    PortOrAny,
    RecordedFile,
    Seed,
    require_file,
    require_free_port,
    time_of_day,
)
from pipelines.simulation import (
    FEED,
    SEED,
    SimulatedDay,
    app_keys,
    first_open,
    latest_session,
    parse_speed,
    recorded_day,
    synthetic_day,
)

log = logging.getLogger(__name__)


def sim(
    *,
    port: PortOrAny = 9443,
    recorded: RecordedFile = None,
    bar_times: BarTimesOption = None,
    date: Day = None,
    start: str | None = None,
    speed: str = "1",
    faults: str | None = None,
    app_key: str | None = None,
    app_secret: str | None = None,
    seed: Seed = SEED,
) -> int:
    """Serve a simulated KIS on the loopback until Ctrl+C.

    Parameters
    ----------
    port
        where it listens on 127.0.0.1; 0 for any free one
    date
        the session to serve, YYYY-MM-DD or today; the latest one by default
    start
        the time of day (KST, HH:MM) at which its clock starts; by default the present time, for an
        older date the open
    speed
        how much faster than the wall clock its time goes by
    faults
        rough, storm, limit_down, or your own TOML file
    app_key
        the key that it accepts, such as your client's; by default one of its own
    app_secret
        the secret of that key
    seed
        of the synthetic market
    """
    require_file("--recorded", recorded, bar_times)
    load_settings()  # a broken configuration is reported here as everywhere
    times = parse_speed(speed)
    if times == math.inf:
        raise InputError("--speed max is for `just live`, whose clock waits for its work: give N")
    if port:
        require_free_port("127.0.0.1", port)
    keys = _keys(app_key, app_secret)
    now = WallClock().now()
    simulated = _simulated(recorded, bar_times, seed, date, now.date())
    clock = ScaledClock(_start(simulated.day, start, now), times)
    setup_logging(clock=clock)
    asyncio.run(_serve(simulated.market, clock, port, faults, keys))
    return 0


def _simulated(
    recorded: Path | None,
    bar_times: BarTimes | None,
    seed: int,
    day: dt.date | None,
    today: dt.date,
) -> SimulatedDay:
    """Return what is served; today even if it is closed, for KIS answers on closed days, too."""
    if recorded:
        return recorded_day(recorded, day, bar_times)
    if day == today:
        return SimulatedDay(SyntheticMarket(seed), today, FEED)
    return synthetic_day(seed, day or latest_session(today), today)


def _start(day: dt.date, start: str | None, now: dt.datetime) -> dt.datetime:
    """Return when the simulated clock starts: today and on the latest session, at this time."""
    if start:
        return dt.datetime.combine(day, time_of_day("--start", start))
    if day in {now.date(), latest_session(now.date())}:
        return dt.datetime.combine(day, now.time())
    return first_open(day)


def _keys(app_key: str | None, app_secret: str | None) -> dict[str, str]:
    """Return the key that is let in and its secret; raises InputError if only one is given."""
    if not app_key and not app_secret:
        return app_keys()
    if not app_key or not app_secret:
        raise InputError("--app-key and --app-secret belong together: give both")
    return {app_key: app_secret}


async def _serve(
    market: MarketData, clock: ScaledClock, port: int, faults: str | None, keys: dict[str, str]
) -> None:
    scenario = load_scenario(faults) if faults else None
    # Its clients have a real clock: tokens live by that one, whatever day is served.
    async with serve(
        market, clock, faults=scenario, app_keys=keys, token_clock=WallClock(), port=port
    ) as simulator:
        (key, secret), *_ = keys.items()
        log.info(
            "🚀 a simulated KIS at %s, its feed at %s, app_key %s, app_secret %s; Ctrl+C ends it",
            simulator.base_url,
            simulator.stream_url,
            key,
            secret,
        )
        await asyncio.Event().wait()
