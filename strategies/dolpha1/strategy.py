"""dolpha1 as a `Strategy`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from math import ceil

import polars as pl
import pyarrow as pa

from engine.features.bars import sessions_at_hand
from strategies.base import computed_columns, signal_schema, trade_signal
from strategies.dolpha1 import few_bars
from strategies.dolpha1.features import with_bands, without_bands
from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params
from strategies.dolpha1.signals import monitor_signal, reason

_FEWEST_BARS_A_SESSION = 300  # a session that opened late and closed early still has these
_SPARE = 4  # a minute may be missing from three of four sessions before history falls short

DOLPHA1_SIGNAL = signal_schema(
    ("atr", pa.float64()),  # index points
    ("move_open", pa.float64()),  # |close / open of the session - 1|
    ("sigma_open", pa.float64()),  # its mean at this minute of the sessions before
    ("vwap", pa.float64()),  # index points
    ("min_from_open", pa.int64()),  # minutes since the session's first stamp
)


class Dolpha1:
    """Long above the upper band and VWAP, short below the lower band and VWAP."""

    name = "dolpha1"
    table = "dolpha1_signal"
    schema = DOLPHA1_SIGNAL
    params = Dolpha1Params
    nights = False
    shared_by = frozenset({"atr_period", "rolling_move"})

    def warm_up_sessions(self, params: Dolpha1Params) -> int:
        """Return the sessions before a bar's own that its final signal needs.

        sigma_open takes the last `rolling_move` sessions *that have the minute*, so sessions with
        gaps reach further back; four times as many leave room for that.
        """
        bars = max(params.atr_period + 1, ENOUGH_BARS)
        return max(_SPARE * params.rolling_move, ceil(bars / _FEWEST_BARS_A_SESSION))

    def history(self, bars: pl.DataFrame, params: Dolpha1Params) -> pl.DataFrame:
        """Return what `bars_needed` chooses from; see `strategies.base.NeedsFewBars`."""
        return few_bars.history(bars, params)

    def bars_needed(
        self,
        earlier: pl.DataFrame,
        session: pl.DataFrame,
        stamps: Collection[datetime],
        params: Dolpha1Params,
    ) -> pl.DataFrame | None:
        """Return the bars that the newest rows need; see `strategies.base.NeedsFewBars`."""
        return few_bars.bars_needed(earlier, session, stamps, params)

    def evaluate(self, bars: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
        """Return dolpha1's row for each bar; see `strategies.base.Strategy.evaluate`."""
        return self.signals(self.shared(bars, params), params)

    def shared(self, bars: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
        """Return the features that trials share; see `strategies.base.SharesFeatures`."""
        return without_bands(bars, params).with_columns(
            sessions_at_hand().alias("sessions_at_hand")
        )

    def signals(self, shared: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
        """Return dolpha1's row for each bar; see `strategies.base.SharesFeatures`."""
        return (
            with_bands(shared, params)
            .with_columns(monitor_signal(params).alias("monitor_signal"))
            .with_columns(
                reason().alias("reason"),
                trade_signal(params).alias("trade_signal"),
            )
            .select(computed_columns(self.schema))
        )
