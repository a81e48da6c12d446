"""Whatever a server does to a connection raises KisUnreachable and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VirtualClock
from engine.errors import KisUnreachable
from engine.kis.transport import Reply, Transport, read_date
from tests.bombs import bomb
from tests.engine.kis.stub_kis import KEY

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECRET_HEADERS = {"appkey": KEY}


@asynccontextmanager
async def raw_server(handle: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def answering(content: bytes, *, reset: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        await writer.drain()
        if reset:
            writer.transport.abort()
        writer.close()

    return handle


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TROUBLES = {
    "closed at once": answering(b""),
    "reset": answering(b"", reset=True),
    "cut in the head": answering(b"HTTP/1.1 200 O"),
    "cut in the body": answering(HEAD + b'Content-Length: 100\r\n\r\n{"rt_cd"'),
    "cut in a chunk": answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\n{"),
    "wrong chunk": answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "no HTTP": answering(b"\x15\x03\x01\x00\x02\x02\x46"),
    "wrong status": answering(b"HTTP/1.1 abc OK\r\n\r\n"),
    "not a header": answering(b"HTTP/1.1 200 OK\r\n\xff\xfe\x00\r\n\r\n"),
    "two lengths": answering(HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}"),
    "not gzip": answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_connection_that_fails_is_unreachable(clock: VirtualClock, name: str) -> None:
    async with raw_server(TROUBLES[name]) as address:
        transport = Transport(address, clock, timeout=5)
        with pytest.raises(KisUnreachable) as caught:
            await transport.send("GET", "/x", headers=SECRET_HEADERS)
        await transport.close()
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__  # the cause holds the request, which holds the key


async def test_a_port_without_a_server_is_unreachable(clock: VirtualClock) -> None:
    async with raw_server(answering(b"")) as address:
        pass
    transport = Transport(address, clock, timeout=5)
    with pytest.raises(KisUnreachable, match="ClientConnectorError"):
        await transport.send("GET", "/x")
    await transport.close()


async def test_an_answer_that_never_ends_is_given_up_at_the_limit(clock: VirtualClock) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line[8:] for line in head.decode().split("\r\n") if line.startswith("gt_uid"))
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
        async with clock.parked(key.strip()):
            await clock.sleep(3600)

    start = clock.now()
    async with raw_server(drip) as address:
        transport = Transport(address, clock, timeout=5)
        with pytest.raises(KisUnreachable, match="5 s"):
            await transport.send("GET", "/x")
        await transport.close()
    assert clock.now() - start == timedelta(seconds=5)


async def test_an_endless_body_is_not_read_to_its_end(clock: VirtualClock) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        try:
            while True:
                writer.write(b" " * (1 << 20))
                await writer.drain()
        except ConnectionError:
            writer.close()

    async with raw_server(flood) as address:
        transport = Transport(address, clock, timeout=5)
        with pytest.raises(KisUnreachable, match="MB"):
            await transport.send("GET", "/x")
        await transport.close()


DATES = {
    "the end of time": b"Fri, 31 Dec 9999 23:59:59 GMT",
    "an impossible zone": b"Fri, 20 Nov 2026 01:05:02 +99999999",
    "no date": b"soon",
    "empty": b"",
    "Latin": b"\xff\xfe, 20",
    "a comma": b",",
    "too many digits": b"Fri, 20 Nov 2026 01:05:" + b"9" * 5000 + b" GMT",
}


@pytest.mark.parametrize("name", DATES)
async def test_a_date_that_cannot_be_read_is_none(clock: VirtualClock, name: str) -> None:
    """`Date: Fri, 31 Dec 9999 …` ended the day with an OverflowError."""
    head = HEAD + b"Content-Length: 2\r\nDate: " + DATES[name] + b"\r\n\r\n"
    async with raw_server(answering(head + b"{}")) as address:
        transport = Transport(address, clock, timeout=5, tells_time=True)
        reply = await transport.send("GET", "/x")
        await transport.close()
    assert reply.dated is None


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")))
def test_no_text_of_a_date_raises(text: str) -> None:
    moment = read_date(text)
    assert moment is None or moment.tzinfo is None


def packed(encoding: bytes, body: bytes) -> bytes:
    length = f"Content-Length: {len(body)}".encode()
    return HEAD + b"Content-Encoding: " + encoding + b"\r\n" + length + b"\r\n\r\n" + body


async def reply_to(clock: VirtualClock, content: bytes) -> Reply:
    async with raw_server(answering(content)) as address:
        transport = Transport(address, clock, timeout=5)
        try:
            return await transport.send("GET", "/x")
        finally:
            await transport.close()


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"GZIP", b"identity, gzip"])
async def test_a_packed_answer_is_unpacked(clock: VirtualClock, encoding: bytes) -> None:
    reply = await reply_to(clock, packed(encoding, gzip.compress(b'{"rt_cd": "0"}' * 10_000)))
    assert reply.body == b'{"rt_cd": "0"}' * 10_000


async def test_only_gzip_is_asked_for(clock: VirtualClock) -> None:
    heads = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with raw_server(handle) as address:
        transport = Transport(address, clock, timeout=5)
        await transport.send("GET", "/x")
        await transport.close()
    assert b"\r\naccept-encoding: gzip\r\n" in heads[0]


@pytest.mark.parametrize(
    "content",
    [
        lambda: packed(
            b"gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(b" " * 10_000_000)))
        ),
        lambda: (
            HEAD
            + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
        ),
        lambda: packed(b"deflate", zlib.compress(b"{}")),
        lambda: packed(b"br", b"{}"),
        lambda: packed(b"gzip", gzip.compress(b"{}" * 1000)[:-10]),
        lambda: packed(b"gzip", bomb()),
    ],
    ids=["stacked", "two headers", "deflate", "br", "cut off", "a bomb"],
)
async def test_what_is_packed_otherwise_or_too_large_is_not_unpacked(
    clock: VirtualClock, content: Callable[[], bytes]
) -> None:
    """306 bytes with `gzip, gzip, gzip` became 4.35 GB and a MemoryError."""
    sent = content()
    tracemalloc.start()
    try:
        with pytest.raises(KisUnreachable):
            await reply_to(clock, sent)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def certificate(folder: Path, name: str, *how: str) -> ssl.SSLContext:
    """Return the context of a server with a certificate of its own, made by the openssl program."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not there to make a certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key),
            *("-out", cert, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", *how),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@pytest.mark.parametrize(
    ("trusted", "name", "days", "says"),
    [
        (False, "localhost", "2", "self-signed certificate; .*SSL_CERT_FILE"),
        (True, "elsewhere.test", "2", "not valid for 'localhost'.*base_url"),
    ],
)
async def test_a_certificate_that_is_not_valid_is_named_with_the_reason(
    clock: VirtualClock, tmp_path: Path, monkeypatch, trusted: bool, name: str, days: str, says: str
) -> None:
    """TLS inspection showed the name of a class only."""
    context = certificate(tmp_path, name, "-days", days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    server = await asyncio.start_server(answering(b""), "localhost", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    transport = Transport(f"https://localhost:{port}", clock, timeout=5)
    with pytest.raises(
        KisUnreachable, match=f"certificate that localhost shows .*{says}"
    ) as caught:
        await transport.send("GET", "/x", headers=SECRET_HEADERS)
    await transport.close()
    server.close()
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_closed_transport_holds_no_addresses() -> None:
    async with raw_server(answering(HEAD + b"Content-Length: 2\r\n\r\n{}")) as url:
        transport = Transport(url, VirtualClock(datetime(2026, 11, 20)), timeout=5)
        for number in range(20):
            await transport.send("GET", "/x", params={"minute": f"{number}"})
        assert transport._cached_address.cache_info().currsize == 20
        await transport.close()
        assert transport._cached_address.cache_info().currsize == 0
