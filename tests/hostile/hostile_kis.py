"""A KIS that lies: raw sockets, so that it can send what no HTTP library would.

Not the simulator, and nothing of it: an honest KIS of the few answers that a day of bars needs,
whose prices follow from symbol and minute, and a liar that makes of each answer what a test says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import psutil

from engine.clock import Clock
from engine.market.symbols import parse

KST = timezone(timedelta(hours=9))
MINUTE = timedelta(minutes=1)
FINE = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}
LIFE = timedelta(hours=12)  # of a token

STOCK_PRICES = ("stck_oprc", "stck_hgpr", "stck_lwpr", "stck_prpr")
FUTURES_PRICES = ("futs_oprc", "futs_hgpr", "futs_lwpr", "futs_prpr")


def bar(symbol: str, label: datetime) -> tuple[float, float, float, float, int]:
    """The true bar of a minute: open, high, low, close, volume."""
    start, tick = (70_000.0, 100.0) if symbol.isdigit() else (350.0, 0.05)
    number = label.hour * 60 + label.minute + label.date().toordinal()
    opens, closes = (round(start + tick * (n * 7 % 11), 2) for n in (number - 1, number))
    high, low = max(opens, closes) + tick, min(opens, closes) - tick
    return opens, round(high, 2), round(low, 2), closes, 100 + number % 50


@cache
def row(symbol: str, label: datetime) -> dict[str, str]:
    """The true row of a minute, as KIS writes it."""
    names = STOCK_PRICES if symbol.isdigit() else FUTURES_PRICES
    *prices, volume = bar(symbol, label)
    written = [f"{price:.0f}" if symbol.isdigit() else f"{price:.2f}" for price in prices]
    return {
        "stck_bsop_date": f"{label:%Y%m%d}",
        "stck_cntg_hour": f"{label:%H%M%S}",
        **dict(zip(names, written, strict=True)),
        "cntg_vol": str(volume),
    }


@cache
def labels(symbol: str, day: date) -> list[datetime]:
    """The labels of a session's bars, ascending; none where it is closed."""
    session = parse(symbol).session(day)
    return [session.label_of(stamp) for stamp in session.stamps()] if session else []


@dataclass(frozen=True)
class Asked:
    """A request, when it came, and what an honest KIS would answer."""

    when: datetime
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    honest: Mapping[str, Any]

    @property
    def symbol(self) -> str:
        return self.query.get("FID_INPUT_ISCD", "")


Raw = Callable[["HostileKis", Asked, asyncio.StreamWriter], Awaitable[None]]
Reply = Callable[[Asked], bytes] | Raw


def http(
    body: bytes,
    *head: bytes | str,
    status: bytes | str = b"200 OK",
    content: str = "application/json",
    length: int | None = None,
) -> bytes:
    """Write an answer, with these further lines in its head."""
    named = [
        f"Content-Type: {content}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    lines = [b"HTTP/1.1 " + _bytes(status), *map(_bytes, head), *map(_bytes, named)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@dataclass
class HostileKis:
    """Answers what `lie` makes of the truth; without one, the truth. Records every request."""

    clock: Clock
    base_url: str = ""
    elsewhere: str = ""  # the address of another host
    asked: list[Asked] = field(default_factory=list)
    tokens: list[datetime] = field(default_factory=list)
    lie: Callable[[Asked], Reply | None] = lambda _asked: None
    token_lie: Callable[[], bytes | None] = lambda: None
    alive: set[str] = field(default_factory=set)  # tokens that it knows
    memory: list[tuple[datetime, int]] = field(default_factory=list)  # bytes of this process
    led_away: list[bytes] = field(default_factory=list)  # what came to the other address
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def date(self) -> str:
        """The Date header of the moment."""
        moment = self.clock.now().replace(tzinfo=KST).astimezone(UTC)
        return f"Date: {moment:%a, %d %b %Y %H:%M:%S} GMT"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                await self._answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        self._open.discard(writer)
        writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        if method == "POST":
            await reader.readexactly(int(headers.get("content-length", 0)))
        self.memory.append((self.clock.now(), psutil.Process().memory_info().rss))
        url = urlsplit(target)
        if url.path.startswith("/oauth2/"):
            writer.write(self._token())
            return
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        asked = Asked(self.clock.now(), url.path, query, headers, self._honest(url.path, query))
        self.asked.append(asked)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.alive:
            body = {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}
            writer.write(http(orjson.dumps(body), self.date(), status="500 Error"))
            return
        told = self.lie(asked)
        if told is None:
            writer.write(http(orjson.dumps(asked.honest), self.date()))
        elif asyncio.iscoroutinefunction(told):
            await told(self, asked, writer)
        else:
            writer.write(told(asked))  # type: ignore[arg-type]
        await writer.drain()

    def _token(self) -> bytes:
        self.tokens.append(self.clock.now())
        if (lie := self.token_lie()) is not None:
            return lie
        token = f"token-not-to-be-seen-{len(self.tokens)}"
        self.alive = {token}
        until = f"{self.clock.now() + LIFE:%Y-%m-%d %H:%M:%S}"
        body = {"access_token": token, "access_token_token_expired": until, "expires_in": 43200}
        return http(orjson.dumps(body), self.date())

    def _honest(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        if path.endswith("chartprice") and "FID_INPUT_ISCD" in query:
            return FINE | {"output1": {}, "output2": self._rows(path, query)}
        if path.endswith("inquire-investor-time-by-market"):
            return FINE | {"output": [flows(self.clock.now())]}
        if path.endswith("chk-holiday"):
            return FINE | {"ctx_area_nk": " ", "ctx_area_fk": " ", "output": []}
        return {"rt_cd": "1", "msg_cd": "OPSQ0002", "msg1": "없는 서비스 코드 입니다."}

    def _rows(self, path: str, query: Mapping[str, str]) -> list[dict[str, str]]:
        symbol, now = query["FID_INPUT_ISCD"], self.clock.now()
        most = 30 if path.endswith("inquire-time-itemchartprice") else 102
        day = date.fromisoformat(query.get("FID_INPUT_DATE_1") or f"{now:%Y%m%d}")
        hour = datetime.combine(day, time.fromisoformat(query["FID_INPUT_HOUR_1"]))
        begun = [label for label in labels(symbol, day) if label <= min(hour, now)]
        return [row(symbol, label) for label in reversed(begun[-most:])]

    async def other_host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be the address to which a redirect leads: nothing must ever come here."""
        with suppress(asyncio.IncompleteReadError):
            self.led_away.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http(b"{}"))
        writer.close()

    def close(self) -> None:
        """Close what clients have left open."""
        for writer in self._open:
            writer.transport.abort()


FLOWS = ("seln_vol", "shnu_vol", "ntby_qty", "seln_tr_pbmn", "shnu_tr_pbmn", "ntby_tr_pbmn")
KINDS = ("frgn", "prsn", "orgn", "scrt", "ivtr", "pe_fund", "bank", "insu", "mrbn", "fund")
OTHER_KINDS = ("etc_orgt", "etc_corp")


def flows(now: datetime) -> dict[str, str]:
    """The true flows of a minute: what was sold and bought so far."""
    so_far = now.hour * 60 + now.minute
    values = (so_far, 2 * so_far, so_far, 10 * so_far, 20 * so_far, 10 * so_far)
    kinds = KINDS + OTHER_KINDS
    return {f"{k}_{f}": str(v) for k in kinds for f, v in zip(FLOWS, values, strict=True)}


@asynccontextmanager
async def open_hostile_kis(clock: Clock) -> AsyncIterator[HostileKis]:
    kis = HostileKis(clock)
    server = await asyncio.start_server(kis.serve, "127.0.0.1", 0)
    other = await asyncio.start_server(kis.other_host, "127.0.0.1", 0)
    kis.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    kis.elsewhere = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
    try:
        yield kis
    finally:
        kis.close()
        server.close()
        other.close()
