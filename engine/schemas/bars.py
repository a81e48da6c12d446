"""Minute bars, and what is known about a bar beside its values."""

from __future__ import annotations

import pyarrow as pa

from engine.columns import PRICES
from engine.schemas.base import TIME

# where a bar came from: KIS's WebSocket, its answer to a question, or a file of `just import`
FEED, REST, FILE = "feed", "rest", "file"

_PRICES = [(name, pa.float64()) for name in PRICES]

FUTURES_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
STOCK_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        ("timeframe", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
VENUE_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # stock and venue: 005930_NX
        ("venue", pa.string()),  # as KIS's questions name it: J (KRX), NX (Nextrade), UN (both)
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
INDEX_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # KOSPI, KOSDAQ, KOSPI200, KOSDAQ150
        *_PRICES,
        ("volume", pa.int64()),  # thousand shares
        ("day_turnover", pa.float64()),  # million KRW, today so far
        ("fetched_at", TIME),
    ]
)
ADJUSTMENTS = pa.schema(
    [
        ("symbol", pa.string()),
        ("effective", pa.date32()),  # first session at the new price
        ("factor", pa.float64()),  # prices of earlier sessions times this; volumes divided by it
        ("state", pa.string()),  # found, confirmed or doubted
        ("reason", pa.string()),
        ("first_seen", pa.date32()),
        ("found_at", TIME),
        ("checked_at", TIME),
    ]
)
DOUBTED_BARS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("stamp", TIME),
        ("answered_at", TIME),  # by KIS's clock
    ]
)
CONFIRMED_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("confirmed_at", TIME),
    ]
)
