"""The status of a component, as a collector stores it each minute."""

from __future__ import annotations

from datetime import datetime

from engine.store import Store
from engine.store.metadata import heartbeat


async def record_heartbeat(
    store: Store,
    component: str,
    status: str,
    message: str = "",
    data_count: int = 0,
    last_data_time: datetime | None = None,
) -> None:
    """Store the row of `system_status`."""
    beat = heartbeat(store.now(), component, status, message, data_count, last_data_time)
    await store.merge("system_status", beat)
