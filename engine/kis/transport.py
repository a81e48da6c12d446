"""HTTP to KIS: one request, one reply; whatever prevents a reply becomes KisUnreachable.

httpx over aiohttp's transport: httpx's own costs 1-2 ms of CPU a request, this 0.4 ms. The time
limit is the clock's and not httpx's: on a virtual clock a request takes no time until the simulator
says so, however slow the machine is.
"""

from __future__ import annotations

import logging
import os
import ssl
import zlib
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib import metadata
from secrets import token_hex
from typing import NoReturn, cast
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from engine.clock import Clock, to_kst_naive
from engine.errors import KisUnreachable

_LARGEST = 8 << 20  # bytes of an answer, unpacked; the largest board has a third of a megabyte
_GZIP = 31  # zlib's number for gzip's format with the largest window
_ADVICE = {  # by OpenSSL's number of the reason
    9: "is this machine's clock right?",  # not valid yet
    10: "is this machine's clock right?",  # expired
    62: "check base_url",  # of another name
}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HEADERS = {
    "User-Agent": f"korea-realtime-trading/{metadata.version('korea-realtime-trading')}",
    "Accept-Encoding": "gzip",
}


@dataclass(frozen=True)
class Reply:
    """What came back: the body is read whatever the status, because KIS gives its reason there.

    `dated` is the server's own time (KST, whole seconds); None without a readable one, and from a
    server whose clock is not real (`Transport.tells_time`).
    """

    status: int
    body: bytes
    dated: datetime | None = None


class Transport:
    """A pool of connections to one address. Close it when done.

    `tells_time`: whether the server's clock shows the real time; by default so at an https address
    and not at http, a simulator's. `timeout` is in seconds of the clock.
    """

    def __init__(
        self, base_url: str, clock: Clock, *, timeout: float, tells_time: bool | None = None
    ) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for every call
        self._clock = clock
        self._timeout = timeout
        is_real = urlsplit(base_url).scheme == "https"
        self.tells_time = is_real if tells_time is None else tells_time
        self.certificate_trouble: str | None = None  # of the last request
        # No httpx client around it: cookies, redirects and logins, which KIS does not use, cost as
        # much as the request. No time limits of its own either: the clock bounds each request.
        self._http = _build_transport(base_url)
        self._base_url = base_url
        # The same few hundred requests all day; building an address takes 0.2 ms.
        self._cached_address = lru_cache(4096)(self._address)

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

        Raises KisUnreachable without a whole reply: no connection, cut off, too large, packed
        otherwise than asked for, or not within the time limit.
        """
        key = token_hex(16)
        # As a stream, which httpx does not look at: aiohttp adds the host and the length anyway.
        request = httpx.Request(
            method,
            self._cached_address(url, tuple((params or {}).items())),
            headers={**_HEADERS, **(headers or {}), "gt_uid": key},
            stream=httpx.ByteStream(content or b""),
        )
        request.headers.encoding = "ascii"  # httpx would find that out each time
        request.read()
        try:
            async with self._clock.busy(key), self._clock.timeout(self._timeout):
                response = await self._http.handle_async_request(request)
                try:
                    body = await _read_body(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise KisUnreachable(f"KIS gave no answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if refusal := _certificate_refusal(error):
                host = urlsplit(str(request.url)).hostname
                self.certificate_trouble = _about_certificate(host, refusal)
                raise KisUnreachable(self.certificate_trouble) from None
            # Neither chained nor quoted: such an error may hold the request, and that the keys.
            kind = type(error.__cause__ or error).__name__
            raise KisUnreachable(f"the connection to KIS failed: {kind}") from None
        self.certificate_trouble = None
        dated = read_date(response.headers.get("date", "")) if self.tells_time else None
        return Reply(response.status_code, body, dated)

    def _address(self, url: str, params: tuple[tuple[str, str], ...]) -> httpx.URL:
        """Return the address of a path at KIS; a full address stays as it is."""
        full = self._base_url + url if url.startswith("/") else url
        return httpx.URL(full).copy_merge_params(dict(params))

    async def close(self) -> None:
        """Close the connections."""
        self._cached_address.cache_clear()  # megabytes, and it holds itself in a circle
        await self._http.aclose()


def _certificate_refusal(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Return why the server's certificate is not believed, if that is what went wrong."""
    while error is not None:
        inner = getattr(error, "certificate_error", error)
        if isinstance(inner, ssl.SSLCertVerificationError):
            return inner
        error = error.__cause__ or error.__context__
    return None


def _about_certificate(host: str | None, refusal: ssl.SSLCertVerificationError) -> str:
    advice = _ADVICE.get(
        refusal.verify_code,
        "if a proxy or a virus scanner reads the traffic here, name its root certificate in"
        " SSL_CERT_FILE",
    )
    return f"the certificate that {host} shows is not valid: {refusal.verify_message}; {advice}"


def read_date(text: str) -> datetime | None:
    """Return the time of a Date header in KST; None if it is not one."""
    try:
        return to_kst_naive(parsedate_to_datetime(text))
    except (ValueError, OverflowError, TypeError, IndexError):  # Python's parser raises all of them
        return None


async def _read_body(response: httpx.Response) -> bytes:
    """Return the body, unpacked. Raises KisUnreachable beyond a size that no answer of KIS has.

    httpx itself would unpack whatever a chunk holds, as often as the header says: 306 bytes can
    become 4 GB.
    """
    packed = _is_packed(response)
    unpacker = zlib.decompressobj(_GZIP)
    body = bytearray()
    try:
        # Not aiter_raw, which counts and checks once more what the transport has checked.
        async for chunk in cast("httpx.AsyncByteStream", response.stream):
            left = _LARGEST + 1 - len(body)
            body += unpacker.decompress(chunk, left) if packed else chunk
            if len(body) > _LARGEST:
                raise KisUnreachable(f"KIS answered more than {_LARGEST >> 20} MB")
    except zlib.error:
        raise KisUnreachable("KIS's answer cannot be unpacked") from None
    if packed and not unpacker.eof:
        raise KisUnreachable("KIS's answer cannot be unpacked")
    return bytes(body)


def _is_packed(response: httpx.Response) -> bool:
    """Return whether the body is packed with gzip. Raises KisUnreachable if it is otherwise."""
    raw = [value for name, value in response.headers.raw if name.lower() == b"content-encoding"]
    words = b",".join(raw).lower().split(b",")
    ways = [word.strip() for word in words if word.strip() not in (b"", b"identity")]
    if ways not in ([], [b"gzip"], [b"x-gzip"]):
        raise KisUnreachable("KIS's answer is packed in a way that was not asked for")
    return bool(ways)


@lru_cache(4)
def _believed_certificates(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Return the trusted certificates; kept: reading them takes longer than fifty requests."""
    return httpx.create_ssl_context()


def _build_transport(base_url: str) -> AiohttpTransport:
    """Build the transport. Proxies of the environment are not used for the loopback address."""
    outside = urlsplit(base_url).hostname not in LOOPBACK
    named = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    transport = AiohttpTransport(verify=_believed_certificates(*named))

    def session() -> aiohttp.ClientSession:  # aiohttp must be created inside the event loop
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=transport.ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=outside,
        )

    transport.client = session
    return transport


def open_feed_session(url: str) -> aiohttp.ClientSession:
    """Open the session for KIS's WebSocket. A redirect raises aiohttp.ClientError when it connects.

    aiohttp would follow it, and the approval key would be told to whatever it names.
    """

    async def refuse(*_: object) -> NoReturn:
        raise aiohttp.ClientError("KIS's WebSocket leads to another address")

    watched = aiohttp.TraceConfig()
    watched.on_request_redirect.append(refuse)
    outside = urlsplit(url).hostname not in LOOPBACK
    return aiohttp.ClientSession(trust_env=outside, trace_configs=[watched])
