"""marimo's server on the notebook, as a child process: `just research`."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import psutil

from engine.environment import page_environment
from engine.errors import InputError
from pipelines.databases import Database
from pipelines.reports.environment import (
    PAGE_ALLOWED,
    PAGE_NAMES,
    READER_SIMULATED,
    READER_URL,
)
from pipelines.reports.page_guard import page_names

# marimo waits to be told unless its user's settings say otherwise; the notebook is ours
RUN_AT_ONCE = {"_MARIMO_CONFIG_OVERLOAD_RUNTIME_AUTO_INSTANTIATE": "true"}
_GRACE = 10.0  # seconds for the server to end by itself
# Ctrl+C is ours to answer: the server would print a traceback, and ends with a warning
_OWN_GROUP: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"process_group": 0}
)
# Not for ever: Windows hears Ctrl+C only between waits, and so does Linux once Polars is loaded,
# which has the system go on with a wait that a signal interrupted (SA_RESTART).
_WAIT = 1.0
_TRIALS = 60  # to reach the server, one each `_WAIT`
_AS_A_GALLERY = "view-as=present"  # marimo's view without code
_NO_WARNING_AT_EXIT = "ignore:resource_tracker:UserWarning"
_MARIMO = "pipelines.reports.guarded_marimo"
_NICER = 5  # looking must not slow the collector


def require_marimo() -> None:
    """Raise InputError unless marimo is installed."""
    if find_spec("marimo") is None:
        raise InputError("this needs marimo: install korea-realtime-trading[research]")


def serve_page(
    page: Path,
    database: Database,
    host: str,
    port: int,
    *,
    guarded: bool,
    variables: Mapping[str, str],
    allowed: Sequence[str] = (),
    browse: bool = False,
) -> int:
    """Serve the page until the server ends or Ctrl+C; return the exit code.

    The page has the database's URL: that of a reader. A guarded one asks for a token, which is
    printed as part of the address. `allowed` are the names of proxies before it. `variables` go
    into its environment. It is shown as a gallery, whose pencil shows the code; with `browse` in
    the user's browser.
    """
    environment = page_environment(**variables) | {
        READER_URL: database.url,
        PAGE_NAMES: ",".join(page_names(host, guarded=guarded)),
        PAGE_ALLOWED: ",".join(name.lower() for name in allowed),
        READER_SIMULATED: "1" if database.kind == "simulation" else "",
        "PYTHONWARNINGS": _NO_WARNING_AT_EXIT,
    }
    command = [
        sys.executable,
        "-m",
        _MARIMO,
        "-q",
        "-l",
        "error",
        "edit",
        str(page),
        "--host",
        host,
        "--port",
        str(port),
        "--headless",  # it would open the page with its code first
    ]
    where = f"http://{host}:{port}"
    return _run(command, environment, where, guarded=guarded, browse=browse)


def _run(
    command: list[str],
    environment: Mapping[str, str],
    address: str,
    *,
    guarded: bool,
    browse: bool = False,
) -> int:
    """Run marimo until it ends or is ended. The token goes in by its standard input."""
    token = secrets.token_urlsafe(16) if guarded else ""
    options = ["--token-password-file", "-"] if guarded else ["--no-token"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [*command, *options], env=dict(environment), stdin=subprocess.PIPE, text=True, **_OWN_GROUP
    ) as server:
        _lower_priority(server.pid)
        try:  # whatever happens from here on: the end of the block waits for the server
            assert server.stdin is not None  # noqa: S101 - asked for
            server.stdin.write(token)
            server.stdin.close()
            # The token opens the page: it is printed here and written nowhere else.
            shown = f"{address}?{_AS_A_GALLERY}{f'&access_token={token}' if token else ''}"
            sys.stdout.write(f"🚀 {shown}\n")
            sys.stdout.flush()
            if browse:
                Thread(target=_browse, args=(shown,), daemon=True).start()
            return _wait_for_end(server)
        except KeyboardInterrupt:
            return 130
        finally:
            _stop(server)


def _browse(address: str) -> None:
    """Open the page in the user's browser once its server listens."""
    place = urlsplit(address)
    for _ in range(_TRIALS):
        with suppress(OSError), socket.create_connection((place.hostname, place.port), _WAIT):
            webbrowser.open(address)
            return
        Event().wait(_WAIT)


def _wait_for_end(server: subprocess.Popen[str]) -> int:
    """Wait until the server ends; return its exit code."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return server.wait(_WAIT)


def _lower_priority(pid: int) -> None:
    """Let the collector go first on the processor."""
    nice = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _NICER)
    with suppress(psutil.Error):
        psutil.Process(pid).nice(nice)


def _stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(_GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
