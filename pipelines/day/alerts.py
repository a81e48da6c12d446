"""Alerts: what a person must hear of, sent once to any service that apprise knows.

`Alerts.tell` only puts an event into a queue, so collecting never waits for a slow service. An
event that cannot be sent, or that comes while the queue is full, is lost with a line in the log: it
is not sent again, because a second try might say the same thing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import SecretStr

from engine.clock import Clock
from engine.errors import InputError
from engine.market.nights import session_of
from pipelines.texts import Texts

if TYPE_CHECKING:
    import apprise

log = logging.getLogger(__name__)

QUEUE_SIZE = 100  # messages; nobody reads more than that at once
SEND_TIMEOUT = 30.0  # seconds for one message to one service
DRAIN_TIMEOUT = 10.0  # seconds at the end for what is still queued
MAX_AGE = timedelta(minutes=5)  # of signals from before a start, which computes the day again

# In its own log lines apprise shows the addresses, which hold passwords.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Event:
    """A message to send. Of several events with the same key only the first one is sent."""

    key: tuple[object, ...]
    title: str = field(compare=False)
    body: str = field(compare=False)


@dataclass
class Contact:
    """How a person is told, and what was told already, which goes over from run to run."""

    addresses: Sequence[SecretStr] = ()  # services, as apprise addresses
    morning_message: bool = False
    evening_message: bool = False
    t: Texts = field(default_factory=lambda: Texts("en"))  # in whose language
    told: set[Event] = field(default_factory=set)
    amiss: dict[str, str] = field(default_factory=dict)  # what was told and is not over, by name


def unfillable_gap(
    t: Texts, symbol: str, session: date, first_stamp: datetime, reason: str
) -> Event:
    """Return the event of a gap in the ledger that KIS can no longer fill."""
    return Event(
        ("gap", symbol, session, first_stamp),
        t("alert_gap", name=t.name_of(symbol)),
        t("alert_gap_body", session=session, since=f"{first_stamp:%H:%M}", reason=t.noted(reason)),
    )


def stopped_component(t: Texts, component: str, at: datetime, why: str) -> Event:
    """Return the event of a component that ended when it should have gone on.

    One that is started again and ends for the same reason is told once a day.
    """
    return Event(
        ("stopped", component, at.date(), why),
        t("alert_stopped", name=t.or_else(f"component_{component}", t.name_of(component))),
        _at(t, at, why),
    )


def trouble_begun(t: Texts, name: str, at: datetime, what: str) -> Event:
    """Return the event of a trouble on this machine (disk space, clock, certificate)."""
    return Event(("amiss", name, at), t("alert_amiss", name=t(f"amiss_{name}")), _at(t, at, what))


def trouble_over(t: Texts, name: str, at: datetime) -> Event:
    """Return the event of a trouble on this machine that is over."""
    return Event(
        ("over", name, at),
        t("alert_over", name=t(f"amiss_{name}")),
        t("alert_well_again", at=f"{at:%m-%d %H:%M}"),
    )


def validation_findings(t: Texts, session: date, found: str) -> Event:
    """Return the event of a session in which validation found something."""
    return Event(
        ("findings", session, found),
        t("alert_findings", session=session),
        t("alert_findings_body", found=found, session=session),
    )


def refused_key(t: Texts, day: date, why: str) -> Event:
    """Return the event of a day on which KIS refuses every app key; `why` is its answer."""
    return Event(("key", day), t("alert_key"), why)


def no_spool(t: Texts, day: date, why: str) -> Event:
    """Return the event of a day on which nothing can be spooled if the database goes away."""
    return Event(("spool", day), t("alert_spool"), why)


def no_token(t: Texts, at: datetime, why: str) -> Event:
    """Return the event of a moment at which KIS gives no token that can be used."""
    return Event(("token", at), t("alert_token"), _at(t, at, why))


def _at(t: Texts, at: datetime, what: str) -> str:
    return t("alert_at", at=f"{at:%m-%d %H:%M}", what=what)


class SignalNews:
    """Finds the news in a strategy's rows: the trade signal has just turned.

    A signal that goes on for an hour is one event, and so is one that is computed again because a
    bar was corrected. One that comes late, as after KIS was away, is told if it still stands.
    """

    def __init__(self, clock: Clock, t: Texts) -> None:
        self._clock = clock
        self._t = t
        self._begun = clock.now()  # what was before, an earlier run has told
        # The last trade signal, by strategy and symbol: its stamp, session and side.
        self._last: dict[tuple[str, str], tuple[datetime, date, int]] = {}

    def events(self, strategy: str, rows: pl.DataFrame) -> list[Event]:
        """Return the news in rows (as `LiveWindow.push` gives them) of one symbol; log them.

        Never raises: collecting must go on, whatever columns or values a strategy gives.
        """
        try:
            news = self._news(strategy, rows)
            found = [_signal(self._t, strategy, row) for row in news]
        except Exception as error:  # noqa: BLE001 - see above
            kind = type(error).__name__
            log.error("❌ no alert for the signals of %s (%s): %s", strategy, kind, error)
            return []
        for row in news:
            _log_turn(strategy, row)
        return found

    def _news(self, strategy: str, rows: pl.DataFrame) -> list[dict[str, Any]]:
        traded = rows.filter(rows["trade_signal"] != 0)
        if traded.is_empty():  # as in most minutes
            return []
        session = session_of(pl.col("symbol"), pl.col("timestamp")).alias("session")
        traded = traded.sort("timestamp").with_columns(session)
        key = (strategy, traded["symbol"][0])
        since, day, side = self._last.get(key, (datetime(1, 1, 1), date(1, 1, 1), 0))
        fresh = traded.filter(pl.col("timestamp") > since)
        if fresh.is_empty():
            return []
        self._last[key] = fresh.select("timestamp", "session", "trade_signal").row(-1)
        before = pl.col("trade_signal").shift(1, fill_value=side)
        another = pl.col("session") != pl.col("session").shift(1, fill_value=day)
        turns = fresh.filter((pl.col("trade_signal") != before) | another)
        recent = pl.col("timestamp") >= self._clock.now() - MAX_AGE
        stands = pl.col("timestamp") == pl.col("timestamp").last()
        news = turns.filter(recent | (stands & (pl.col("timestamp") > self._begun)))
        return news.to_dicts()


def _signal(t: Texts, strategy: str, row: dict[str, Any]) -> Event:
    side = t("alert_long" if row["trade_signal"] == 1 else "alert_short")
    name, price = t.name_of(row["symbol"]), f"{row['close']:,.2f}"
    at, reason = row["timestamp"], t.reason(row["reason"])
    bands = _bands(t, row["lb"], row["ub"])
    return Event(
        ("signal", strategy, row["symbol"], at),
        t("alert_signal", strategy=strategy, name=name, side=side, price=price),
        t("alert_signal_body", at=f"{at:%Y-%m-%d %H:%M}", reason=reason, bands=bands),
    )


def _bands(t: Texts, lower: float | None, upper: float | None) -> str:
    known = {
        name: f"{value:,.2f}"
        for name, value in (("lower", lower), ("upper", upper))
        if value is not None
    }
    if len(known) > 1:
        return t("alert_bands", **known)
    return t(f"alert_band_{next(iter(known), 'none')}", **known)


def _log_turn(strategy: str, row: dict[str, Any]) -> None:
    """Log that a strategy has turned, in the language of the log."""
    side = "LONG" if row["trade_signal"] == 1 else "SHORT"
    log.info(
        "🚀 %s %s: %s at %s, %s (%s)",
        strategy,
        Texts("en").name_of(row["symbol"]),
        side,
        f"{row['close']:,.2f}",
        row["reason"],
        f"{row['timestamp']:%H:%M}",
    )


class Alerts:
    """Sends events to services; `open_alerts` makes one. Without services it does nothing."""

    def __init__(
        self, services: Sequence[apprise.NotifyBase], clock: Clock, contact: Contact
    ) -> None:
        self.contact = contact
        self.t = contact.t
        self._services = services
        self._clock = clock
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_SIZE)

    def tell(self, event: Event) -> None:
        """Queue the event, unless one with its key was told before. Never waits, never raises."""
        if not self._services or event in self.contact.told:
            return
        self.contact.told.add(event)
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.error("❌ alert lost, %d wait already: %s", QUEUE_SIZE, event.title)

    async def send_queued(self) -> None:
        """Send events as they are told, until cancelled."""
        # A thread of its own: a service that hangs must not occupy one that others need.
        executor = ThreadPoolExecutor(1, thread_name_prefix="alerts")
        try:
            while True:
                event = await self._queue.get()
                for service in self._services:
                    await self._send(service, event, executor)
                self._queue.task_done()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def drain(self) -> None:
        """Wait, for DRAIN_TIMEOUT at most, until the queue is empty."""
        try:
            async with self._clock.timeout(DRAIN_TIMEOUT):
                await self._queue.join()
        except TimeoutError:
            log.error("❌ %d alerts lost at the end", self._queue.qsize())

    async def _send(
        self, service: apprise.NotifyBase, event: Event, executor: ThreadPoolExecutor
    ) -> None:
        try:
            async with self._clock.timeout(SEND_TIMEOUT):
                done = await self._clock.thread(_notify, service, event, executor=executor)
        except Exception as error:  # noqa: BLE001 - a service's plugin can raise anything
            done, why = False, type(error).__name__
        else:
            why = "refused or not reached"
        if not done:
            log.error("❌ alert not sent to %s (%s): %s", service.service_name, why, event.title)


def _notify(service: apprise.NotifyBase, event: Event) -> bool:
    return bool(service.notify(title=event.title, body=event.body))


@asynccontextmanager
async def open_alerts(contact: Contact, clock: Clock) -> AsyncIterator[Alerts]:
    """Yield alerts that are sent while the block runs; at its end they are drained.

    Raises InputError for an address that apprise does not know, without showing the address.
    """
    alerts = Alerts(_services(contact.addresses), clock, contact)
    sending = asyncio.create_task(alerts.send_queued(), name="alerts")
    try:
        yield alerts
    finally:
        await alerts.drain()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def check_addresses(addresses: Sequence[SecretStr]) -> None:
    """Raise InputError for an address that apprise does not know, without showing it."""
    _services(addresses)


def _services(addresses: Sequence[SecretStr]) -> list[apprise.NotifyBase]:
    if not addresses:
        return []
    import apprise  # noqa: PLC0415 - loading it takes as long as Polars, and few have addresses

    known = apprise.Apprise()
    for number, address in enumerate(addresses, start=1):
        if not known.add(address.get_secret_value()):
            raise InputError(
                f"alerts: apprise does not know address {number}; see `apprise --details`"
            )
    return list(known)
