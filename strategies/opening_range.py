"""Opening-range breakout: the example of how little a strategy is.

The first minutes of a session span a range; a later close outside it is followed. Crabel, "Day
Trading with Short Term Price Patterns and Opening Range Breakout" (1990), without his filters.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from pydantic import Field

from engine.features import bars as bar
from strategies.base import Params, computed_columns, signal_schema, trade_signal
from strategies.minutes_from_open import min_from_open


class OpeningRangeParams(Params):
    """The parameters of the opening-range breakout."""

    range_minutes: int = Field(default=30, ge=1, le=360, description="minutes that span the range")


class OpeningRange:
    """Opening-range breakout as a `Strategy`: ub and lb are the range's high and low, in points."""

    name = "opening_range"
    table = "opening_range_signal"
    params = OpeningRangeParams
    nights = False
    schema = signal_schema(("min_from_open", pa.int64()))  # minutes since the first stamp

    def warm_up_sessions(self, params: OpeningRangeParams) -> int:  # noqa: ARG002
        """Return 0: no session needs the one before."""
        return 0

    def evaluate(self, bars: pl.LazyFrame, params: OpeningRangeParams) -> pl.LazyFrame:
        """Return a row for each bar: `range_forming`, then `breakout_up`, `_down` or `none`."""
        forming = pl.col("min_from_open") < params.range_minutes
        high = pl.when(forming).then("high").cum_max().forward_fill().over("session_number")
        low = pl.when(forming).then("low").cum_min().forward_fill().over("session_number")
        up = ~forming & (pl.col("close") > high)
        down = ~forming & (pl.col("close") < low)
        reason = (
            pl.when(forming)
            .then(pl.lit("range_forming"))
            .when(up)
            .then(pl.lit("breakout_up"))
            .when(down)
            .then(pl.lit("breakout_down"))
            .otherwise(pl.lit("none"))
        )
        return (
            bar.in_order(bars)
            .with_columns(min_from_open().alias("min_from_open"))
            .with_columns(
                (up.cast(pl.Int64) - down.cast(pl.Int64)).fill_null(0).alias("monitor_signal"),
                reason.alias("reason"),
                pl.when(~forming).then(high).alias("ub"),
                pl.when(~forming).then(low).alias("lb"),
            )
            .with_columns(trade_signal(params).alias("trade_signal"))
            .select(computed_columns(self.schema))
        )
