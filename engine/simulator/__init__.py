"""A simulated KIS, faults included: `async with serve(market, clock) as simulator`."""

from engine.simulator.faults.scenario import Scenario, load_scenario, shipped_scenarios
from engine.simulator.market.data import MarketData
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import APP_KEYS, Counts, Simulator, serve

__all__ = [
    "APP_KEYS",
    "Counts",
    "MarketData",
    "RecordedMarket",
    "Scenario",
    "Simulator",
    "SyntheticMarket",
    "load_scenario",
    "serve",
    "shipped_scenarios",
]
