"""A stub of KIS for tests that need one exact answer; over real HTTP.

aiohttp and not pytest-httpserver: the latter's server drops headers with an underscore, and KIS's
`tr_id` is one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from engine.clock import Clock
from engine.kis.client import KisClient
from engine.kis.transport import Transport
from engine.settings import AppKey, KisSettings

KEY, SECRET = "PSkey-not-to-be-seen", "secret-not-to-be-seen"


@dataclass(frozen=True)
class StubReply:
    """An answer to send."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ReceivedRequest:
    """A request, and when it came by the clock."""

    when: datetime
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.headers["authorization"].removeprefix("Bearer ")


Answering = Callable[[ReceivedRequest], StubReply]


class StubKis:
    """Answers what a test sets, and records every request."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.base_url = ""
        self.asked: list[ReceivedRequest] = []
        self.tokens: list[datetime] = []
        self.answer: Answering = lambda _asked: fine()
        self.token: Callable[[], StubReply] = self.good_token

    def good_token(self, expires: str = "2026-11-21 08:00:00") -> StubReply:
        return json_reply(
            {
                "access_token": f"token-{len(self.tokens)}",
                "access_token_token_expired": expires,
                "token_type": "Bearer",
                "expires_in": 86400,
            }
        )

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/oauth2/tokenP":
            self.tokens.append(self.clock.now())
            reply = self.token()
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            asked = ReceivedRequest(self.clock.now(), request.path, dict(request.query), headers)
            self.asked.append(asked)
            reply = self.answer(asked)
        return web.Response(body=reply.body, status=reply.status, headers=reply.headers)

    @property
    def times(self) -> list[datetime]:
        return [asked.when for asked in self.asked]

    def symbols(self) -> list[str]:
        return [asked.query["FID_INPUT_ISCD"] for asked in self.asked]


def json_reply(body: object, status: int = 200) -> StubReply:
    return StubReply(orjson.dumps(body), status, {"content-type": "application/json"})


def fine(**outputs: object) -> StubReply:
    return json_reply(
        {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.", **outputs}
    )


def refused(code: str, text: str, status: int) -> StubReply:
    return json_reply({"rt_cd": "1", "msg_cd": code, "msg1": text}, status)


TOO_FAST = refused("EGW00201", "초당 거래건수를 초과하였습니다.", 500)


@asynccontextmanager
async def open_stub_kis(clock: Clock) -> AsyncIterator[StubKis]:
    kis = StubKis(clock)
    runner = web.ServerRunner(web.Server(kis.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kis.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield kis
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_client(
    kis: Any, folder: Path, *, transport: Transport | None = None, **settings: Any
) -> AsyncIterator[KisClient]:
    """Open a client of the stub, or of a simulator."""
    keys = settings.pop("app_keys", (AppKey(app_key=KEY, app_secret=SECRET),))
    configured = KisSettings(base_url=kis.base_url, app_keys=keys, **settings)
    chance = random.Random(1)  # noqa: S311
    client = KisClient(configured, kis.clock, folder=folder, chance=chance, transport=transport)
    try:
        yield client
    finally:
        await client.close()


def token_file(folder: Path) -> Path:
    """Return the one token file in a folder."""
    (file,) = folder.glob("*-token.json")
    return file
