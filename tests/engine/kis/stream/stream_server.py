"""A small KIS for the feed, over real loopback: approval keys, a WebSocket that tests script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from engine.clock import Clock
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection, stream_address
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.transport import Transport
from engine.settings import AppKey

KEY, SECRET = "PSkey-not-to-be-seen", "secret-not-to-be-seen"
FUTURE = StreamRegistration("H0IFCNT0", "A05608")
STOCK = StreamRegistration("H0STCNT0", "005930")
CODES = {
    "OPSP0000": "SUBSCRIBE SUCCESS",
    "OPSP0001": "UNSUBSCRIBE SUCCESS",
    "OPSP0007": "SUBSCRIBE INTERNAL ERROR",
    "OPSP0008": "MAX SUBSCRIBE OVER",
    "OPSP0010": "invalid appkey",
    "OPSP0011": "invalid approval : NOT FOUND",
    "OPSP8992": "invalid tr_key",
    "OPSP8996": "ALREADY IN USE appkey",
}


def answer(asked: dict[str, Any], code: str, **output: str) -> str:
    """Return KIS's answer to a registration."""
    wanted = asked["body"]["input"]
    header = {**wanted, "encrypt": "Y" if output else "N"}
    body = {"rt_cd": "0" if code < "OPSP0002" else "1", "msg_cd": code, "msg1": CODES[code]}
    return orjson.dumps({"header": header, "body": body | {"output": output}}).decode()


@dataclass
class Heard:
    """A text that a client sent, and when."""

    when: datetime
    text: str

    @property
    def asked(self) -> dict[str, Any]:
        return orjson.loads(self.text)

    @property
    def registration(self) -> StreamRegistration:
        return StreamRegistration(**self.asked["body"]["input"])

    @property
    def removes(self) -> bool:
        return self.asked["header"]["tr_type"] == "2"


@dataclass
class StreamServer:
    """Answers what a test sets, and records what it hears."""

    clock: Clock
    base_url: str = ""
    connections: list[datetime] = field(default_factory=list)
    approvals: list[datetime] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    pings: int = 0
    close_codes: list[int | None] = field(default_factory=list)
    code: Callable[[Heard], str | None] = lambda _heard: "OPSP0000"
    output: dict[str, str] = field(default_factory=dict)
    approve: Callable[[int], tuple[object, int]] = lambda number: (
        {"approval_key": f"approval-{number}"},
        200,
    )
    opened: Callable[[StreamServer], Awaitable[None]] | None = None
    open: dict[str, web.WebSocketResponse] = field(default_factory=dict)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/oauth2/Approval":
            self.approvals.append(self.clock.now())
            self.asked = orjson.loads(await request.read())
            body, status = self.approve(len(self.approvals))
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            return web.Response(body=content, status=status)
        self.connections.append(self.clock.now())
        link = request.headers["gt_uid"]
        socket = web.WebSocketResponse(autoping=False, timeout=0.2)
        await socket.prepare(request)
        self.open[link] = socket
        try:
            if self.opened:
                await self.opened(self)
            await self.listen(link, socket)
        finally:
            self.open.pop(link, None)
            self.close_codes.append(socket.close_code)
        return socket

    async def listen(self, link: str, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                heard = Heard(self.clock.now(), message.data)
                self.heard.append(heard)
                if '"PINGPONG"' not in heard.text and (code := self.code(heard)):
                    await self.send(answer(heard.asked, code, **self.output), link)
                self.clock.receive(link + "-to-server")
            else:
                self.pings += message.type is WSMsgType.PING

    async def send(self, text: str | bytes, link: str | None = None) -> None:
        """Send a text to one connection, or to all."""
        for name, socket in list(self.open.items()):
            if link in (None, name):
                self.clock.announce(name)
                send = socket.send_bytes if isinstance(text, bytes) else socket.send_str
                await send(text)

    async def cut(self) -> None:
        """End all connections without a word."""
        for socket in list(self.open.values()):
            if socket._req and socket._req.transport:
                socket._req.transport.abort()

    def registrations(self, *, removals: bool = False) -> list[StreamRegistration]:
        heard = [one for one in self.heard if '"PINGPONG"' not in one.text]
        return [one.registration for one in heard if one.removes == removals]


@asynccontextmanager
async def open_server(clock: Clock) -> AsyncIterator[StreamServer]:
    server = StreamServer(clock)
    runner = web.ServerRunner(web.Server(server.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_connection(
    server: StreamServer, folder: Path, *wanted: StreamRegistration, **options: Any
) -> AsyncIterator[StreamConnection]:
    """Open a connection of one app key that wants these registrations."""
    transport = Transport(server.base_url, server.clock, timeout=5)
    key = AppKey(app_key=KEY, app_secret=SECRET)
    approvals = ApprovalKeeper(transport, key, folder / "key", server.clock)
    url = options.pop("url", stream_address(server.base_url))
    connection = StreamConnection(url, approvals, folder / "key", server.clock, **options)
    connection.want(wanted or [FUTURE])
    connection.start()
    try:
        yield connection
    finally:
        await connection.close()
        await transport.close()


async def take(connection: StreamConnection, count: int) -> list[str]:
    """Return the next texts, at least so many."""
    found: list[str] = []
    while len(found) < count:
        found += [text for _, text in await connection.take()]
    return found
