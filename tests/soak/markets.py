"""What the market does in a session: nothing special, a crash, widened limits, halts of a stock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, time

import polars as pl

from engine.market.sessions import Session
from engine.simulator.faults.moving import moved_market
from engine.simulator.faults.scenario import Halt, MarketMove, Scenario, load_scenario
from engine.simulator.market.data import MarketData, Stop

ORDINARY, CRASH, WIDE, HALTED = "ordinary", "limit_down", "wide limits", "stock halted"
WILD = {ORDINARY: 70, CRASH: 10, WIDE: 10, HALTED: 10}  # how often, of 100 sessions
STEPS = (0.075, 0.142, 0.182)  # of the index, at which futures stand at their limits
FIRST, LAST = 9 * 60 + 10, 15 * 60  # minutes of the day


def draw_market(chance: random.Random, stocks: Sequence[str]) -> tuple[str, Scenario]:
    """Return a kind of WILD and the scenario that moves the market so."""
    kind = chance.choices(list(WILD), list(WILD.values()))[0]
    if kind == CRASH:
        return kind, load_scenario("limit_down")
    if kind == WIDE:
        return kind, Scenario(move=_to_the_limits(chance))
    if kind == HALTED:
        begins = [(chance.choice(list(stocks)), chance.randrange(FIRST, LAST)) for _ in range(2)]
        halts = [
            Halt(symbol=code, at=_time(begin), minutes=chance.choice([2, 10, 30]))
            for code, begin in begins
        ]
        return kind, Scenario(halt=tuple(halts))
    return kind, Scenario()


def _to_the_limits(chance: random.Random) -> tuple[MarketMove, ...]:
    """Return a path to one, two or all steps of the limits, up or down, and part of it back.

    Downwards it meets the circuit breaker as well.
    """
    sign = chance.choice([-1, 1])
    far = chance.randint(1, len(STEPS))
    points = sorted(chance.sample(range(FIRST, LAST, 10), far + 3))
    by = [0.0, *STEPS[:far], STEPS[far - 1], STEPS[far - 1] / 3]
    return tuple(
        MarketMove(at=_time(at), by=sign * (move + (0.01 if move else 0.0)))
        for at, move in zip(points, by, strict=True)
    )


def _time(minute: int) -> time:
    return time(minute // 60, minute % 60)


class SeasonMarket:
    """A market of which some days are moved; `scenarios`: those days."""

    def __init__(self, market: MarketData, scenarios: dict[date, Scenario]) -> None:
        self._market = market
        self._days = {day: moved_market(market, one, day) for day, one in scenarios.items()}

    def bars(self, symbol: str, session: Session) -> pl.DataFrame:
        """Return the session's bars, as `MarketData` says."""
        return self._days.get(session.date, self._market).bars(symbol, session)

    def index(self, underlying: str, session: Session) -> pl.DataFrame:
        """Return the index, as `MarketData` says."""
        return self._days.get(session.date, self._market).index(underlying, session)

    def stops(self, day: date) -> Sequence[Stop]:
        """Return the stops of a day, as `MarketData` says."""
        return self._days.get(day, self._market).stops(day)
