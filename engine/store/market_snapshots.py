"""Snapshots of the market leave the database after some days: they are a million rows each."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from engine.store.connection import Connection, fetch_frame
from engine.store.identifiers import literal


def drop_old_snapshots(url: str, keep_days: int, day: date, _now: datetime) -> int:
    """Drop the sessions that are older than `keep_days` on the day; return how many.

    Raises StoreError.
    """
    connection = Connection(url, "snapshots")
    first = literal(day - timedelta(days=keep_days))
    try:
        with connection.transaction() as cursor:
            dropped = fetch_frame(cursor, f"SELECT drop_market_snapshots({first}) AS sessions")
    finally:
        connection.close()
    return int(dropped.item())
