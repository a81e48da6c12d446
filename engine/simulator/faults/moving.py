"""A market as a scenario moves and halts it."""

from __future__ import annotations

from datetime import date

from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.data import MarketData
from engine.simulator.market.moved import Move, MovedMarket, SymbolHalt


def moved_market(market: MarketData, scenario: Scenario, day: date) -> MarketData:
    """Return the market as the scenario leaves it on a day."""
    if not scenario.move and not scenario.halt:
        return market
    moves = [Move(move.at, move.by) for move in scenario.move]
    symbol_halts = [SymbolHalt(halt.symbol, halt.at, halt.minutes) for halt in scenario.halt]
    return MovedMarket(market, moves, day, symbol_halts)
