"""The Arrow schemas of all streams: the one definition that fetchers, store and SQL agree on.

Timestamps are KST without zone, microseconds. A bar's `timestamp` is the end of its minute; the
closing auction keeps its own label (15:30 stocks, 15:45 derivatives). Prices of derivatives are
index points, of stocks KRW; volumes are contracts or shares. `fetched_at` is when KIS's answer
arrived; the column `committed_at`, which only tables have, is when the merge was made.

    base     the types of columns; how a frame becomes a batch
    bars     minute bars, and what is known about them beside their values
    trades   trades one by one, and the book of a future
    options  chains, matrices, summaries, surfaces
    market   flows, expected prices, snapshots, events, listings, front months
    records  what the collector notes about its own work

Everybody imports them from here: which of the files has a schema is nobody's business.
"""

from __future__ import annotations

from engine.schemas.bars import (
    ADJUSTMENTS,
    CONFIRMED_BARS,
    DOUBTED_BARS,
    FEED,
    FILE,
    FUTURES_BARS,
    INDEX_BARS,
    REST,
    STOCK_BARS,
    VENUE_BARS,
)
from engine.schemas.base import POSTGRES_TYPES, TIME, conform, one_frame
from engine.schemas.market import (
    EXPECTED_PRICES,
    FRONT_MONTHS,
    FUTURES_STATE,
    INVESTOR_FLOWS,
    MARKET_EVENTS,
    MARKET_SNAPSHOT,
    PROGRAMME_TRADES,
    STOCK_LISTINGS,
)
from engine.schemas.options import (
    ALL_MATURITIES,
    LEVELS,
    METRICS,
    MODEL_METRICS,
    OPTION_CHAIN,
    OPTION_MATRIX,
    OPTION_SUMMARY,
    OPTION_SURFACE,
    level_columns,
)
from engine.schemas.records import (
    COLLECTED_SYMBOLS,
    FEED_SYMBOLS,
    GAPS,
    KEPT_SESSIONS,
    REJECTED_ROWS,
    STRATEGY_SYMBOLS,
    SYSTEM_STATUS,
)
from engine.schemas.trades import BOOK, BOOK_LEVELS, BOOK_MINUTES, TRADES

__all__ = [
    "ADJUSTMENTS",
    "ALL_MATURITIES",
    "BOOK",
    "BOOK_LEVELS",
    "BOOK_MINUTES",
    "COLLECTED_SYMBOLS",
    "CONFIRMED_BARS",
    "DOUBTED_BARS",
    "EXPECTED_PRICES",
    "FEED",
    "FEED_SYMBOLS",
    "FILE",
    "FRONT_MONTHS",
    "FUTURES_BARS",
    "FUTURES_STATE",
    "GAPS",
    "INDEX_BARS",
    "INVESTOR_FLOWS",
    "KEPT_SESSIONS",
    "LEVELS",
    "MARKET_EVENTS",
    "MARKET_SNAPSHOT",
    "METRICS",
    "MODEL_METRICS",
    "OPTION_CHAIN",
    "OPTION_MATRIX",
    "OPTION_SUMMARY",
    "OPTION_SURFACE",
    "POSTGRES_TYPES",
    "PROGRAMME_TRADES",
    "REJECTED_ROWS",
    "REST",
    "STOCK_BARS",
    "STOCK_LISTINGS",
    "STRATEGY_SYMBOLS",
    "SYSTEM_STATUS",
    "TIME",
    "TRADES",
    "VENUE_BARS",
    "conform",
    "level_columns",
    "one_frame",
]
