"""A client of the simulator's feed that keeps the virtual clock honest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import aiohttp

from engine.clock import Clock, VirtualClock
from engine.simulator import APP_KEYS, MarketData, Simulator, SyntheticMarket, serve
from engine.simulator.stream.connection import TO_SERVER

((APP_KEY, APP_SECRET),) = APP_KEYS.items()
MARKET = SyntheticMarket(7)


async def approval_key(
    simulator: Simulator, http: aiohttp.ClientSession, clock: Clock, **changed: str
) -> Any:
    body = {"grant_type": "client_credentials", "appkey": APP_KEY, "secretkey": APP_SECRET}
    async with (
        clock.busy(object()),
        http.post(simulator.base_url + "/oauth2/Approval", json={**body, **changed}) as answer,
    ):
        return await answer.json()


def registration(
    approval: str, tr_id: str, tr_key: str, *, tr_type: str = "1", custtype: str = "P"
) -> dict[str, Any]:
    header = {
        "approval_key": approval,
        "custtype": custtype,
        "tr_type": tr_type,
        "content-type": "utf-8",
    }
    return {"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}}


class Client:
    """One connection. `heard` is every text with the moment at which it came."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, clock: Clock, key: str, approval: str
    ) -> None:
        self.socket = socket
        self.clock = clock
        self.key = key
        self.approval = approval
        self.heard: list[tuple[datetime, str]] = []
        self.echoes = True

    async def send(self, message: Any) -> None:
        self.clock.announce(self.key + TO_SERVER)
        text = message if isinstance(message, str) else json.dumps(message)
        await self.socket.send_str(text)

    async def receive(self) -> str | None:
        """Return the next text, None when the connection has ended."""
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            self.clock.forget(self.key)
            return None
        self.heard.append((self.clock.now(), message.data))
        if "PINGPONG" in message.data and self.echoes:
            await self.send(message.data)
        self.clock.receive(self.key)
        return str(message.data)

    async def ask(self, tr_id: str, tr_key: str, **options: str) -> Any:
        """Register, or remove with tr_type 2, and return the answer."""
        await self.send(registration(self.approval, tr_id, tr_key, **options))
        return await self.answer()

    async def answer(self) -> Any:
        while (text := await self.receive()) is not None:
            if text.startswith("{") and "PINGPONG" not in text:
                return json.loads(text)
        return None

    async def listen(self, until: datetime) -> list[tuple[datetime, str]]:
        """Return the frames that come until a moment, or until the connection ends."""
        frames: list[tuple[datetime, str]] = []
        try:
            async with self.clock.timeout((until - self.clock.now()).total_seconds()):
                while (text := await self.receive()) is not None:
                    if text.startswith("0|"):
                        frames.append(self.heard[-1])
        except TimeoutError:
            pass
        return frames


@asynccontextmanager
async def connected(
    simulator: Simulator, clock: Clock, *, path: str = "/tryitout"
) -> AsyncIterator[Client]:
    """Connect, with an approval key, until the block ends."""
    key = uuid4().hex
    async with aiohttp.ClientSession() as http:
        approval = (await approval_key(simulator, http, clock))["approval_key"]
        async with clock.busy(key):
            socket = await http.ws_connect(
                simulator.stream_url + path, headers={"gt_uid": key}, autoping=False
            )
        try:
            yield Client(socket, clock, key, approval)
        finally:
            clock.forget(key)
            async with clock.busy(key):
                await socket.close()


@asynccontextmanager
async def serving(
    start: datetime, market: MarketData = MARKET, **options: Any
) -> AsyncIterator[tuple[Simulator, VirtualClock]]:
    clock = VirtualClock(start)
    async with serve(market, clock, **options) as simulator:
        yield simulator, clock


def records(text: str) -> list[list[str]]:
    """Return the records of a frame as lists of fields."""
    _, _, count, payload = text.split("|", 3)
    fields = payload.split("^")
    width = len(fields) // int(count)
    assert width * int(count) == len(fields)
    return [fields[start : start + width] for start in range(0, len(fields), width)]
