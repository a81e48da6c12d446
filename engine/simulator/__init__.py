"""A KIS that answers like KIS, faults included: `async with serve(market, clock) as simulator`."""

from engine.simulator.answers import RecordedAnswers
from engine.simulator.faults import Scenario, load_scenario, shipped_scenarios
from engine.simulator.market import MarketData
from engine.simulator.recorded import RecordedMarket
from engine.simulator.server import APP_KEYS, Counts, Simulator, serve
from engine.simulator.synthetic import SyntheticMarket

__all__ = [
    "APP_KEYS",
    "Counts",
    "MarketData",
    "RecordedAnswers",
    "RecordedMarket",
    "Scenario",
    "Simulator",
    "SyntheticMarket",
    "load_scenario",
    "serve",
    "shipped_scenarios",
]
