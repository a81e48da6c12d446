"""What a strategy is: a pure function of bars. Live, replay and backtest call the same one.

Writing one takes a file (see `opening_range.py`), a line in `registry.py` and a test.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Literal, Protocol, TypeVar, runtime_checkable

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from engine.columns import literal_time
from engine.schemas import TIME, conform

# Windows need whole sessions at once, so streaming them gains nothing: the in-memory engine takes
# half the time for a year of bars, and a third for a live minute. The bits are the same.
ENGINE: Literal["in-memory"] = "in-memory"

# What every strategy gives, because alerts, backtest, dashboard, pictures and research read it.
# `registry.py` refuses a strategy without them. Its own features follow: see `signal_schema`.
SIGNAL_COLUMNS = pa.schema(
    [
        ("timestamp", TIME),  # the bar's stamp
        ("symbol", pa.string()),
        ("close", pa.float64()),  # of the bar; index points, of stocks KRW
        ("monitor_signal", pa.int64()),  # +1 long, -1 short, 0 neither
        ("trade_signal", pa.int64()),  # the same where it is to be acted on, else 0
        ("reason", pa.string()),  # why the signal is what it is
        ("ub", pa.float64()),  # the price above which it wants to be long; null where it has none
        ("lb", pa.float64()),  # the price below which it wants to be short; null where it has none
        ("created_at", TIME),  # when the row was computed; added when it is stored
    ]
)
_CREATED_AT = "created_at"


def signal_schema(*features: tuple[str, pa.DataType]) -> pa.Schema:
    """Return the schema of a signals' table: the columns of all strategies and its own features.

    `created_at` comes last.
    """
    *head, created_at = SIGNAL_COLUMNS
    return pa.schema([*head, *features, created_at])


def computed_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that `evaluate` gives: those of the table without `created_at`."""
    return [name for name in schema.names if name != _CREATED_AT]


def signal_batch(rows: pl.DataFrame, schema: pa.Schema, created_at: datetime) -> pa.RecordBatch:
    """Return computed rows as a batch of their table, as created at that moment (KST)."""
    return conform(rows.with_columns_seq(literal_time(created_at).alias(_CREATED_AT)), schema)


class Params(BaseModel):
    """The parameters of a strategy: validated, frozen, complete by their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    observe_interval_minutes: int = Field(
        default=5, ge=1, le=60, description="trade where the stamp's minute is a multiple of this"
    )


ParamsT_contra = TypeVar("ParamsT_contra", bound=Params, contravariant=True)


class Strategy(Protocol[ParamsT_contra]):
    """A strategy: its name, its table, the history it needs, and the signals it gives for bars."""

    @property
    def name(self) -> str:
        """Its name in commands, settings and alerts: small letters, digits and underscores."""
        ...

    @property
    def table(self) -> str:
        """The table of its signals, `{name}_signal`, with the key (symbol, timestamp)."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The schema of that table; `signal_schema` makes it."""
        ...

    @property
    def nights(self) -> bool:
        """Whether it takes nights as well: bars of A01612_NIGHT, apart from those of A01612.

        With False, which is usual, it never sees a bar of a night.
        """
        ...

    @property
    def params(self) -> type[Params]:
        """The type of its parameters; called without arguments it gives the defaults."""
        ...

    def warm_up_sessions(self, params: ParamsT_contra) -> int:
        """Return how many sessions before a bar's own its final signal needs.

        More history than that changes no bit, unless the symbol lacks a minute in most of these
        sessions: a mean then reaches further back. Live evaluates each session with exactly these
        sessions before it; `by_session.py` does the same for past sessions.
        """
        ...

    def evaluate(self, bars: pl.LazyFrame, params: ParamsT_contra) -> pl.LazyFrame:
        """Return one row a bar with `computed_columns(schema)`, sorted by symbol and timestamp.

        Bars: timestamp (end of the minute, KST), symbol, open, high, low, close, volume; more
        columns are ignored. Any number of symbols, each on its own, and of sessions, in any order.
        If a bar is given several times, the last row wins. The row of a bar depends on that bar
        and earlier ones alone.
        """
        ...


@runtime_checkable
class NeedsFewBars(Protocol[ParamsT_contra]):
    """A strategy that can say which bars its newest rows are made of, so that live costs less.

    `evaluate` must give the same rows over these bars as over all, to the last bit. A strategy need
    not have this.
    """

    def history(self, bars: pl.DataFrame, params: ParamsT_contra) -> pl.DataFrame:
        """Return what `bars_needed` chooses from: asked for once, with a symbol's earlier sessions.

        Empty if the symbol has no earlier sessions.
        """
        ...

    def bars_needed(
        self,
        earlier: pl.DataFrame,
        session: pl.DataFrame,
        stamps: Collection[datetime],
        params: ParamsT_contra,
    ) -> pl.DataFrame | None:
        """Return the bars that the rows at these stamps need; None: all.

        `earlier` is the `history`, `session` all bars of the stamps' session, in any order; no bar
        of it is newer than the oldest of the stamps, but those at the stamps.
        """
        ...


@runtime_checkable
class SharesFeatures(Protocol[ParamsT_contra]):
    """A strategy that can say which parameters its features depend on, so that sweeps cost less.

    `evaluate(bars, params)` must be `signals(shared(bars, params), params)`. Trials that differ in
    other parameters alone share one frame of `shared`. A strategy need not have this.
    """

    @property
    def shared_by(self) -> frozenset[str]:
        """The names of the parameters that `shared` reads."""
        ...

    def shared(self, bars: pl.LazyFrame, params: ParamsT_contra) -> pl.LazyFrame:
        """Return what `signals` reads: one row a bar, with the features that trials share."""
        ...

    def signals(self, shared: pl.LazyFrame, params: ParamsT_contra) -> pl.LazyFrame:
        """Return the rows of `evaluate`."""
        ...


@cache
def trade_signal(params: Params) -> pl.Expr:
    """Return monitor_signal at the observations, else 0. The stamp counts, not the wall clock.

    Reads the frame of `engine.features.bars.in_order`.
    """
    return pl.when(is_observation(params)).then(pl.col("monitor_signal")).otherwise(0)


@cache
def is_observation(params: Params) -> pl.Expr:
    """Return whether the bar's stamp is one at which the strategy trades."""
    return pl.col("minute_of_hour") % params.observe_interval_minutes == 0
