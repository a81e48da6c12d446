"""The newest quote of each option: of the board, of a single call, or of the feed.

A quote of the feed bears the exchange's time in whole seconds, the others the time of their
receipt. So a quote of the feed counts as newer only if its time and its receipt both lie after the
other's, and if the volume of the day agrees: that never falls. In doubt what REST gave stands.

TOLD_BY_FEED are sums of the day by who came to whose price, which REST never tells. Where REST has
the same volume of the day, nothing was traded since the feed's quote, so its sums hold for REST's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

import polars as pl

from engine.few_rows import collect_few
from engine.schemas import OPTION_CHAIN

BOARD, SINGLE, FEED = "board", "single", "feed"  # `quote_source`

# What a quote says; the other columns (strike, side, KIS's ATM flag) do not come with a quote.
VALUES = (
    "price",
    "bid",
    "ask",
    "volume",
    "open_interest",
    "iv",
    "historical_volatility",
    "delta",
    "gamma",
    "vega",
    "theta",
    "rho",
    "theoretical_price",
    "bid_size",
    "ask_size",
    "turnover",
    "bought",
    "sold",
)
TOLD_BY_FEED = ("bought", "sold")
_CHAIN = pl.Schema(OPTION_CHAIN)
FEED_QUOTES = pl.Schema(
    [
        ("symbol", pl.String()),
        ("traded_at", pl.Datetime("us")),  # by the exchange's clock
        ("received_at", pl.Datetime("us")),
        *((name, _CHAIN[name]) for name in VALUES),
    ]
)
# A younger trade says as much as a call would: the price stands until the next trade.
FRESH = timedelta(seconds=15)
# From the exchange's time to the receipt: beyond these, one clock is wrong or the feed hangs.
_LEAST_DELAY, _MOST_DELAY = timedelta(seconds=-2), timedelta(seconds=30)
_QUOTE = (*VALUES, "quoted_at", "quote_source")


def usable_quotes(feed: pl.DataFrame) -> pl.DataFrame:
    """Return the newest quote of each option (FEED_QUOTES), without those whose time is unlikely.

    Of two in one second the later is the one with the greater volume of the day.
    """
    return collect_few(_usable_quotes(feed)) if feed.height else feed


def _usable_quotes(feed: pl.DataFrame) -> pl.LazyFrame:
    waited = pl.col("received_at") - pl.col("traded_at")
    return (
        feed.lazy()
        .filter(waited.is_between(_LEAST_DELAY, _MOST_DELAY))
        .sort("traded_at", "volume", maintain_order=True)
        .unique("symbol", keep="last", maintain_order=True)
    )


def fresh_symbols(feed: pl.DataFrame, now: datetime) -> pl.Series:
    """Return the symbols whose quote by the feed is so new that no call is needed."""
    quotes = usable_quotes(feed)
    return quotes["symbol"].filter(quotes["traded_at"] > now - FRESH)


def with_newest(chain: pl.DataFrame, feed: pl.DataFrame) -> pl.DataFrame:
    """Return a chain in which each option has its newest quote; order and other columns stay.

    `chain` has VALUES, quoted_at and quote_source, NULL where an option has no quote; `feed` is
    FEED_QUOTES. A quote is taken as a whole: values of different times would not fit together.
    """
    if not feed.height:
        return chain
    quotes = _usable_quotes(feed).with_columns(*_as_quotes())
    joined = chain.lazy().join(
        quotes, on="symbol", how="left", suffix="_feed", maintain_order="left"
    )
    return collect_few(joined.with_columns(*_newest()).select(chain.columns))


@cache
def _as_quotes() -> tuple[pl.Expr, ...]:
    at = pl.min_horizontal("traded_at", "received_at").alias("quoted_at")
    return at, pl.lit(FEED).alias("quote_source")


@cache
def _newest() -> tuple[pl.Expr, ...]:
    """Return the columns of _QUOTE, of the chain or, where that is newer, of the feed."""
    later = pl.min_horizontal("traded_at", "received_at") > pl.col("quoted_at")
    agrees = (pl.col("volume_feed") >= pl.col("volume")).fill_null(value=True)
    is_newer = pl.col("traded_at").is_not_null() & (
        pl.col("quoted_at").is_null() | (later & agrees)
    )
    same = (pl.col("volume_feed") == pl.col("volume")).fill_null(value=False)
    return tuple(
        pl.when(is_newer | same if name in TOLD_BY_FEED else is_newer)
        .then(pl.col(f"{name}_feed"))
        .otherwise(pl.col(name))
        .alias(name)
        for name in _QUOTE
    )
