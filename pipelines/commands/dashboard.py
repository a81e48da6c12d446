"""`just dashboard`: the page that shows how the day is going."""

from __future__ import annotations

from engine.kis.holidays import DAYS_FILE
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
from pipelines.feed import feed_text
from pipelines.reports.dashboard import PAGE
from pipelines.reports.environment import (
    PAGE_DAYS,
    PAGE_FEED,
    REFRESH_PERIOD,
    STALE_AFTER,
    STALE_SECONDS,
)
from pipelines.reports.marimo_server import require_marimo, serve_page
from pipelines.reports.page_guard import is_loopback

_SESSION_KEPT = "10"  # seconds after a viewer has left


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
    """Serve a web page that shows how the day is going, until Ctrl+C.

    Parameters
    ----------
    host
        the address to listen on; another than this machine's own asks viewers for a token
    port
        the port to listen on
    allow_host
        a further name by which viewers reach the page, a proxy's; may be repeated
    token
        ask for a token here too
    refresh
        how often the page looks again: 2s, 5s, 1m
    stale
        seconds without a heartbeat after which a component counts as stopped
    """
    variables = {REFRESH_PERIOD: period("--refresh", refresh), STALE_SECONDS: str(stale)}
    require_marimo()
    require_free_port(host, port)
    setup_logging()
    with open_reader(database) as opened:
        if opened.kind == "live":
            variables[PAGE_DAYS] = str(opened.folder / "kis" / DAYS_FILE)
            if opened.settings.has_credentials:
                variables[PAGE_FEED] = feed_text(opened.settings)
        return serve_page(
            "run",
            PAGE,
            opened,
            host,
            port,
            guarded=token or not is_loopback(host),
            variables=variables,
            allowed=allow_host,
            options=["--session-ttl", _SESSION_KEPT],
        )
