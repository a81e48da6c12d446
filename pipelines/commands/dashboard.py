"""`just dashboard`: the page that shows the market and how the day is going."""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import suppress

import psutil

from engine.history.listings import NAMES, learn_names
from engine.history.scan import query
from engine.kis.holidays import DAYS_FILE, load_kis_days
from engine.log import setup_logging
from pipelines.commands.options import (
    DatabaseOption,
    Names,
    Port,
    Seconds,
    period,
    require_free_port,
)
from pipelines.databases import open_reader
from pipelines.feed import configured_feed
from pipelines.reports.dashboard.address import page_address, qr_code
from pipelines.reports.dashboard.assets import assets
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.server import PageServer
from pipelines.reports.environment import STALE_AFTER
from pipelines.reports.page_guard import is_loopback

_NICER = 5  # looking must not slow the collector
_UNITS = {"s": 1.0, "m": 60.0}


def dashboard(
    *,
    host: str = "127.0.0.1",
    port: Port = 2718,
    allow_host: Names = (),
    token: bool | None = None,
    refresh: str = "5s",
    stale: Seconds = STALE_AFTER,
    database: DatabaseOption = None,
) -> int:
    """Serve a web page with the market and how the day is going, until Ctrl+C.

    Parameters
    ----------
    host
        the address to listen on; on any but this machine's own, viewers are asked for a token
    port
        the port to listen on
    allow_host
        a further name by which viewers reach the page, a proxy's; may be repeated
    token
        ask for a token on this machine's own address, too
    refresh
        how often the page looks again: 2s, 5s, 1m
    stale
        seconds without a heartbeat after which a component counts as stopped
    """
    every = period("--refresh", refresh)
    require_free_port(host, port)
    setup_logging()
    with open_reader(database) as opened:
        feed = None
        if opened.kind == "live":
            load_kis_days(opened.folder / "kis" / DAYS_FILE)
            if opened.settings.has_credentials:
                feed = configured_feed(opened.settings)
        simulated = opened.kind == "simulation"
        viewer = Viewer(opened.url, simulated, stale, feed=feed, folder=opened.folder)
        guarded = token or not is_loopback(host)
        secret = secrets.token_urlsafe(16) if guarded else ""
        allowed = frozenset(name.lower() for name in allow_host)
        seconds = int(every[:-1]) * _UNITS[every[-1]]
        usual = opened.settings.language
        server = PageServer(viewer, host, port, seconds, secret, allowed, usual)
        _lower_priority()
        learn_names(query(opened.url, NAMES))
        assets()  # made before anybody waits for them, with the letters of the names
        asyncio.run(server.serve(lambda: _announce(host, port, secret)))
    return 0


def _announce(host: str, port: int, token: str) -> None:
    """Print where the page is; the token opens it: it is written nowhere else."""
    address = page_address(host, port, token)
    sys.stdout.write(f"🚀 {address}\n")
    if not is_loopback(host):
        sys.stdout.write(qr_code(address, sys.stdout.encoding))
    sys.stdout.flush()


def _lower_priority() -> None:
    """Let the collector go first on the processor."""
    nice = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _NICER)
    with suppress(psutil.Error):
        psutil.Process().nice(nice)
