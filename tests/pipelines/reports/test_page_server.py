"""The page's server: who gets in, what is pushed to whom, how much that is, its files."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from fontTools.ttLib import TTFont

from engine.market.symbols import parse
from pipelines.read_only import reader_url
from pipelines.reports.dashboard.address import lan_address, page_address, qr_code
from pipelines.reports.dashboard.assets import STATIC, assets
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.server import PageServer
from pipelines.texts import Texts, catalogue
from tests.pipelines.reports.noon import Noon

TOKEN = "a-token-of-some-length"
Client = TestClient[Any, Any]


@asynccontextmanager
async def served(url: str, **options: Any) -> AsyncIterator[Client]:
    viewer = Viewer(reader_url(url), simulated=False, clock=Noon(), fresh=options.pop("fresh", 1.0))
    page = PageServer(viewer, "127.0.0.1", 2718, **{"refresh": 0.05, **options})
    async with TestClient(TestServer(page.application())) as client:
        yield client


class Events:
    """The events of a response, unpacked as a browser does."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.text = b""

    async def next(self) -> dict[str, Any]:
        while b"\n\n" not in self.text:
            self.text += await self.response.content.readany()
        first, _, self.text = self.text.partition(b"\n\n")
        found: dict[str, Any] = orjson.loads(first.removeprefix(b"data: "))
        return found


async def test_first_everything_is_pushed_then_what_changed(filled: str) -> None:
    async with served(filled) as client:
        response = await client.get("/events")
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = Events(response)
        whole = await events.next()
        assert {"price", "signals", "positions", "chain", "options", "health"} <= set(
            whole["parts"]
        )
        place, bars = whole["rows"]["bars"]
        assert place == 0
        assert len(bars) == 2 * 411 + 193  # of three sessions, one of which is at noon
        for _ in range(3):
            later = await events.next()
            assert later["parts"] == {}
            assert "rows" not in later
            assert later["now"] == whole["now"]
        response.close()


async def test_a_choice_is_shown_to_who_chose_and_unknown_ones_are_not_believed(
    filled: str,
) -> None:
    async with served(filled) as client:
        for query, symbol in (
            ({}, "A01612"),
            ({"symbol": "005930"}, "005930"),
            ({"symbol": "<script>"}, "A01612"),
            ({"symbol": "A01612", "day": "soon", "chain": "x", "strategy": "none"}, "A01612"),
        ):
            state = await (await client.get("/state", params=query)).json()
            assert state["chart"]["key"].startswith(f"{symbol} ")
        english = await (await client.get("/state", params={"lang": "en"})).json()
        assert "Positions and P&amp;L" in english["parts"]["positions"]
        second = await (
            await client.get(
                "/state", params={"chain": "202701_KOSPI200", "strikes": "all", "lang": "ko"}
            )
        ).json()
        assert "2027년 1월물" in second["parts"]["chain"]
        assert second["parts"]["chain"].count("data-strike=") == 31


async def test_the_language_is_the_browsers_until_it_is_switched(filled: str) -> None:
    async with served(filled) as client:
        for accepted, language in (("ko-KR,ko", "ko"), ("en-US", "en"), ("ja", "en")):
            page = await (await client.get("/", headers={"Accept-Language": accepted})).text()
            assert f'<html lang="{language}">' in page
        await client.get("/?lang=ko")
        again = await (await client.get("/", headers={"Accept-Language": "en"})).text()
        assert '<html lang="ko">' in again


async def test_without_the_token_nothing_is_shown_and_our_own_login_asks_for_it(
    filled: str,
) -> None:
    async with served(filled, token=TOKEN) as client:
        for path in ("/state", "/events", "/nothing"):
            assert (await client.get(path)).status == 401
        for query in ({}, {"access_token": "guess"}):
            outside = await client.get("/", params=query, headers={"Accept-Language": "ko"})
            assert outside.status == 401
            text = await outside.text()
            assert "토큰을 입력하세요" in text
            assert 'id="chart"' not in text
        wrong = await client.post("/login", data={"token": "guess"})
        assert (wrong.status, "not the token" in await wrong.text()) == (401, True)
        right = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
        cookie = right.cookies["krt_2718"]
        assert (right.status, right.headers["Location"]) == (303, "/")
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert TOKEN not in cookie.value
        assert (await client.get("/state")).status == 200


async def test_the_address_with_the_token_lets_in_and_is_not_kept(filled: str) -> None:
    async with served(filled, token=TOKEN) as client:
        answer = await client.get(
            "/", params={"access_token": TOKEN, "symbol": "005930"}, allow_redirects=False
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/?symbol=005930")
        inside = await client.get("/")
        assert inside.status == 200
        assert TOKEN not in await inside.text()


async def test_our_server_answers_no_other_page(filled: str) -> None:
    """A page of somebody else reads nothing, whatever name it gives us."""
    async with served(filled) as client:
        for path in ("/", "/state", "/events", "/health"):
            for wrong in (
                {"Origin": "http://evil.example"},
                {"Host": "evil.example:2718"},
                {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"},
            ):
                assert (await client.get(path, headers=wrong)).status == 403
    async with served(filled, allowed=frozenset({"desk.example"})) as client:
        assert (await client.get("/", headers={"Host": "desk.example"})).status == 200


async def test_no_page_frames_ours_and_no_script_of_others_runs_in_it(filled: str) -> None:
    async with served(filled) as client:
        answer = await client.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert not re.search(r"<script>|\son\w+=", await answer.text())


async def test_so_many_may_watch_our_page_and_no_more(filled: str) -> None:
    async with served(filled, most_viewers=2) as client:
        watching = [await client.get("/events") for _ in range(2)]
        assert (await client.get("/events")).status == 503
        assert (await client.get("/state")).status == 200
        for response in watching:
            response.close()


async def test_all_that_a_browser_loads_is_small(filled: str) -> None:
    """All but the first event is kept by the browser for the next time."""
    async with served(filled) as client:
        page = await (await client.get("/")).read()
        state = await (await client.get("/state")).read()
    files = sum(len(asset.packed) for asset in assets().values())
    whole = len(gzip.compress(page)) + len(gzip.compress(state)) + files
    assert whole < 250_000, whole  # bytes; 1.5 MB are allowed
    assert len(gzip.compress(state)) < 90_000


async def test_files_are_kept_by_the_browser_and_no_other_is_sent(filled: str) -> None:
    async with served(filled, token=TOKEN) as client:
        version = re.findall(r"/static/(\w+)/page.css", await (await client.get("/")).text())[0]
        for name in assets():
            answer = await client.get(f"/static/{version}/{name}")
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]
        for name in ("page.html", "../server.py", "..%2fserver.py", "nothing.js"):
            assert (await client.get(f"/static/{version}/{name}")).status in (401, 404)


def test_the_font_has_every_letter_of_our_names_and_texts() -> None:
    css = assets()["korean.css"].plain.decode()
    data = css[css.index("base64,") + 7 : css.index(")")]
    known = set(TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap())
    said = "".join(text for texts in catalogue().values() for text in texts.values())
    names = "".join(
        Texts("ko").name(parse(code)) for code in ("000660", "A01612", "202612_KOSPI200")
    )
    korean = {letter for letter in said + names if "가" <= letter <= "힣"}
    assert len(korean) > 150
    assert {letter for letter in korean if ord(letter) not in known} == set()


def test_the_chart_library_is_the_one_that_its_licence_is_about() -> None:
    library = (STATIC / "lightweight-charts.js").read_text("utf-8")
    assert "Lightweight Charts" in library[:300]
    assert "Apache License" in (STATIC / "lightweight-charts.LICENSE").read_text("utf-8")
    assert "attributionLogo: true" in (STATIC / "chart.js").read_text("utf-8")


def test_a_phone_is_given_an_address_that_it_can_open() -> None:
    address = page_address("0.0.0.0", 2718, TOKEN)  # noqa: S104
    assert "0.0.0.0" not in address  # noqa: S104
    assert lan_address() is None or f"//{lan_address()}:2718/" in address
    assert address.endswith(f"?access_token={TOKEN}")
    assert page_address("127.0.0.1", 2718, "") == "http://127.0.0.1:2718"
    assert page_address("::1", 80, "") == "http://[::1]:80"


def test_the_qr_code_is_the_address() -> None:
    """Read back by hand: the finder patterns and the size tell a code of this length."""
    code = qr_code("http://192.168.0.5:2718/?access_token=" + "a" * 22, "utf-8")
    lines = code.rstrip("\n").splitlines()
    assert len({len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines}) == 1
    assert len(lines) > 15
    assert qr_code("http://192.168.0.5:2718/", "ascii") == ""
