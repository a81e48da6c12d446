"""`just sim`: the KIS simulator on its own, for any KIS client to talk to."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
from pathlib import Path

from engine.clock import ScaledClock, WallClock, today
from engine.errors import InputError
from engine.log import setup_logging
from engine.settings import load_settings
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.market.data import MarketData
from engine.simulator.server import serve
from pipelines.commands.options import Day, PortOrAny, Seed, require_free_port, time_of_day
from pipelines.simulation import (
    SEED,
    app_keys,
    first_open,
    parse_speed,
    recorded_day,
    synthetic_day,
)

log = logging.getLogger(__name__)


def sim(
    *,
    port: PortOrAny = 9443,
    recorded: Path | None = None,
    date: Day = None,
    start: str | None = None,
    speed: str = "1",
    faults: str | None = None,
    seed: Seed = SEED,
) -> int:
    """Serve a simulated KIS on the loopback until Ctrl+C.

    Parameters
    ----------
    port
        where it listens on 127.0.0.1; 0 for any free one
    recorded
        serve the bars of this Parquet file instead of synthetic ones
    date
        the session to serve; the latest one by default
    start
        the time of day (KST, HH:MM) at which its clock starts; the open by default
    speed
        how much faster than the wall clock its time goes by
    faults
        rough, storm, or your own TOML file
    seed
        of the synthetic market
    """
    load_settings()  # a broken configuration is reported here as everywhere
    times = parse_speed(speed)
    if times == math.inf:
        raise InputError("--speed max is for `just live`, whose clock waits for its work: give N")
    if port:
        require_free_port("127.0.0.1", port)
    simulated = (
        recorded_day(recorded, date) if recorded else synthetic_day(seed, date, today(WallClock()))
    )
    begins = first_open(simulated.day)
    if start:
        begins = dt.datetime.combine(simulated.day, time_of_day("--start", start))
    clock = ScaledClock(begins, times)
    setup_logging(clock=clock)
    asyncio.run(_serve(simulated.market, clock, port, faults))
    return 0


async def _serve(market: MarketData, clock: ScaledClock, port: int, faults: str | None) -> None:
    scenario = load_scenario(faults) if faults else None
    async with serve(market, clock, faults=scenario, app_keys=app_keys(), port=port) as simulator:
        (key, secret), *_ = app_keys().items()
        log.info(
            "🚀 a simulated KIS at %s, app_key %s, app_secret %s; Ctrl+C ends it",
            simulator.base_url,
            key,
            secret,
        )
        await asyncio.Event().wait()
