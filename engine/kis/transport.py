"""HTTP to KIS: one request, one reply, and every way of getting none turned into KisUnreachable.

httpx over aiohttp's transport: httpx's own costs 1-2 ms of CPU a request, this 0.4 ms. The time
limit is the clock's and not httpx's: on a virtual clock a request takes no time at all until the
simulator says so, however slow the machine is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib import metadata
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from engine.clock import Clock, to_kst_naive
from engine.errors import KisUnreachable

_LARGEST = 32 << 20
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HEADERS = {
    "User-Agent": f"korea-realtime-trading/{metadata.version('korea-realtime-trading')}",
    "Accept-Encoding": "gzip, deflate",
}


@dataclass(frozen=True)
class Reply:
    """What came back: the body is read whatever the status, KIS explains itself there.

    `dated` is the server's own time (KST, whole seconds), if it is one whose time is the real one.
    """

    status: int
    body: bytes
    dated: datetime | None = None


class Transport:
    """A pool of connections to one address. Close it when done."""

    def __init__(self, base_url: str, clock: Clock, *, timeout: float) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for every call
        self._clock, self._timeout = clock, timeout
        self.tells_time = urlsplit(base_url).scheme == "https"  # a simulator lives in another time
        # No client around it: cookies, redirects and logins, which KIS has none of, cost as much
        # as the request. Without limits of its own, since the clock's bounds it, see above.
        self._http = _transport(base_url)
        self._base_url = base_url
        # The same few hundred questions all day; putting an address together takes 0.2 ms.
        self._address = lru_cache(4096)(self._put_together)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """Send one request and read the whole reply.

        Raises KisUnreachable if there is none: no connection, cut off, or not within the limit.
        """
        key = uuid4().hex
        request = httpx.Request(
            method,
            self._address(url, tuple((params or {}).items())),
            headers={**_HEADERS, **(headers or {}), "gt_uid": key},
            content=content,
        )
        try:
            async with self._clock.busy(key), self._clock.timeout(self._timeout):
                response = await self._http.handle_async_request(request)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise KisUnreachable(f"KIS gave no answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            # Not chained and not quoted: such errors may hold the request, and it holds the keys.
            kind = type(error.__cause__ or error).__name__
            raise KisUnreachable(f"the connection to KIS failed: {kind}") from None
        dated = _date(response) if self.tells_time else None
        return Reply(response.status_code, body, dated)

    def _put_together(self, url: str, params: tuple[tuple[str, str], ...]) -> httpx.URL:
        """Return the whole address of a path at KIS, or of any other address."""
        whole = self._base_url + url if url.startswith("/") else url
        return httpx.URL(whole).copy_merge_params(dict(params))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _date(response: httpx.Response) -> datetime | None:
    try:
        return to_kst_naive(parsedate_to_datetime(response.headers["date"]))
    except (KeyError, ValueError):
        return None


async def _read(response: httpx.Response) -> bytes:
    """Read the body up to a size beyond any answer of KIS: a month's run must not die of one."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _LARGEST:
            raise KisUnreachable(f"KIS answered more than {_LARGEST >> 20} MB")
    return bytes(body)


def _transport(base_url: str) -> AiohttpTransport:
    """Build the transport. Proxies of the environment are for the outside, not for the loopback."""
    outside = urlsplit(base_url).hostname not in _LOOPBACK
    transport = AiohttpTransport()

    def session() -> aiohttp.ClientSession:  # aiohttp wants to be born inside the event loop
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=transport.ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=outside,
        )

    transport.client = session
    return transport
