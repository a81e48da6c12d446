"""A KIS of a few lines for tests that need one answer to be just so; over real HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from engine.clock import Clock, VirtualClock
from engine.kis.client import KisClient
from engine.settings import AppKey, KisSettings

KEY, SECRET = "PSkey-not-to-be-seen", "secret-not-to-be-seen"
Answering = Callable[[Request], Response | dict[str, Any]]


class Kis:
    """Answers what a test tells it to, and remembers every request with the clock's time."""

    def __init__(self, server: HTTPServer, clock: Clock) -> None:
        self.clock, self.base_url = clock, server.url_for("").rstrip("/")
        self.asked: list[tuple[datetime, Request]] = []
        self.tokens: list[datetime] = []
        self.answer: Answering = lambda _request: fine()
        self.token: Callable[[], Response] = self.good_token
        server.expect_request("/oauth2/tokenP").respond_with_handler(self._issue)
        server.expect_request("").respond_with_handler(self._quote)

    def good_token(self, expires: str = "2026-11-21 08:00:00") -> Response:
        return json_response(
            {
                "access_token": f"token-{len(self.tokens)}",
                "access_token_token_expired": expires,
                "token_type": "Bearer",
                "expires_in": 86400,
            }
        )

    def _issue(self, _request: Request) -> Response:
        self.tokens.append(self.clock.now())
        return self.token()

    def _quote(self, request: Request) -> Response:
        self.asked.append((self.clock.now(), request))
        answer = self.answer(request)
        return answer if isinstance(answer, Response) else json_response(answer)

    @property
    def times(self) -> list[datetime]:
        return [moment for moment, _ in self.asked]

    def symbols(self) -> list[str]:
        return [request.args["FID_INPUT_ISCD"] for _, request in self.asked]


def json_response(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status=status, content_type="application/json")


def fine(**outputs: object) -> dict[str, Any]:
    return {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.", **outputs}


def refused(code: str, text: str, status: int) -> Response:
    return json_response({"rt_cd": "1", "msg_cd": code, "msg1": text}, status)


TOO_FAST = refused("EGW00201", "초당 거래건수를 초과하였습니다.", 500)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 11, 20, 10, 5, 2))


@pytest.fixture
def kis(httpserver: HTTPServer, clock: VirtualClock) -> Kis:
    return Kis(httpserver, clock)


@asynccontextmanager
async def client_of(kis: Kis, folder: Path, **settings: Any) -> AsyncIterator[KisClient]:
    keys = settings.pop("app_keys", (AppKey(app_key=KEY, app_secret=SECRET),))
    configured = KisSettings(base_url=kis.base_url, app_keys=keys, **settings)
    client = KisClient(configured, kis.clock, folder=folder, jitter=random.Random(1))  # noqa: S311
    try:
        yield client
    finally:
        await client.close()
