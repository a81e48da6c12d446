"""Frames that are read, and single columns of their rows."""

from __future__ import annotations

from typing import Any

from engine.kis.stream.frames import StreamRows
from tests.engine.kis.stream.sample_frames import (
    FIRST_FUTURE,
    FUTURE_AT,
    SECOND_FUTURE,
    STOCK_AT,
    THREE_STOCKS,
)

GOOD = [(FUTURE_AT, FIRST_FUTURE), (FUTURE_AT, SECOND_FUTURE), (STOCK_AT, THREE_STOCKS)]


def trades(rows: StreamRows) -> list[dict[str, Any]]:
    return rows.trades.to_pylist()


def column(rows: StreamRows, name: str) -> list[Any]:
    return rows.trades.column(name).to_pylist()


def reasons(rows: StreamRows) -> list[str]:
    return rows.rejected.column("reason").to_pylist()
