"""Alerts: what a person must hear of, sent to any service that apprise knows, once.

Telling is putting into a queue, so nobody waits for a slow service: whoever collects goes on. What
cannot be sent, or comes while the queue is full, is lost with a line in the log; a second try might
say the same thing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import apprise
import polars as pl
from pydantic import SecretStr

from engine.clock import Clock
from engine.errors import InputError

log = logging.getLogger(__name__)

QUEUED = 100  # messages; more at once are a storm that nobody reads
SENDING = 30.0  # seconds for one message to one service
LEAVING = 10.0  # seconds at the end for what is still queued
NEWS = timedelta(minutes=5)  # a signal older than this is history: a restart computes them again

# apprise names the addresses in its own log lines; they hold passwords.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Event:
    """Something to tell. Of events with the same key only the first is told."""

    key: tuple[object, ...]
    title: str = field(compare=False)
    body: str = field(compare=False)


def unfillable_gap(symbol: str, session: date, first_stamp: datetime, reason: str) -> Event:
    """Return the event of a gap in the ledger that KIS cannot fill any more."""
    return Event(
        ("gap", symbol, session, first_stamp),
        f"⚠️ {symbol}: a gap that cannot be filled",
        f"session {session}, from {first_stamp:%H:%M}: {reason}",
    )


def stopped(component: str, at: datetime, why: str) -> Event:
    """Return the event of a component that ended although it should not have."""
    return Event(("stopped", component, at), f"❌ {component} stopped", f"{at:%m-%d %H:%M}: {why}")


def refused_key(day: date, why: str) -> Event:
    """Return the event of a day on which KIS stopped taking the app keys."""
    return Event(("key", day), "❌ KIS takes no app key", why)


class SignalNews:
    """Finds in a strategy's rows what is news: the trade signal turned, and just now.

    A signal that goes on for an hour is one event, and so is one that a correction computes again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[datetime, int]] = {}

    def events(self, strategy: str, rows: pl.DataFrame) -> list[Event]:
        """Return the news in rows (as `LiveWindow.push` gives them) of one symbol."""
        traded = rows.filter(pl.col("trade_signal") != 0).sort("timestamp")
        if traded.is_empty():
            return []
        key = (strategy, traded["symbol"][0])
        since, side = self._last.get(key, (datetime(1, 1, 1), 0))
        fresh = traded.filter(pl.col("timestamp") > since)
        if fresh.is_empty():
            return []
        self._last[key] = (fresh["timestamp"][-1], fresh["trade_signal"][-1])
        day = pl.col("timestamp").dt.date()
        before = pl.col("trade_signal").shift(1, fill_value=side)
        another_day = day != day.shift(1, fill_value=since.date())
        turned = (pl.col("trade_signal") != before) | another_day
        recent = pl.col("timestamp") >= self._clock.now() - NEWS
        return [_signal(strategy, row) for row in fresh.filter(turned & recent).to_dicts()]


def _signal(strategy: str, row: dict[str, object]) -> Event:
    side = "LONG" if row["trade_signal"] == 1 else "SHORT"
    band = f"bands {row['lb']:.2f} to {row['ub']:.2f}" if row["ub"] is not None else "no bands"
    return Event(
        ("signal", strategy, row["symbol"], row["timestamp"]),
        f"🚀 {strategy} {row['symbol']}: {side} at {row['close']:,.10g}",
        f"{row['timestamp']:%Y-%m-%d %H:%M}, {row['reason']}, {band}",
    )


class Alerts:
    """Tells events to services. `alerting` makes one that sends; without addresses it is mute."""

    def __init__(self, services: Sequence[apprise.NotifyBase], clock: Clock) -> None:
        self._services, self._clock = services, clock
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUED)
        self._told: set[Event] = set()

    def tell(self, event: Event) -> None:
        """Have the event told, unless one with its key was; never waits, never raises."""
        if not self._services or event in self._told:
            return
        self._told.add(event)
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.error("❌ alert lost, %d wait already: %s", QUEUED, event.title)

    async def send(self) -> None:
        """Send what is told, for ever."""
        # A thread of its own: a service that hangs must not hold one that others need.
        executor = ThreadPoolExecutor(1, thread_name_prefix="alerts")
        try:
            while True:
                event = await self._queue.get()
                for service in self._services:
                    await self._sent(service, event, executor)
                self._queue.task_done()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def leave(self) -> None:
        """Wait a little for what is queued."""
        try:
            async with self._clock.timeout(LEAVING):
                await self._queue.join()
        except TimeoutError:
            log.error("❌ %d alerts lost at the end", self._queue.qsize())

    async def _sent(
        self, service: apprise.NotifyBase, event: Event, executor: ThreadPoolExecutor
    ) -> None:
        try:
            async with self._clock.timeout(SENDING):
                done = await self._clock.thread(_notify, service, event, executor=executor)
        except Exception as error:  # noqa: BLE001 - a service's plugin can raise anything
            done, why = False, type(error).__name__
        else:
            why = "it was refused or not reached"
        if not done:
            log.error("❌ alert not sent to %s (%s): %s", service.service_name, why, event.title)


def _notify(service: apprise.NotifyBase, event: Event) -> bool:
    return bool(service.notify(title=event.title, body=event.body))


@asynccontextmanager
async def alerting(addresses: Sequence[SecretStr], clock: Clock) -> AsyncIterator[Alerts]:
    """Yield somebody to tell; sends while the block runs, and a little longer.

    Raises InputError for an address that apprise does not know, without showing it.
    """
    alerts = Alerts(_services(addresses), clock)
    sending = asyncio.create_task(alerts.send(), name="alerts")
    try:
        yield alerts
    finally:
        await alerts.leave()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _services(addresses: Sequence[SecretStr]) -> list[apprise.NotifyBase]:
    known = apprise.Apprise()
    for number, address in enumerate(addresses, start=1):
        if not known.add(address.get_secret_value()):
            raise InputError(
                f"alerts: address {number} is none that apprise knows; see `apprise --details`"
            )
    return list(known)
