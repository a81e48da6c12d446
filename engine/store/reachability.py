"""Does a server listen at the database's address, and does it refuse us for good?

The first is asked before a connection is tried again.

Each failed connection leaks 15 KB in the driver (adbc-driver-postgresql 1.13 does not finish
libpq's connection): a server that is away for a night would cost a collector 20 MB.
"""

from __future__ import annotations

import re
import socket
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

CONNECT_TIMEOUT = 10.0  # seconds
_PORT = 5432
# The driver tells no SQLSTATE of a connection that fails: a server's words, English or Korean.
_REFUSALS = re.compile(
    r"authentication failed|no password supplied|no pg_hba[.]conf entry"
    r"|(?:role|database) \"[^\"]*\" does not exist|is not permitted to log in"
    r"|permission denied for database|인증을 실패|롤\(role\) 없음|데이터베이스 없음"
)


def why_unreachable(url: str) -> str | None:
    """Return why no server can be reached; None if one can, or if the URL names several hosts."""
    parts = urlsplit(url)
    parameters = parse_qs(parts.query)
    host = parameters.get("host", [""])[-1]
    port = parameters.get("port", [""])[-1]
    if "," in f"{host}{port}{parts.netloc.rpartition('@')[2]}":
        return None
    host = host or unquote(parts.hostname or "")
    try:
        number = int(port or parts.port or _PORT)
        if host:
            _connect(host, number).close()
    except (ValueError, OverflowError):  # not a port: the driver's message is better
        return None
    except OSError as error:
        return f"{host}, port {number}: {error.strerror or error}"
    return None


def is_refusal(message: str) -> bool:
    """Say whether a connection failed because of who asks, which waiting does not change."""
    return _REFUSALS.search(message) is not None


def _connect(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), CONNECT_TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_TIMEOUT)
    try:
        connection.connect(str(PurePosixPath(host) / f".s.PGSQL.{port}"))
    except OSError:
        connection.close()
        raise
    return connection
