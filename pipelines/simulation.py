"""A simulated KIS around a job: which market it serves, and the settings to talk to it.

The collector cannot tell it from KIS: the base address and the app key are all that differs.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from engine.clock import Clock, VirtualClock
from engine.configuration import Configuration
from engine.errors import InputError
from engine.market import instruments, sessions
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.data import MarketData
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import Simulator, serve
from pipelines.feed import ChainChoice, Feed

_FASTEST = 1_000_000  # times the wall clock: a day is over before it is asked for
BEFORE_OPEN = timedelta(minutes=15)  # time for the warm-up, and for the simulated desk to sit down
FEED = Feed(("005930", "000660", "035420"), ("A01",), (ChainChoice(),))
KEY = AppKey(app_key=SecretStr("simulated-app-key"), app_secret=SecretStr("simulated-app-secret"))


@dataclass(frozen=True)
class Scene:
    """A simulated day: its market, and what is worth collecting from it."""

    market: MarketData
    day: date
    feed: Feed


def recorded(file: Path, day: date | None) -> Scene:
    """Serve a Parquet file's bars: its futures with a chain around them, its stocks likewise.

    Raises InputError where the file, its columns or the date's bars are missing.
    """
    market = RecordedMarket(file)
    if day is None:
        raise InputError(f"--replay needs --date, one of the sessions in {file.name}")
    market.require(day)
    symbols = [symbol for symbol in market.symbols if day in market.dates(symbol)]
    stocks = tuple(s for s in symbols if sessions.market_of(s) is sessions.Market.STOCKS)
    futures = tuple(symbols_of([symbol for symbol in symbols if symbol not in stocks]))
    chains = (ChainChoice(),) if "A01" in futures else ()
    return Scene(market, day, Feed(stocks, futures, chains))


def symbols_of(names: Sequence[str]) -> list[str]:
    """Return a file's symbols as they are collected: A01_FRONT is the product A01."""
    return [name[:3] if instruments.is_front(name) else name for name in names]


def synthetic(seed: int, day: date | None, today: date) -> Scene:
    """Make up a day: the given one, else the latest session. Raises InputError on a closed day."""
    if day is None:
        day = sessions.previous_sessions(sessions.Market.DERIVATIVES, today, 1)[0]
    if sessions.session(sessions.Market.DERIVATIVES, day) is None:
        raise InputError(f"{day} is no session of KRX; `krt calendar {day.year}` lists them")
    return Scene(SyntheticMarket(seed), day, FEED)


def opening(day: date) -> datetime:
    """Return when the first market opens on the day. Raises InputError on a closed day."""
    markets = (sessions.Market.STOCKS, sessions.Market.DERIVATIVES)
    found = [s.opens for market in markets if (s := sessions.session(market, day))]
    if not found:
        raise InputError(f"{day} is no session of KRX; `krt calendar {day.year}` lists them")
    return min(found)


def clock_of(scene: Scene, speed: float) -> VirtualClock:
    """Return a virtual clock that stands a quarter of an hour before the day's first open."""
    return VirtualClock(opening(scene.day) - BEFORE_OPEN, speed)


def app_keys() -> dict[str, str]:
    """Return the app keys that the simulator takes, with their secrets."""
    return {KEY.app_key.get_secret_value(): KEY.app_secret.get_secret_value()}


def parse_speed(text: str) -> float:
    """Read `max` or a number of at least 1. Raises InputError."""
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= _FASTEST:
        raise InputError(f"--speed {text}: give 1 (wall clock) to {_FASTEST:,}, or max")
    return speed


@asynccontextmanager
async def simulated_kis(
    scene: Scene, clock: Clock, configuration: Configuration, faults: Scenario | None = None
) -> AsyncIterator[tuple[KisSettings, Simulator]]:
    """Serve the scene on the loopback; yield the settings that lead there, and the server."""
    async with serve(scene.market, clock, faults=faults, app_keys=app_keys()) as simulator:
        settings = configuration.kis.model_copy(
            update={
                "base_url": simulator.base_url,
                "master_url": simulator.base_url + MASTER_PATH,
                "app_keys": (KEY,),
            }
        )
        yield settings, simulator
