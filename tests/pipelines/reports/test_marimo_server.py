"""The notebook as it is served: marimo behind our guard, in a process of its own."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipelines.reports import marimo_server
from pipelines.reports.page_guard import is_loopback
from tests.pipelines.reports.serving import serving


def test_the_notebooks_server_answers_no_other_page(database_url: str, tmp_path: Path) -> None:
    """The requests that a browser sends for another page, as raw HTTP."""
    options = ["--headless", "--notebook", str(tmp_path / "mine.py"), "--database", "simulation"]
    with serving(database_url, tmp_path, *options, command="research") as address:
        page, _, token = address.partition("?view-as=present&access_token=")
        assert httpx.get(page).status_code in (303, 401)
        inside = httpx.get(page, params={"access_token": token}, follow_redirects=True)
        assert inside.status_code == 200
        host = page.removeprefix("http://").rstrip("/")
        opening = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        for path, more in (("/", {}), ("/ws?session_id=s1", opening)):
            other = {"Origin": "http://evil.example"}
            assert httpx.get(page.rstrip("/") + path, headers={**more, **other}).status_code == 403
        with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as raw:
            given = {**opening, "Host": host, "Cookie": _cookies(page, token)}
            lines = [f"{name}: {value}" for name, value in given.items()]
            raw.sendall("\r\n".join(["GET /ws?session_id=s1 HTTP/1.1", *lines, "", ""]).encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 101")  # our own page still may


def _cookies(page: str, token: str) -> str:
    with httpx.Client() as client:
        client.get(page, params={"access_token": token})
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104
        ("192.168.0.5", False),
        ("example.com", False),
    ],
)
def test_only_the_machine_itself_needs_no_token(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_the_server_is_waited_for_however_often_we_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marimo_server, "_WAIT", 0.05)
    with subprocess.Popen(
        [sys.executable, "-c", "import time, sys; time.sleep(0.5); sys.exit(7)"], text=True
    ) as server:
        assert marimo_server._wait_for_end(server) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_is_heard_although_waits_go_on_after_a_signal() -> None:
    """Polars sets SA_RESTART: a wait without an end never heard Ctrl+C."""
    script = """
import signal, subprocess, sys
from pipelines.reports.marimo_server import _run
signal.siginterrupt(signal.SIGINT, False)  # which is what Polars does
asleep = [sys.executable, "-c", "import time; print('asleep', flush=True); time.sleep(600)"]
sys.exit(_run(asleep, {}, "here", guarded=False))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, process_group=0
    ) as page:
        assert page.stdout is not None
        lines = {page.stdout.readline() for _ in range(2)}
        assert "asleep\n" in lines
        page.send_signal(signal.SIGINT)
        assert page.wait(60) == 130


def test_a_page_whose_address_cannot_be_printed_does_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page was waited for, which nobody had been told of."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp949", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(UnicodeEncodeError):
        marimo_server._run(asleep, {}, "here", guarded=False)
