"""Heartbeats: how collecting, asking KIS and storing go, for `just status` and the dashboard."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime

from engine.backoff import Backoff
from engine.errors import StoreError
from engine.schemas import FEED_SYMBOLS, conform
from engine.store.metadata import heartbeat
from pipelines.day.alerts import no_token
from pipelines.day.parts import DayParts

log = logging.getLogger(__name__)

HEARTBEAT = 60.0  # seconds
_LOOK = 10.0  # seconds between looks whether KIS can be asked at all
_BETWEEN_ALERTS = Backoff(first=60.0, longest=3600.0)


class Heartbeats:
    """Stores the status of the day's run."""

    def __init__(self, day: DayParts) -> None:
        self._day = day
        self._begun = False  # before, the status of an earlier session says what to finish

    async def send(self) -> None:
        """Store the status each minute; a database that is away does not end collecting."""
        while True:
            await self._day.clock.sleep(HEARTBEAT)
            try:
                await self._store("running")
            except StoreError as error:
                log.debug("no heartbeat: %s", error)

    async def watch_token(self) -> None:
        """Tell at once, and again after longer and longer pauses, that KIS cannot be asked."""
        clock, told = self._day.clock, 0
        while True:
            if why := self._day.kis.trouble:
                told += 1
                log.error("❌ nothing can be asked for: %s", why)
                self._day.alerts.tell(no_token(self._day.alerts.t, clock.now(), why))
                await clock.sleep(_BETWEEN_ALERTS.wait_after(told))
            else:
                told = 0
                await clock.sleep(_LOOK)

    async def begin(self) -> None:
        """Store that the day is being collected: a later start finishes it if this one dies."""
        self._begun = True
        await self._store("running")

    async def finish(self) -> None:
        """Store that the day is complete."""
        await self._store("done")

    async def stop(self) -> None:
        """Store that the day ended early. Without the database, the spool keeps that.

        An earlier session's status, which says what to finish, is replaced only by a day of which
        something was collected.
        """
        with suppress(StoreError):
            if self._begun:
                await self._store("stopped")
            elif self._day.stats.rows.spooled:
                now = self._day.clock.now()
                status = heartbeat(now, "collector", "stopped", self._collected(), 0, None)
                await self._day.writer.put("system_status", status)

    async def _store(self, status: str) -> None:
        """Store what each part does now, in one commit."""
        day, kis, feed_symbols = self._day, self._day.kis, self._day.stats.feed_symbols
        beats = []

        def tell(part: str, message: str, count: int, last: datetime | None = None) -> None:
            beats.append(heartbeat(day.clock.now(), part, status, message, count, last))

        if self._begun:
            last = max((bar["timestamp"] for bar in day.stats.last_bar.values()), default=None)
            tell("collector", self._collected(), day.stats.rows.inserted, last)
        if feed_symbols is not None:
            tell("feed", day.stats.feed_message, day.stats.trades)
        pace = f"{kis.per_second:.1f} calls/s, {kis.calls} calls, {kis.refusals} refused"
        tell("kis", f"{kis.trouble}; {pace}" if kis.trouble else pace, kis.calls)
        batches, size = day.spooled
        tell("spool", f"{batches} batches, {size} bytes", batches)
        told = {"system_status": beats}
        if feed_symbols is not None:  # which come by the feed, and why not the others
            told["feed_symbols"] = [conform(feed_symbols, FEED_SYMBOLS)]
        await day.store.merge_tables(told)

    def _collected(self) -> str:
        stats = self._day.stats
        return f"{stats.plan.name}: {stats.bars} bars, {stats.snapshots} snapshots"
