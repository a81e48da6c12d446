"""How the feed does: which symbols it brings, how late, and why not the others.

`just status`, the page, the terminal view and the summary take it from here, so all say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from engine import schemas
from engine.history.delays import feed_figures, feed_total

STREAM_OFF = '`"stream": false`, all bars are polled'
FEED_SYMBOLS = pl.Schema(schemas.FEED_SYMBOLS)


@dataclass(frozen=True)
class FeedStanding:
    """A day's feed at a moment: FEED_SYMBOLS of it, and DELAYS of the bars that it brought."""

    states: pl.DataFrame
    delays: pl.DataFrame

    @cached_property
    def symbols(self) -> pl.DataFrame:
        """FEED_SYMBOLS and FEED_FIGURES of each symbol, those that are polled first."""
        figures = feed_figures(self.delays)
        both = self.states.join(figures, on="symbol", how="left", validate="1:1")
        return both.with_columns(
            pl.col("bars").fill_null(0), pl.col("p50", "p99", "last").round(3)
        ).sort("by_feed", "symbol")

    @cached_property
    def total(self) -> dict[str, Any]:
        """FEED_FIGURES of all symbols together."""
        return feed_total(self.delays)

    @property
    def by_feed(self) -> int:
        """How many symbols come by the feed now."""
        return int(self.states["by_feed"].sum())

    @property
    def is_whole(self) -> bool:
        """Whether every symbol comes by the feed."""
        return self.by_feed == self.states.height

    def line(self) -> str:
        """Return in a clause how many symbols come by the feed, and how late."""
        return f"{self.by_feed} of {self.states.height} symbols by feed{self._late()}"

    def _late(self) -> str:
        if not self.total["bars"]:
            return ""
        p50, p99, last = (f"{self.total[name]:.1f}" for name in ("p50", "p99", "last"))
        return f", late by p50 {p50} s, p99 {p99} s, last {last} s"

    def polled_groups(self) -> list[tuple[datetime, str, str, int]]:
        """Return since when and why symbols are polled instead, the first of them, how many."""
        groups = (
            self.states.filter(~pl.col("by_feed"))
            .with_columns(pl.col("since").dt.truncate("1m"))
            .group_by("since", "reason")
            .agg(pl.len().alias("count"), pl.col("symbol").sort().first())
            .sort("since", "reason")
        )
        return groups.select("since", "reason", "symbol", "count").rows()

    def polled(self) -> list[str]:
        """Return which symbols are polled instead, since when and why, a line for each reason."""
        return [
            f"{_named(symbol, count)} polled since {since:%H:%M}: {reason}"
            for since, reason, symbol, count in self.polled_groups()
        ]

    def says(self) -> list[str]:
        """Return `line` and `polled`: everything in words."""
        return [self.line(), *self.polled()]

    def as_json(self) -> dict[str, Any]:
        """Return everything for machines; times KST, delays in seconds."""
        rows = self.symbols.drop("session").with_columns(
            pl.col("since", "last_bar").dt.to_string("iso:strict")
        )
        total = {name: self.total[name] for name in ("p50", "p99", "last")}
        return {
            **{name: value and round(value, 3) for name, value in total.items()},
            "symbols": rows.to_dicts(),
        }


def _named(symbol: str, count: int) -> str:
    return f"{symbol} is" if count == 1 else f"{symbol} and {count - 1} more are"
