"""`krt dashboard` and `krt research`: marimo's server on a page of ours, as a child process."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.configuration import load
from engine.errors import InputError
from engine.log import setup_logging
from pipelines.commands.options import Port, Seconds, period
from pipelines.databases import Kind, folder, kind_of
from pipelines.databases import database as open_database
from pipelines.reports.environment import (
    READER_SIMULATED,
    READER_URL,
    REFRESH_PERIOD,
    STALE_AFTER,
    STALE_SECONDS,
)
from pipelines.reports.read_only import reader_url

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_GRACE = 10.0  # seconds for the server to end by itself
# marimo waits to be told unless its user's settings say otherwise; the notebook is ours
_RUN_AT_ONCE = {"_MARIMO_CONFIG_OVERLOAD_RUNTIME_AUTO_INSTANTIATE": "true"}
# Ctrl+C is ours to answer: the server would print a traceback, and says farewell with a warning
_APART: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"process_group": 0}
)
# Windows hears Ctrl+C only between waits; elsewhere a wait with an end is a busy one
_WAIT = 1.0 if sys.platform == "win32" else None
_AT_ITS_END = "ignore:resource_tracker:UserWarning"
_NICER = 5  # looking must not slow the collector


def dashboard(
    *,
    host: str = "127.0.0.1",
    port: Port = 2718,
    token: bool | None = None,
    refresh: str = "5s",
    stale: Seconds = STALE_AFTER,
    database: Kind | None = None,
) -> int:
    """Serve a web page that shows how the day is going, until Ctrl+C.

    Parameters
    ----------
    host
        the address to listen on; another than this machine's own asks viewers for a token
    port
        the port to listen on
    token
        ask for a token here too
    refresh
        how often the page looks again: 2s, 5s, 1m
    stale
        seconds without a heartbeat after which a component counts as stopped
    database
        live or simulation; live where there are credentials
    """
    page = _HERE / "dashboard" / "page.py"
    guarded = token or not is_loopback(host)
    settings = {REFRESH_PERIOD: period("--refresh", refresh), STALE_SECONDS: str(stale)}
    return _serve("run", page, host, port, database, guarded=guarded, settings=settings)


def research(
    *,
    notebook: Path | None = None,
    host: str = "127.0.0.1",
    port: Port = 2719,
    headless: bool = False,
    database: Kind | None = None,
) -> int:
    """Open the research notebook in the browser, until Ctrl+C; it is a copy of yours to change.

    Parameters
    ----------
    notebook
        where your copy is; by default notebook.py beside the database
    host
        the address to listen on; whoever has the token can run any code here
    port
        the port to listen on
    headless
        do not open a browser
    database
        live or simulation; live where there are credentials
    """
    template = _HERE.parent / "research" / "notebook.py"
    configuration, yours = load()
    kind = kind_of(configuration, yours, database)
    copy = notebook or folder(configuration, kind) / "notebook.py"
    if copy.exists() and not copy.is_file():
        raise InputError(f"--notebook {copy} is no file: name a notebook.py")
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(template.read_text("utf-8"), "utf-8")
    return _serve(
        "edit",
        copy,
        host,
        port,
        kind,
        guarded=True,
        settings=_RUN_AT_ONCE,
        options=["--headless"] if headless else [],
    )


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(
    mode: Literal["run", "edit"],
    page: Path,
    host: str,
    port: int,
    database: Kind | None,
    *,
    guarded: bool,
    settings: Mapping[str, str] | None = None,
    options: list[str] | None = None,
) -> int:
    if find_spec("marimo") is None:
        raise InputError("this needs marimo: install korea-realtime-trading[research]")
    must_be_free(host, port)
    setup_logging()
    configuration, yours = load()
    kind = kind_of(configuration, yours, database)
    with open_database(configuration, yours, kind) as url:
        environment = {
            **os.environ,
            **(settings or {}),
            READER_URL: reader_url(url),
            READER_SIMULATED: "1" if kind == "simulation" else "",
            "PYTHONWARNINGS": _AT_ITS_END,
        }
        command = [
            sys.executable,
            "-m",
            "marimo",
            "-q",
            "-l",
            "error",
            mode,
            str(page),
            "--host",
            host,
            "--port",
            str(port),
            *(options or []),
        ]
        return _run(command, environment, f"http://{host}:{port}", guarded=guarded)


def _run(command: list[str], environment: Mapping[str, str], address: str, *, guarded: bool) -> int:
    """Run marimo until it ends or is ended. The token goes in by its standard input."""
    token = secrets.token_urlsafe(16) if guarded else ""
    options = ["--token-password-file", "-"] if guarded else ["--no-token"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [*command, *options], env=dict(environment), stdin=subprocess.PIPE, text=True, **_APART
    ) as server:
        _step_back(server.pid)
        assert server.stdin is not None  # noqa: S101 - asked for
        server.stdin.write(token)
        server.stdin.close()
        # Whoever reads this line may come in; it is said here and written nowhere.
        sys.stdout.write(f"🚀 {address}{f'?access_token={token}' if token else ''}\n")
        sys.stdout.flush()
        try:
            return _ended(server)
        except KeyboardInterrupt:
            return 130
        finally:
            _end(server)


def _ended(server: subprocess.Popen[str]) -> int:
    """Wait for the end of the server; return its exit code."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return server.wait(_WAIT)


def _step_back(pid: int) -> None:
    """Let the collector go first on the processor."""
    nice = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _NICER)
    with suppress(psutil.Error):
        psutil.Process(pid).nice(nice)


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(_GRACE)
    except subprocess.TimeoutExpired:
        server.kill()


def must_be_free(host: str, port: int) -> None:
    """Raise InputError if somebody else listens there: marimo would just take another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot listen on {host}:{port}: {reason}; see --port") from None
