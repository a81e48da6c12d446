"""A KIS that answers like KIS, faults included: `async with serve(market, clock) as simulator`."""

from engine.simulator.market import MarketData
from engine.simulator.recorded import RecordedMarket
from engine.simulator.server import Simulator, serve
from engine.simulator.synthetic import SyntheticMarket

__all__ = ["MarketData", "RecordedMarket", "Simulator", "SyntheticMarket", "serve"]
