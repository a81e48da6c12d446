"""What the collector notes about its own work: gaps, sessions, symbols, rejected rows."""

from __future__ import annotations

import pyarrow as pa

from engine.schemas.base import TIME

REJECTED_ROWS = pa.schema(
    [
        ("received_at", TIME),
        ("tr_id", pa.string()),
        ("symbol", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),  # the row as KIS sent it, JSON
    ]
)
GAPS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("market", pa.string()),
        ("first_stamp", TIME),
        ("last_stamp", TIME),
        ("stamps", pa.int64()),  # bars missing between the two
        ("state", pa.string()),  # open, filled, no_trade, halted, refused, unavailable
        ("attempts", pa.int64()),
        ("reason", pa.string()),
        ("opened_at", TIME),
        ("answered_at", TIME),  # KIS's time of the last answer that counted
        ("updated_at", TIME),
    ]
)
KEPT_SESSIONS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("market", pa.string()),
        ("owed", pa.int64()),
        ("stored", pa.int64()),
        ("no_trade", pa.int64()),
        ("unavailable", pa.int64()),
        ("refused", pa.int64()),
        ("open", pa.int64()),
        ("validated", pa.bool_()),
        ("updated_at", TIME),
    ]
)
COLLECTED_SYMBOLS = pa.schema([("session", pa.date32()), ("symbol", pa.string()), ("since", TIME)])
STRATEGY_SYMBOLS = pa.schema([("strategy", pa.string()), ("symbol", pa.string()), ("since", TIME)])
FEED_SYMBOLS = pa.schema(
    [
        ("session", pa.date32()),
        ("symbol", pa.string()),
        ("by_feed", pa.bool_()),  # else it is polled
        ("since", TIME),  # when that began
        ("reason", pa.string()),  # why it is not by the feed, in words
    ]
)
SYSTEM_STATUS = pa.schema(
    [
        ("component", pa.string()),
        ("timestamp", TIME),  # of the heartbeat
        ("status", pa.string()),
        ("message", pa.string()),
        ("data_count", pa.int64()),  # rows stored, calls made or batches that wait
        ("last_data_time", TIME),  # timestamp of the newest row stored
    ]
)
