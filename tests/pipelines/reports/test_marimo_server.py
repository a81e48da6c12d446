"""The page as it is served: in a real browser, and behind a token."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from engine import schemas
from engine.clock import WallClock
from engine.store import Store
from pipelines.commands.main import main
from pipelines.reports import marimo_server
from pipelines.reports.page_guard import is_loopback
from tests.paths import ROOT

START = datetime(2026, 11, 16, 9, 0)
STALE = 3  # seconds
PATIENCE = 60  # seconds that a busy machine may take


@contextmanager
def serving(url: str, folder: Path, *options: str) -> Iterator[str]:
    """Run `just dashboard`; yield the address that it says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "pipelines.commands.main",
        "dashboard",
        "--port",
        str(port),
        *options,
    ]
    root = str(ROOT)
    environment = {**os.environ, "KRT_DATABASE_URL": url, "PYTHONPATH": root}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("🚀 ").strip()
        wait_until_up(f"http://127.0.0.1:{port}/health")
        yield address
    finally:
        server.terminate()
        assert server.wait(30) in (130, 1)
    with pytest.raises(httpx.ConnectError):  # it took its server with it
        httpx.get(f"http://127.0.0.1:{port}/health")


def wait_until_up(address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"{address} did not come up")


def collect(url: str, minute: int, close: float) -> None:
    """Do what the collector does in a minute: commit a bar, say that it lives."""

    async def one() -> None:
        store = Store(url, WallClock(), component="test")
        stamp = START + timedelta(minutes=minute)
        bar = pl.DataFrame(
            {
                "timestamp": [stamp],
                "symbol": ["A01612"],
                "open": [close],
                "high": [close],
                "low": [close],
                "close": [close],
                "volume": [5],
                "fetched_at": [stamp],
                "source": [schemas.REST],
            }
        )
        await store.merge("futures_1m", schemas.conform(bar, schemas.FUTURES_BARS))
        beat = pl.DataFrame(
            [["collector", stamp, "running", f"minute {minute}", minute, stamp]],
            schema=schemas.SYSTEM_STATUS.names,
            orient="row",
        )
        await store.merge("system_status", schemas.conform(beat, schemas.SYSTEM_STATUS))
        await store.close()

    asyncio.run(one())


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless browser of a phone's width; None if none is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not program or not driver:
        yield None
        return
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    phone = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2}}
    options.add_experimental_option("mobileEmulation", phone)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def test_who_has_no_token_stays_outside_and_who_has_sees_the_day(
    database_url: str, tmp_path: Path, browser: Any
) -> None:
    """One server for both: it takes some seconds to come up."""
    collect(database_url, 1, 1050.25)
    options = ["--token", "--refresh", "1s", "--stale", str(STALE), "--database", "simulation"]
    with serving(database_url, tmp_path, *options) as address:
        check_the_door(*address.split("?access_token="))
        if browser is not None:
            check_the_page(browser, address, database_url)
    if browser is None:
        warnings.warn("no chromium and chromedriver: the page was not looked at", stacklevel=1)
        pytest.skip("no chromium and chromedriver on this machine; the door was tried")


def check_the_door(page: str, token: str) -> None:
    """Nothing is shown without the token, or with a wrong one."""
    assert len(token) > 15
    for guess in ({}, {"access_token": "guess"}):
        outside = httpx.get(page, params=guess)
        assert outside.status_code in (303, 401)
        assert "korea-realtime-trading" not in outside.text
    inside = httpx.get(page, params={"access_token": token}, follow_redirects=True)
    assert inside.status_code == 200
    assert "korea-realtime-trading" in inside.text


def check_the_page(browser: Any, address: str, url: str) -> None:
    """A price is the last one; a component turns red when it stops and green when it is back."""
    from selenium.webdriver.support.ui import WebDriverWait

    def shown(selector: str, what: str) -> object:
        script = f"const e = document.querySelector('{selector}'); return e && e.{what}"
        return browser.execute_script(script)

    def expect(selector: str, what: str, value: object) -> None:
        waiting = WebDriverWait(browser, PATIENCE, poll_frequency=0.2)
        waiting.until(lambda _: shown(selector, what) == value, f"{selector} is not {value}")

    price, collector = '[data-krt="price"]', '[data-krt="component"][data-name="collector"]'
    browser.get(address)
    expect(price, "textContent", "1,050.25")
    expect(collector, "dataset.state", "stopped")  # without heartbeats
    collect(url, 2, 1051.5)
    expect(collector, "dataset.state", "running")
    expect(price, "textContent", "1,051.50")
    expect(collector, "dataset.state", "stopped")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_s2_the_server_itself_answers_no_other_page(database_url: str, tmp_path: Path) -> None:
    """S2. The requests that a browser sends for another page, as raw HTTP."""
    with serving(database_url, tmp_path) as address:
        assert httpx.get(address).status_code == 200
        host = address.removeprefix("http://")
        opening = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        for path, more in (("/", {}), ("/ws?session_id=s1", opening)):
            for wrong in ({"Origin": "http://evil.example"}, {"Host": f"evil.example:{host[-5:]}"}):
                assert httpx.get(address + path, headers={**more, **wrong}).status_code == 403
        with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as raw:
            lines = [f"{name}: {value}" for name, value in {**opening, "Host": host}.items()]
            raw.sendall("\r\n".join(["GET /ws?session_id=s1 HTTP/1.1", *lines, "", ""]).encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 101")  # our own page still may


def test_a_port_that_is_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["dashboard", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


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
def test_l13_ctrl_c_is_heard_although_waits_go_on_after_a_signal() -> None:
    """L13. Polars sets SA_RESTART: a wait without an end never heard Ctrl+C."""
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


def test_l11_a_page_whose_address_cannot_be_printed_does_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L11. The page was waited for, which nobody had been told of."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp949", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(UnicodeEncodeError):
        marimo_server._run(asleep, {}, "here", guarded=False)
