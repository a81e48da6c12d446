"""The page in a real browser: a phone's screen, what is pushed, both languages, a keyboard."""

from __future__ import annotations

import asyncio
import shutil
import socket
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from engine import schemas
from engine.clock import WallClock
from engine.history.scan import query
from engine.store import Store
from pipelines.commands.main import main
from tests.pipelines.reports.serving import PATIENCE, serving

STALE = 3  # seconds
START = datetime(2026, 11, 16, 15, 0)


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
                "fetched_at": [stamp + timedelta(seconds=30)],
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
    options.add_experimental_option("prefs", {"intl.accept_languages": "ko-KR,ko"})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    phone = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2}}
    options.add_experimental_option("mobileEmulation", phone)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def test_who_has_no_token_stays_outside_and_who_has_sees_the_day(
    filled: str, tmp_path: Path, browser: Any
) -> None:
    """One server and one browser for all of it: they take seconds to come up."""
    collect(filled, 1, 1050.25)
    options = ["--token", "--refresh", "1s", "--stale", str(STALE), "--database", "simulation"]
    with serving(filled, tmp_path, *options) as address:
        check_the_door(*address.split("?access_token="))
        if browser is not None:
            seen = Seen(browser)
            browser.get(address)
            check_the_first_screen(seen)
            check_what_is_pushed(seen, filled)
            check_the_languages(seen)
            check_choices_and_keys(seen, filled)
            check_the_wide_page(seen)
            said = [line["message"] for line in browser.get_log("browser")]
            assert [line for line in said if "favicon" not in line] == []
    if browser is None:
        warnings.warn("no chromium and chromedriver: the page was not looked at", stacklevel=1)
        pytest.skip("no chromium and chromedriver on this machine; the door was tried")


def check_the_door(page: str, token: str) -> None:
    """Nothing is shown without the token, or with a wrong one."""
    assert len(token) > 15
    for guess in ({}, {"access_token": "guess"}):
        outside = httpx.get(page, params=guess)
        assert outside.status_code == 401
        assert "korea-realtime-trading" not in outside.text
    inside = httpx.get(page, params={"access_token": token}, follow_redirects=False)
    assert inside.status_code == 303


class Seen:
    """What the browser shows."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def run(self, script: str) -> Any:
        return self.browser.execute_script(script)

    def text(self, selector: str) -> str | None:
        return self.run(
            f"const e = document.querySelector('{selector}'); return e && e.textContent"
        )

    def wait(self, script: str, why: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.browser, PATIENCE, poll_frequency=0.2)
        waiting.until(lambda _: self.run(f"return {script}"), why)

    def expect(self, selector: str, what: str, value: str) -> None:
        found = f"document.querySelector('{selector}')"
        self.wait(f"{found} && {found}.{what} === '{value}'", f"{selector} is not {value}")


PRICE, COLLECTOR = '[data-krt="price"]', '[data-krt="component"][data-name="collector"]'
LOADED = """
const entries = [...performance.getEntriesByType('resource'),
                 ...performance.getEntriesByType('navigation')];
return entries.reduce((sum, entry) => sum + entry.transferSize, 0)
"""
BOTTOM = "return Math.max(...[...document.querySelectorAll('{}')].map(e => {}))"


def check_the_first_screen(seen: Seen) -> None:
    """Price, signal and profit are on a phone's first screen, and nothing is cut off."""
    seen.expect(PRICE, "textContent", "1,050.25")
    for selector in (PRICE, "#signals", '[data-krt="net"]'):
        bottom = BOTTOM.format(selector, "e.getBoundingClientRect().bottom")
        assert seen.run(bottom) <= 844, selector
    assert seen.run("return document.documentElement.scrollWidth") <= 390
    cut = "return [...document.querySelectorAll('td, th, .big')].filter(e => e.offsetParent"
    cut += " && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'hidden')"
    assert seen.run(cut + ".map(e => e.textContent)") == []
    seen.wait("document.querySelectorAll('#chart canvas').length > 0", "no chart")
    assert 50_000 < seen.run(LOADED) < 400_000, "bytes over the wire; 1.5 MB are allowed"
    assert "A01612" in seen.run("return document.getElementById('chart').ariaLabel")


def check_what_is_pushed(seen: Seen, url: str) -> None:
    """A price is the last one; a component is red when it stops and green when it is back."""
    seen.expect(COLLECTOR, "dataset.state", "stopped")  # without new heartbeats
    seen.run("document.querySelector('[data-krt=\"price\"]').closest('main').dataset.kept = 'yes'")
    collect(url, 2, 1051.5)
    seen.expect(COLLECTOR, "dataset.state", "running")
    seen.expect(PRICE, "textContent", "1,051.50")
    seen.expect("main", "dataset.kept", "yes")  # nothing was loaded again
    seen.expect(COLLECTOR, "dataset.state", "stopped")


def check_the_languages(seen: Seen) -> None:
    assert seen.text("#positions h2") == "포지션과 손익"
    seen.run("document.getElementById('language').click()")
    seen.expect("#positions h2", "textContent", "Positions and P&L")
    assert seen.run("return document.documentElement.lang") == "en"
    shown = "[...document.querySelectorAll('body *')].filter(e => e.id !== 'language')"
    shown += ".flatMap(e => [...e.childNodes].filter(n => n.nodeType === 3))"
    korean = seen.run(f"return {shown}.map(n => n.data).filter(t => /[가-힣]/.test(t))")
    assert korean == []


def check_choices_and_keys(seen: Seen, url: str) -> None:
    """What is chosen is shown without a load; the keyboard moves the chart."""
    choose = "const s = document.querySelector('select[name=symbol]'); s.value = '005930';"
    seen.run(choose + "s.dispatchEvent(new Event('change', {bubbles: true}))")
    close = query(url, "SELECT close FROM stocks_1m WHERE timestamp = '2026-11-16 15:02'").item()
    seen.expect(PRICE, "textContent", f"{close:,.0f}")
    assert seen.run("return location.search") == "?symbol=005930"
    past = "const d = document.querySelector('input[name=day]'); d.value = '2026-11-13';"
    seen.run(past + "d.dispatchEvent(new Event('change', {bubbles: true}))")
    seen.expect("#kind span", "textContent", "simulated data · a past day: 2026-11-13")
    seen.run("document.querySelector('[data-today]').click()")
    seen.expect("#kind span", "textContent", "simulated data")
    focus = "document.getElementById('chart').focus(); return document.activeElement.id"
    assert seen.run(focus) == "chart"
    check_the_keys(seen)
    names = "[...document.querySelectorAll('select, input, button')]"
    named = f"return {names}.every(e => (e.labels && e.labels.length) || e.textContent.trim())"
    assert seen.run(named)
    assert seen.run(
        "return [...document.querySelectorAll('.pictures svg')].every(e => e.ariaLabel)"
    )


def check_the_keys(seen: Seen) -> None:
    """Each key moves the chart, and 0 shows the day again, just as it was."""
    from selenium.webdriver.common.keys import Keys

    drawn = "return [...document.querySelectorAll('#chart canvas')].map(c => c.toDataURL()).join()"
    chart = seen.browser.find_element("id", "chart")
    before = []
    for key in ("0", Keys.ARROW_LEFT, "+", "-", Keys.ARROW_RIGHT):
        chart.send_keys(key)
        moved = f"(() => {{ {drawn} }})()"
        seen.wait(f"!{before!r}.includes({moved})", f"{key!r} moved nothing")
        before.append(seen.run(drawn))
    chart.send_keys("0")
    seen.wait(f"{moved} === {before[0]!r}", "0 did not show the day again")


def check_the_wide_page(seen: Seen) -> None:
    """On a wide and dark screen the paper is dark and nothing sticks out."""
    wide = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    seen.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", wide)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    seen.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    paper = "getComputedStyle(document.body).backgroundColor === 'rgb(19, 21, 25)'"
    seen.wait(paper, "not dark")
    assert seen.run("return document.documentElement.scrollWidth") <= 1400
    left = "document.getElementById('chart').getBoundingClientRect().right"
    right = "document.getElementById('signals').getBoundingClientRect().left"
    assert seen.run(f"return {left} < {right}"), "the signals stand beside the chart"


def test_a_port_that_is_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["dashboard", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
