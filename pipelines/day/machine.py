"""Troubles of this machine, noticed before they do harm: disk space, clock, certificate.

Each is looked at before the open and each minute after that. A trouble is told when it begins, and
again when it is over, even days later (`Contact.amiss`).
"""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from engine.clock import to_kst_naive
from pipelines.day.alerts import Alerts, trouble_begun, trouble_over
from pipelines.day.parts import DayParts

log = logging.getLogger(__name__)

LOOK = 60.0  # seconds
DISK, CLOCK, CERTIFICATE = "disk", "clock", "certificate"
LEAST_FREE = 2e9  # bytes, as for `just doctor`: a busy day with trades, and the log of Postgres
ENOUGH_FREE = 2.5e9  # a disk at the limit would be told again and again
LAST_DAYS = timedelta(days=7)  # of a certificate; it is usually replaced weeks before its end
_TIMEOUT = 5.0  # seconds


async def watch_machine(day: DayParts, folder: Path, base_url: str) -> None:
    """Look again and again at this machine, at the disk of the folder and at KIS's address."""
    ends = await day.clock.thread(certificate_end, base_url)
    while True:
        note_troubles(day, folder, ends)
        await day.clock.sleep(LOOK)


def note_troubles(day: DayParts, folder: Path, ends: datetime | None) -> None:
    """Tell which troubles have begun, and which are over; `ends`: of KIS's certificate (KST)."""
    now, alerts = day.clock.now(), day.alerts
    note_trouble(alerts, DISK, disk_trouble(folder, known=DISK in alerts.contact.amiss), now)
    note_trouble(alerts, CLOCK, day.kis.clock_trouble, now)
    soon = None
    if ends and ends - now < LAST_DAYS:
        soon = f"the certificate that KIS shows ends on {ends:%Y-%m-%d %H:%M}"
    note_trouble(alerts, CERTIFICATE, day.kis.certificate_trouble or soon, now)


def note_trouble(alerts: Alerts, name: str, trouble: str | None, now: datetime) -> None:
    """Remember a trouble (None: it is over), and tell if that has changed."""
    amiss = alerts.contact.amiss
    if trouble and name not in amiss:
        log.warning("⚠️ amiss: %s", trouble)
        alerts.tell(trouble_begun(alerts.t, name, now, trouble))
    elif name in amiss and not trouble:
        log.info("✅ no longer amiss: %s", amiss.pop(name))
        alerts.tell(trouble_over(alerts.t, name, now))
    if trouble:
        amiss[name] = trouble


def disk_trouble(folder: Path, *, known: bool) -> str | None:
    """Say how little is free where the folder lies; None if it is enough. `known`: it was not."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return f"the disk of {folder} does not answer: {error.strerror}"
    if free >= (ENOUGH_FREE if known else LEAST_FREE):
        return None
    return f"only {free / 1e9:.1f} GB are free on the disk of {folder}"


def certificate_end(base_url: str) -> datetime | None:
    """Return when the certificate of an https address ends (KST); None if it does not show one.

    A certificate that is refused is not meant: each call says so (`KisClient.certificate_trouble`).
    """
    parts = urlsplit(base_url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    context = ssl.create_default_context()
    with suppress(OSError, ValueError):  # ssl's errors are OSErrors; the network may be away
        address = (parts.hostname, parts.port or 443)
        with (
            socket.create_connection(address, timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
        ):
            shown = connection.getpeercert() or {}
        seconds = ssl.cert_time_to_seconds(str(shown["notAfter"]))
        return to_kst_naive(datetime.fromtimestamp(seconds, tz=UTC))
    return None
