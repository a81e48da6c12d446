"""What the WebSocket sends trade by trade, and the book of a future."""

from __future__ import annotations

import pyarrow as pa

from engine.schemas.base import TIME

TRADES = pa.schema(
    [
        ("session", pa.date32()),  # date of the session, which a night's trades keep past midnight
        ("symbol", pa.string()),
        ("traded_at", TIME),  # by the exchange's clock, whole seconds
        ("received_at", TIME),
        ("price", pa.float64()),
        ("size", pa.int64()),  # contracts or shares
        ("side", pa.string()),  # B: the buyer came to the ask, S: the seller to the bid; else null
        ("day_volume", pa.int64()),  # of the session, this trade included
        ("day_turnover", pa.float64()),  # KRW, of the session
        ("day_bought", pa.int64()),  # of the session, by trades whose side is B
        ("day_sold", pa.int64()),  # of the session, by trades whose side is S
        ("bid", pa.float64()),  # best, after the trade
        ("ask", pa.float64()),
        ("bid_size", pa.int64()),
        ("ask_size", pa.int64()),
        ("open_interest", pa.int64()),  # contracts; null for stocks
        ("limit_state", pa.string()),  # as KIS gives it: price limits of futures, halts of stocks
    ]
)

BOOK_LEVELS = 5  # of each side, as KIS sends the book of a future

# Kept in files beside the database (`engine.store.book_files`).
BOOK = pa.schema(
    [
        ("session", pa.date32()),
        ("symbol", pa.string()),
        ("told_at", TIME),  # by the exchange's clock, whole seconds
        ("received_at", TIME),
        *(
            (f"{side}{what}{level}", kind)  # level 1 is the best; a size is contracts
            for side in ("bid", "ask")
            for what, kind in (("", pa.float64()), ("_size", pa.int64()), ("_orders", pa.int64()))
            for level in range(1, BOOK_LEVELS + 1)
        ),
    ]
)
BOOK_MINUTES = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # futures contract
        ("updates", pa.int64()),  # that the files have of the minute
        ("longest_pause", pa.float64()),  # seconds between two of them, the minute's ends included
        ("fetched_at", TIME),  # when the last of them arrived
    ]
)
