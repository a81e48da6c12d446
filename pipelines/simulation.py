"""A simulated KIS around a job: which market it serves, and the settings to talk to it.

The collector cannot tell it from KIS: the base address and the app key are all that differs.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

from pydantic import SecretStr

from engine.clock import Clock, VirtualClock
from engine.errors import InputError
from engine.history.bar_file_times import BarTimes
from engine.market import sessions
from engine.market.symbols import FrontMonth, Stock, parse, parse_chain
from engine.settings import AppKey, KisSettings, Settings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.data import MarketData
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import APP_KEYS, Simulator, serve
from engine.store.connection import Connection, fetch_frame
from pipelines.feed import Feed, configured_feed

_FASTEST = 1_000_000  # times the wall clock: a day is over before it is asked for
BEFORE_OPEN = timedelta(minutes=15)  # time for the warm-up and for the simulated KIS to start
FEED = Feed(("005930", "000660", "035420"), ("A01",), (parse_chain("front"),))
_APP_KEY, _APP_SECRET = next(iter(APP_KEYS.items()))
KEY = AppKey(app_key=SecretStr(_APP_KEY), app_secret=SecretStr(_APP_SECRET))
SEED = 20  # of the synthetic market, unless another is asked for
_SEED = "seed "  # how a database names a synthetic market; a recorded one is:
_RECORDED = "recorded"
_DESCRIPTIONS = {_RECORDED: "of a recorded file (--recorded)"}


@dataclass(frozen=True)
class SimulatedDay:
    """A simulated day: its market, and what is worth collecting from it."""

    market: MarketData
    day: date
    feed: Feed


def simulated_feed(settings: Settings) -> Feed:
    """Return what is collected of a made-up day: what the settings say, of stocks a few if none."""
    feed = configured_feed(settings)
    return feed if feed.stocks or feed.universes else replace(feed, stocks=FEED.stocks)


def recorded_day(file: Path, day: date | None, times: BarTimes | None = None) -> SimulatedDay:
    """Serve a file's bars: its futures with a chain around them, its stocks likewise.

    Raises InputError where the file, its columns or the date's bars are missing.
    """
    market = RecordedMarket(file, times)
    if day is None:
        raise InputError(f"--recorded needs --date, one of the sessions in {file.name}")
    market.require(day)
    symbols = [symbol for symbol in market.symbols if day in market.dates(symbol)]
    stocks = tuple(symbol for symbol in symbols if isinstance(parse(symbol), Stock))
    futures = tuple(collected_symbols([symbol for symbol in symbols if symbol not in stocks]))
    chains = (parse_chain("front"),) if "A01" in futures else ()
    return SimulatedDay(market, day, Feed(stocks, futures, chains))


def collected_symbols(names: Sequence[str]) -> list[str]:
    """Return a file's symbols as they are collected: A01_FRONT is the product A01."""
    symbols = [(name, parse(name)) for name in names]
    return [s.product.prefix if isinstance(s, FrontMonth) else name for name, s in symbols]


def latest_session(today: date) -> date:
    """Return today if it is a session, else the last one before."""
    if sessions.session(sessions.Market.DERIVATIVES, today) is not None:
        return today
    return sessions.previous_sessions(sessions.Market.DERIVATIVES, today, 1)[0]


def synthetic_day(seed: int, day: date | None, today: date) -> SimulatedDay:
    """Make up a day: the given one, else the last whole one. Raises InputError on a closed day."""
    if day is None:
        day = sessions.previous_sessions(sessions.Market.DERIVATIVES, today, 1)[0]
    if sessions.session(sessions.Market.DERIVATIVES, day) is None:
        raise _closed(day)
    return SimulatedDay(SyntheticMarket(seed), day, FEED)


def first_open(day: date) -> datetime:
    """Return when the first market opens on the day. Raises InputError on a closed day."""
    markets = (sessions.Market.STOCKS, sessions.Market.DERIVATIVES)
    opens = [s.opens for market in markets if (s := sessions.session(market, day))]
    if not opens:
        raise _closed(day)
    return min(opens)


def _closed(day: date) -> InputError:
    return InputError(f"KRX has no session on {day}; `just calendar {day.year}` lists them")


def start_clock(simulated: SimulatedDay, speed: float, start: time | None = None) -> VirtualClock:
    """Return a virtual clock of the day that starts then, or 15 minutes before the first open."""
    day = simulated.day
    begin = datetime.combine(day, start) if start else first_open(day) - BEFORE_OPEN
    return VirtualClock(begin, speed)


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
    market: MarketData, clock: Clock, settings: KisSettings, faults: Scenario | None = None
) -> AsyncIterator[tuple[KisSettings, Simulator]]:
    """Serve the market on the loopback; yield the settings that lead there, and the server."""
    async with serve(market, clock, faults=faults, app_keys=app_keys()) as simulator:
        own = settings.model_copy(
            update={
                "base_url": simulator.base_url,
                "master_url": simulator.base_url + MASTER_PATH,
                "app_keys": (KEY,),
            }
        )
        yield own, simulator


def market_of_database(url: str, asked: MarketData | None) -> MarketData:
    """Return the market to collect from: the one asked for, else the one the database began with.

    The first job that collects chooses, and the database remembers it: another market would not
    fail, a backfill would correct every bar into bars of its own. Raises InputError if another is
    asked for, or none where only the recorded file has the bars.
    """
    wanted = _market_name(asked) if asked else f"{_SEED}{SEED}"
    remembered = _remember_market(url, wanted)
    if remembered == wanted:
        return asked or SyntheticMarket(SEED)
    if asked is None and remembered.startswith(_SEED):
        return SyntheticMarket(int(remembered.removeprefix(_SEED)))
    raise InputError(
        f"the database holds a simulation {_description(remembered)}, and this one is"
        f" {_description(wanted)}: go on with the same, or empty it with `just live --fresh`"
    )


def _market_name(market: MarketData) -> str:
    if isinstance(market, SyntheticMarket):
        return f"{_SEED}{market.seed}"
    assert isinstance(market, RecordedMarket)  # noqa: S101 - commands know no other
    return _RECORDED


def _description(name: str) -> str:
    return _DESCRIPTIONS.get(name, f"of {name}")


def _remember_market(url: str, wanted: str) -> str:
    """Return the market in the database; the wanted one if there was none."""
    connection = Connection(url, "market")
    try:
        with connection.transaction() as cursor:
            cursor.execute(
                "INSERT INTO simulated_market (market) VALUES ($1) ON CONFLICT DO NOTHING",
                (wanted,),
            )
            remembered: str = fetch_frame(cursor, "SELECT market FROM simulated_market").item()
    finally:
        connection.close()
    return remembered
