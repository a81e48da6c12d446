"""dolpha1: an intraday volatility-band breakout on the minute bars of a futures contract."""

from __future__ import annotations

import polars as pl

from engine.schemas import DOLPHA1_SIGNAL
from strategies.dolpha1 import params as parameters
from strategies.dolpha1 import signals
from strategies.dolpha1.params import Dolpha1Params


class Dolpha1:
    """dolpha1 as a `Strategy`."""

    name = "dolpha1"
    table = "dolpha1_signal"
    schema = DOLPHA1_SIGNAL
    params = Dolpha1Params

    def warm_up_sessions(self, params: Dolpha1Params) -> int:
        """Return the sessions before a bar's own that its final signal needs."""
        return parameters.warm_up_sessions(params)

    def evaluate(self, bars: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
        """Return dolpha1's row for each bar."""
        return signals.evaluate(bars, params)
