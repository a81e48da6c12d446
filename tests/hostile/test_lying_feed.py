"""A WebSocket that sends what no library would: wrong frames, wrong greetings, storms.

Each lie comes on the first connection. Whatever it is, the feed must be there a minute later, with
few connections, without a word of the approval key, and with the honest frame that follows.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from engine.clock import VirtualClock
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection, stream_address
from engine.kis.stream.frames import read_frames
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.transport import Transport
from engine.settings import AppKey
from tests.engine.kis.stream.sample_frames import FIRST_FUTURE
from tests.hostile.hostile_kis import http

KEY, SECRET, APPROVAL = "PSkey-not-to-be-seen", "secret-not-to-be-seen", "approval-not-to-be-seen"
FUTURE = StreamRegistration("H0IFCNT0", "A05608")
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def frame(first: int, payload: bytes, *, mask: bool = False, length: int | None = None) -> bytes:
    """Write a frame of the WebSocket, in which any part may be wrong."""
    size = len(payload) if length is None else length
    flag = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    return head + (b"\0\0\0\0" if mask else b"") + payload


def message(**parts: object) -> bytes:
    return frame(TEXT, orjson.dumps(parts))


def told(tr_id: object, code: object, **more: object) -> bytes:
    """An answer to a registration that nobody asked for."""
    header = {"tr_id": tr_id, "tr_key": "A05608", "encrypt": "Y"}
    return message(header=header, body={"rt_cd": "0", "msg_cd": code, "msg1": APPROVAL, **more})


PINGPONG = message(header={"tr_id": "PINGPONG", "datetime": "x" * 50_000})
FRAMES = {
    "an opcode that is reserved": frame(0x83, b"x"),
    "reserved bits": frame(0xF1, b"x"),
    "compressed, unasked": frame(0xC1, b"\xaa\x00"),
    "masked by a server": frame(TEXT, b"0|H0IFCNT0|001|", mask=True),
    "a piece without a beginning": frame(0x80, b"x"),
    "two beginnings": frame(0x01, b"x") + frame(0x01, b"y"),
    "pieces that never end": frame(0x01, b"x") + frame(0x00, b"x" * (1 << 20)) * 5,
    "a ping in pieces": frame(0x09, b"x"),
    "a ping that is too long": frame(PING, b"x" * 126),
    "a storm of pings": frame(PING, b"") * 5_000,
    "pongs that nobody asked for": frame(PONG, b"x") * 100,
    "a length beyond all": frame(TEXT, b"x", length=(1 << 63) + 5),
    "a length of 100 MB": frame(TEXT, b"x", length=100 << 20),
    "5 MB": frame(TEXT, b"0|" + b"x" * (5 << 20)),
    "no UTF-8": frame(TEXT, b"0|H0IFCNT0|001|\xb0\xa1\xff"),
    "cp949": frame(TEXT, "0|H0IFCNT0|001|한국".encode("cp949")),
    "a closing of one byte": frame(CLOSE, b"\x03"),
    "a closing with a forbidden code": frame(CLOSE, struct.pack("!H", 1005)),
    "a closing with words": frame(CLOSE, struct.pack("!H", 1008) + APPROVAL.encode()),
    "HTTP within": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "nothing but zeros": bytes(4_000),
    "binary": frame(BINARY, b"\x00\xff\xfe0|H0IFCNT0"),
    "empty texts": frame(TEXT, b"") * 50,
    "half a JSON": frame(TEXT, b'{"header":{"tr_id":"H0IF'),
    "lists": frame(TEXT, b"[[]]") + frame(TEXT, b"[" * 50_000),
    "bars of nothing": frame(TEXT, b"|" * 5_000) + frame(TEXT, b"0|" + b"^" * 50_000),
    "a count beyond all": frame(TEXT, b"0|H0IFCNT0|999999999|A05608^1"),
    "an unknown TR": frame(TEXT, b"0|\x1b[2J|001|A05608^1"),
    "encrypted, without a key": frame(TEXT, b"1|H0IFCNT0|001|" + base64.b64encode(b"x" * 48)),
    "a huge PINGPONG": PINGPONG,
    "a storm of PINGPONG": message(header={"tr_id": "PINGPONG"}) * 300,
    "answers to nothing": told("H0STCNT0", "OPSP0000") + told(None, None) + told(["x"], {"a": 1}),
    "a key for another TR": told("H0STCNT0", "OPSP0000", output={"key": "k", "iv": [1]}),
    "no room at all": told("H0IFCNT0", "OPSP0008") * 20,
    "unknown codes": b"".join(told("H0IFCNT0", f"ZZ{n}") for n in range(200)),
    "in use by another": told("H0IFCNT0", "OPSP8996"),
}
GREETINGS = {
    "no WebSocket": lambda _: http(b'{"rt_cd":"0"}'),
    "an error page": lambda _: http(b"<html>", status="503 Away", content="text/html"),
    "a wrong proof": lambda _: welcome("x"),
    "no proof": lambda _: b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "another protocol": lambda key: welcome(key).replace(b"websocket", b"h2c"),
    "an extension": lambda key: welcome(key, "Sec-WebSocket-Extensions: permessage-x"),
    "closed at once": lambda _: b"",
    "a binary greeting": lambda _: b"\x16\x03\x01\x02\x00",
    "a head of 1 MB": lambda _: b"HTTP/1.1 101 Go\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n",
}
REDIRECTS = ("301 Moved", "302 Found", "307 Temporary", "308 Permanent")


def welcome(key: str, *more: str) -> bytes:
    proof = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()  # noqa: S324
    lines = ["HTTP/1.1 101 Go", "Upgrade: websocket", "Connection: Upgrade", *more]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {proof}", "", ""]).encode()


@dataclass
class HostileFeed:
    """Tells a lie on its first connection, as greeting or as frames; then it is honest."""

    clock: VirtualClock
    frames: bytes = b""
    greeting: object = None
    base_url: str = ""
    connections: list[str] = field(default_factory=list)
    led_away: list[bytes] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            if head.startswith("POST /oauth2/Approval"):
                await reader.readexactly(int(headers["content-length"]))
                writer.write(http(orjson.dumps({"approval_key": APPROVAL})))
            else:
                await self._talk(headers, reader, writer)
            await writer.drain()
        writer.close()

    async def _talk(
        self,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        link, key = headers["gt_uid"], headers["sec-websocket-key"]
        self.connections.append(link)
        first = len(self.connections) == 1
        if first and callable(self.greeting):
            writer.write(self.greeting(key))
            return
        writer.write(welcome(key))
        self.clock.announce(link)
        writer.write((self.frames if first else b"") + frame(TEXT, FIRST_FUTURE.encode()))
        while True:
            await self._hear(link, reader, writer)

    async def _hear(
        self, link: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        opcode, size = await reader.readexactly(2)
        size &= 0x7F
        if size >= 126:
            (size,) = struct.unpack(
                "!H" if size == 126 else "!Q", await reader.readexactly(2 if size == 126 else 8)
            )
        mask = await reader.readexactly(4)
        payload = bytes(b ^ mask[n % 4] for n, b in enumerate(await reader.readexactly(size)))
        if opcode == CLOSE:
            writer.write(frame(CLOSE, payload))
        if opcode != TEXT:
            return
        self.heard.append(payload.decode())
        asked = orjson.loads(payload)
        if "body" in asked:
            header = {**asked["body"]["input"], "encrypt": "N"}
            self.clock.announce(link)
            writer.write(message(header=header, body={"rt_cd": "0", "msg_cd": "OPSP0000"}))
        self.clock.receive(f"{link}-to-server")

    async def elsewhere(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.led_away.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()


@asynccontextmanager
async def feed(
    clock: VirtualClock, folder: Path, lie: HostileFeed
) -> AsyncIterator[StreamConnection]:
    server = await asyncio.start_server(lie.serve, "127.0.0.1", 0)
    lie.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = Transport(lie.base_url, clock, timeout=5)
    approvals = ApprovalKeeper(
        transport, AppKey(app_key=KEY, app_secret=SECRET), folder / "key", clock
    )
    connection = StreamConnection(stream_address(lie.base_url), approvals, folder / "key", clock)
    connection.want([FUTURE])
    connection.start()
    try:
        yield connection
    finally:
        await connection.close()
        await transport.close()
        server.close()


async def assert_survives(
    clock: VirtualClock, folder: Path, lie: HostileFeed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with feed(clock, folder, lie) as connection:
        await clock.sleep(130)
        assert connection._task
        assert not connection._task.done()
        assert 1 <= len(lie.connections) <= 3
        assert connection.state.doing == "connected"
        frames = await connection.take()
        assert FIRST_FUTURE in [text for _, text in frames]
        rows = read_frames(frames)
        assert rows.trades.num_rows >= 1
        assert {one["price"] for one in rows.trades.to_pylist()} == {1080.3}
        assert all(rows.rejected["reason"].to_pylist())
        for name in rows.rejected.schema.names:
            assert APPROVAL not in str(rows.rejected[name].to_pylist())
    assert lie.led_away == []
    for secret in (KEY, SECRET, APPROVAL):
        assert secret not in caplog.text


@pytest.mark.parametrize("name", FRAMES)
async def test_a_wrong_frame_costs_a_connection_at_most(
    clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await assert_survives(clock, tmp_path, HostileFeed(clock, frames=FRAMES[name]), caplog)


@pytest.mark.parametrize("name", GREETINGS)
async def test_a_wrong_greeting_costs_a_connection_at_most(
    clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await assert_survives(clock, tmp_path, HostileFeed(clock, greeting=GREETINGS[name]), caplog)


@pytest.mark.parametrize("status", REDIRECTS)
async def test_the_feed_is_not_led_to_another_host(
    clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    lie = HostileFeed(clock)
    other = await asyncio.start_server(lie.elsewhere, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    lie.greeting = lambda _: http(b"", f"Location: ws://127.0.0.1:{port}/x", status=status)
    await assert_survives(clock, tmp_path, lie, caplog)
    other.close()
