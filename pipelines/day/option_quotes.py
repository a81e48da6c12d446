"""Options near the money by the feed: which are registered, and how each was quoted last.

The nearest maturity of the day's chains is followed, calls and puts of REACH strikes on each side
of the money, as far as the bars' symbols leave room. Their trades are registered, not their books:
a registration of trades brings all that a snapshot needs (price, bid, ask, volume, open interest,
volatility, greeks), one of books only bid and ask.

The registrations move with the money, but slowly: KIS blocks who registers and removes in a loop.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
import pyarrow as pa

from engine.features.chain import strikes_above_atm
from engine.fetchers.newest_quotes import FEED_QUOTES, usable_quotes
from engine.schemas import one_frame
from pipelines.day.minute_bars import with_symbols
from pipelines.day_plan import DayPlan

REACH = 8  # strikes on each side of ATM
MOST = 2 * (2 * REACH + 1)  # options: calls and puts
SLACK = 2  # strikes that ATM may move before the registrations follow
MOST_CHANGES = 6  # options that are replaced after one snapshot, so in a minute
_WAITING = 5_000  # rows that are kept before the newest of them are looked for

_STRIKES = pl.Schema({"symbol": pl.String(), "strike": pl.Float64()})


class OptionQuotes:
    """The options of one chain; `symbols` are those that are wanted now, the nearest first."""

    def __init__(self, plan: DayPlan) -> None:
        nearest = min(plan.chains, key=lambda one: one.chain.last_day, default=None)
        self.chain = nearest.underlying_symbol if nearest else None
        self.symbols: tuple[str, ...] = ()
        self._strikes = _STRIKES.to_frame()  # a snapshot may lack some, the next one has them
        self._newest = FEED_QUOTES.to_frame()
        self._waiting: list[pa.RecordBatch] = []

    def note(self, quotes: pa.RecordBatch) -> None:
        """Take what trades of options say (`engine.kis.stream.frames.OPTION_QUOTES`).

        Records of options that are not wanted are left out: what sent them is not known.
        """
        if not quotes.num_rows:
            return
        own = with_symbols(quotes.select(FEED_QUOTES.names()), pa.array(self.symbols, pa.string()))
        if own.num_rows:
            self._waiting.append(own)
            if sum(part.num_rows for part in self._waiting) > _WAITING:
                self.newest()

    def newest(self) -> pl.DataFrame:
        """Return the newest quote of each option so far (FEED_QUOTES)."""
        if self._waiting:
            came = one_frame(self._waiting)
            self._newest = usable_quotes(pl.concat([self._newest, came]))
            self._waiting.clear()
        return self._newest

    def follow(self, chain: pl.DataFrame, room: int) -> bool:
        """Look at a snapshot with its forward; return whether other options are wanted now.

        `room` is how many registrations there are for options. A snapshot of another chain, or
        without the money among its strikes, changes nothing.
        """
        own = chain.filter(pl.col("underlying_symbol") == self.chain)
        named = own.select(_STRIKES.names()).drop_nulls()
        self._strikes = pl.concat([self._strikes, named]).unique("symbol", keep="first")
        strikes = self._strikes["strike"]
        forward = own["forward"].drop_nulls().first()
        # The board alone may lie wholly above the money.
        if forward is None or not ((strikes <= forward).any() and (strikes >= forward).any()):
            return False
        distances = self._strikes.with_columns(forward=pl.lit(forward)).select(
            "symbol", distance=strikes_above_atm().abs()
        )
        wanted = options_to_follow(distances, self.symbols, min(room, MOST))
        changed = set(wanted) != set(self.symbols)
        self.symbols = wanted
        return changed


def options_to_follow(
    distances: pl.DataFrame, present: Collection[str], most: int
) -> tuple[str, ...]:
    """Return the options to follow, the nearest to ATM first.

    `distances` has symbol and distance (strikes from ATM). While ATM has moved by no more than
    SLACK, what is present stays; and no more than MOST_CHANGES others take its place at once.
    """
    # After a move of n strikes the farthest is 2 n - 1 strikes farther than the nearest other.
    favor = 2 * SLACK - 1
    is_present = pl.col("symbol").is_in(list(present))
    ranked = (
        distances.with_columns(is_present=is_present)
        .filter(pl.col("is_present") | (pl.col("distance") <= REACH))
        .sort(
            pl.col("distance") - favor * pl.col("is_present").cast(pl.Int32),
            ~pl.col("is_present"),
            "symbol",
        )
    )
    best = ranked.head(max(most, 0))
    new = best.filter(~pl.col("is_present"))
    if present:
        new = new.head(MOST_CHANGES)
    stay = ranked.filter("is_present").head(max(most - new.height, 0))
    return tuple(pl.concat([stay, new]).sort("distance", "symbol")["symbol"])
