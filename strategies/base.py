"""What a strategy is: a pure function of bars. Live, replay and backtest call the same one.

Writing one takes a file (see `opening_range.py`), a line in `registry.py` and a test.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

# Windows need whole sessions at once, so streaming them gains nothing: the in-memory engine takes
# half the time for a year of bars, and a third for a live minute. The bits are the same.
ENGINE: Literal["in-memory"] = "in-memory"


class Params(BaseModel):
    """The parameters of a strategy: validated, frozen, complete by their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    observe_interval_minutes: int = Field(
        default=5, ge=1, le=60, description="trade where the stamp's minute is a multiple of this"
    )


ParamsT_contra = TypeVar("ParamsT_contra", bound=Params, contravariant=True)


class Strategy(Protocol[ParamsT_contra]):
    """A strategy: its name, its table, what it needs to know, and what it says to bars."""

    @property
    def name(self) -> str:
        """Its name in commands and settings."""
        ...

    @property
    def table(self) -> str:
        """The table of its signals, key (timestamp, symbol)."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The schema of that table; `created_at` last, which whoever stores the rows adds."""
        ...

    @property
    def params(self) -> type[Params]:
        """The type of its parameters; called without arguments it gives the defaults."""
        ...

    def warm_up_sessions(self, params: ParamsT_contra) -> int:
        """Return how many sessions before a bar's own must be at hand for its final signal.

        With that many or more of them, more history changes no bit.
        """
        ...

    def evaluate(self, bars: pl.LazyFrame, params: ParamsT_contra) -> pl.LazyFrame:
        """Return one row a bar in `schema` without `created_at`, sorted by symbol and timestamp.

        Bars: timestamp (end of the minute, KST), symbol, open, high, low, close, volume; more
        columns are ignored. Any number of symbols, each on its own, and of sessions; in any order;
        of several rows of one bar the last wins. The row of a bar depends on bars up to it alone.

        The columns that every strategy gives, because backtest and alerts live on them:
        timestamp, symbol, close, monitor_signal, trade_signal (-1, 0, +1), reason, ub, lb (the
        band outside which it wants to be; null where it has none).
        """
        ...


def trade_signal(params: Params) -> pl.Expr:
    """Return monitor_signal at the observations, else 0. The stamp counts, not the wall clock."""
    return pl.when(is_observation(params)).then(pl.col("monitor_signal")).otherwise(0)


def is_observation(params: Params) -> pl.Expr:
    """Return whether the bar's stamp is one at which the strategy trades."""
    return pl.col("timestamp").dt.minute() % params.observe_interval_minutes == 0
