"""The page of a whole market: what is asked, what is pushed, and how one stock is found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine import schemas
from engine.clock import VirtualClock
from engine.market.expected import expected_sessions, expected_stamps
from engine.store import Store
from engine.store.connection import fetch_frame
from engine.store.listings import store_listings
from pipelines.reports.dashboard import content
from pipelines.reports.dashboard.board import DayBoard, read_day
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.instruments import (
    FOUND_SHOWN,
    OPTIONS_SHOWN,
    ROWS_SHOWN,
    find_symbols,
)
from pipelines.texts import Texts
from tests.databases import fresh_database
from tests.engine.store.data import listings
from tests.pipelines.reports.browser import opened_browser
from tests.pipelines.reports.serving import PATIENCE, serving
from tests.pipelines.reports.test_page_server import served

DAY, EVENING = date(2026, 11, 16), datetime(2026, 11, 16, 18)
STOCKS = [f"{n:05}0" for n in range(1, 101)]
LACKING = "000990"  # without its first bar
KO, EN = Texts("ko"), Texts("en")


@pytest.fixture(scope="module")
def swept(server_url: str) -> Iterator[str]:
    """The URL of a database with a session of a hundred stocks, brought after the close."""
    with fresh_database(server_url) as url:
        asyncio.run(fill(url))
        yield url


async def fill(url: str) -> None:
    store = Store(url, VirtualClock(EVENING), component="test")
    stamps = expected_stamps(expected_sessions([*STOCKS, "005930"], DAY, DAY))
    is_lost = (pl.col("symbol") == LACKING) & (pl.col("index_in_session") == 0)
    close = 1_000.0 + pl.col("symbol").cast(pl.Int64)
    frame = stamps.filter(~is_lost).with_columns(
        timestamp="stamp",
        timeframe=pl.lit("1m"),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=7,
        fetched_at=EVENING,
        source=pl.lit(schemas.REST),
    )
    await store.merge("stocks_1m", schemas.conform(frame, schemas.STOCK_BARS))
    await store_listings(store, listings(c005930="삼성전자"), DAY)
    await store.close()


@pytest.fixture
def viewer(swept: str) -> Viewer:
    return Viewer(swept, simulated=False, clock=VirtualClock(EVENING), fresh=3600)


def test_no_bar_of_a_market_is_fetched_for_its_page(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    def counted(cursor: Any, sql: str) -> pl.DataFrame:
        found = fetch_frame(cursor, sql)
        rows.append(found.height)
        return found

    monkeypatch.setattr("pipelines.reports.dashboard.board.fetch_frame", counted)
    look = viewer.read(PageChoice(symbol="000420"))
    assert look.board is not None
    assert look.board.day.symbols.height == len(STOCKS) + 1
    chart, lacking = 381, 380
    assert sum(rows) < chart + lacking + 10 * len(STOCKS)
    today = look.board.day.symbols.select("symbol", "timestamp", "close", "missing")
    last = datetime(2026, 11, 16, 15, 30)
    assert today.row(by_predicate=pl.col("symbol") == "000420") == ("000420", last, 1_420.0, 0)
    assert today.row(by_predicate=pl.col("symbol") == LACKING)[3] == 1


def test_of_a_market_the_page_shows_what_matters(viewer: Viewer) -> None:
    parts = viewer.read(PageChoice(symbol="000420")).parts(KO)
    assert parts["instruments"].count("<tr") == ROWS_SHOWN + 1
    for symbol in ("000420", LACKING, "000010"):
        assert f'data-symbol="{symbol}"' in parts["instruments"]
    assert 'data-symbol="000980"' not in parts["instruments"]
    assert f"그 밖에 {len(STOCKS) + 1 - ROWS_SHOWN}종목" in parts["instruments"]
    assert "000010" not in parts["choices"]
    assert sum(map(len, parts.values())) < 60_000


def test_a_few_instruments_are_a_list_to_choose_from(filled: str) -> None:
    viewer = Viewer(filled, simulated=False, clock=VirtualClock(EVENING))
    look = viewer.read(PageChoice())
    assert look.board is not None
    assert look.board.day.symbols.height < OPTIONS_SHOWN
    parts = look.parts(KO)
    assert '<option value="005930">' in parts["choices"]
    assert "name=find" not in parts["choices"]
    assert "그 밖에" not in parts["instruments"]


async def test_a_stock_is_found_by_the_beginning_of_its_code_or_by_its_name(
    swept: str, viewer: Viewer
) -> None:
    look = viewer.read()
    assert look.board is not None
    day = look.board.day
    assert [code for code, _ in find_symbols(KO, day, "삼성")] == ["005930"]
    assert find_symbols(EN, day, "samsung")[0][0] == "005930"
    codes = [code for code, _ in find_symbols(KO, day, " 0009")]
    assert codes == [*(f"0009{n}0" for n in range(10)), "000090"]
    assert len(find_symbols(KO, day, "")) == FOUND_SHOWN
    assert find_symbols(KO, day, "nobody") == []
    assert all(code in name for code, name in find_symbols(KO, day, "00"))
    async with served(swept) as client:
        query = {"find": "00099", "day": str(DAY), "lang": "ko"}
        found = await (await client.get("/symbols", params=query)).json()
        assert found == [["000990", KO.name_of("000990")]]


def test_what_took_long_to_read_is_kept_for_longer(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten who watch a market must not have it counted each second."""
    seconds, read = [0.0], []

    def read_slowly(*given: Any, **named: Any) -> DayBoard:
        seconds[0] += 2.0
        read.append(seconds[0])
        return read_day(*given, **named)

    monkeypatch.setattr(content.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(content, "read_day", read_slowly)
    viewer.fresh = 1.0
    for passed, times in ((0.0, 1), (1.5, 1), (17.0, 1), (4.0, 2)):
        seconds[0] += passed
        assert viewer.read().now == EVENING
        assert len(read) == times


def test_the_keyboard_finds_and_chooses_a_stock(swept: str, tmp_path: Path) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with (
        serving(swept, tmp_path, "--database", "simulation") as address,
        opened_browser(width=390, height=844) as browser,
    ):
        # The page replaces its parts: one that was found may be gone when it is read.
        gone = [StaleElementReferenceException]
        waiting = WebDriverWait(browser, PATIENCE, 0.1, ignored_exceptions=gone)
        browser.get(f"{address}?day={DAY}")
        waiting.until(lambda page: page.find_elements("name", "find"))
        field = browser.find_element("name", "find")
        field.click()
        field.send_keys("0004")
        options = "#found li"
        waiting.until(lambda page: len(page.find_elements("css selector", options)) == 11)
        assert field.get_attribute("aria-expanded") == "true"
        field.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        marked = browser.find_element("css selector", f'{options}[aria-selected="true"]')
        assert marked.get_attribute("id") == field.get_attribute("aria-activedescendant")
        assert "000420" in marked.text
        field.send_keys(Keys.ENTER)
        waiting.until(lambda page: "symbol=000420" in page.current_url)
        price = '[data-krt="price"]'
        waiting.until(lambda page: page.find_element("css selector", price).text == "1,420")
        assert browser.find_elements("css selector", "#choices option[value='000420']") == []
        field = browser.find_element("name", "find")
        assert "000420" in str(field.get_attribute("value"))
        field.click()
        field.send_keys("zzz", Keys.ESCAPE)
        width = "return [document.documentElement.scrollWidth, innerWidth]"
        assert browser.execute_script(width) == [390, 390]
        said = [line["message"] for line in browser.get_log("browser")]
        assert [line for line in said if "favicon" not in line] == []
