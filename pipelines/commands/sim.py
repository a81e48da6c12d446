"""`krt sim`: the KIS simulator on its own, for any KIS client to talk to."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
from pathlib import Path

from engine.clock import ScaledClock, WallClock, today
from engine.configuration import load
from engine.errors import InputError
from engine.log import setup_logging
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.server import serve
from pipelines.commands.options import PortOrAny, Seed, time_of_day
from pipelines.commands.serving import must_be_free
from pipelines.simulation import (
    Scene,
    app_keys,
    opening,
    parse_speed,
    recorded,
    synthetic,
)

log = logging.getLogger(__name__)


def sim(
    *,
    port: PortOrAny = 9443,
    replay: Path | None = None,
    date: dt.date | None = None,
    start: str | None = None,
    speed: str = "1",
    faults: str | None = None,
    seed: Seed = 20,
) -> int:
    """Serve a simulated KIS on the loopback until Ctrl+C.

    Parameters
    ----------
    port
        where it listens on 127.0.0.1; 0 for any free one
    replay
        serve the bars of this Parquet file instead of synthetic ones
    date
        the session to serve; the latest one by default
    start
        the time of day (KST, HH:MM) at which its clock starts; the open by default
    speed
        how much faster than the wall clock its time goes by
    faults
        rough, storm, or a TOML file of yours
    seed
        of the synthetic market
    """
    load()  # a broken configuration is told here as everywhere
    times = parse_speed(speed)
    if times == math.inf:
        raise InputError("--speed max is for `krt live`, whose clock waits for its work: give N")
    if port:
        must_be_free("127.0.0.1", port)
    scene = recorded(replay, date) if replay else synthetic(seed, date, today(WallClock()))
    begins = opening(scene.day)
    if start:
        begins = dt.datetime.combine(scene.day, time_of_day("--start", start))
    clock = ScaledClock(begins, times)
    setup_logging(clock=clock)
    asyncio.run(_serve(scene, clock, port, faults))
    return 0


async def _serve(scene: Scene, clock: ScaledClock, port: int, faults: str | None) -> None:
    scenario = load_scenario(faults) if faults else None
    async with serve(
        scene.market, clock, faults=scenario, app_keys=app_keys(), port=port
    ) as simulator:
        (key, secret), *_ = app_keys().items()
        log.info(
            "🚀 a simulated KIS at %s, app_key %s, app_secret %s; Ctrl+C ends it",
            simulator.base_url,
            key,
            secret,
        )
        await asyncio.Event().wait()
