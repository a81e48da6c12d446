"""Does anybody listen where the database should be? Asked after a connection that failed.

A connection that fails leaves 15 KB behind in the driver for good (adbc-driver-postgresql 1.13:
libpq's connection is not finished): a server that is away for a night would cost a collector 20 MB.
"""

from __future__ import annotations

import socket
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

PATIENCE = 10.0  # seconds, as for a connection
_PORT = 5432


def why_unreachable(url: str) -> str | None:
    """Return why nobody can be reached there; None if somebody can, or there are several places."""
    parts = urlsplit(url)
    named = parse_qs(parts.query)
    host, port = named.get("host", [""])[-1], named.get("port", [""])[-1]
    if "," in f"{host}{port}{parts.netloc.rpartition('@')[2]}":
        return None
    host = host or unquote(parts.hostname or "")
    try:
        number = int(port or parts.port or _PORT)
        if host:
            _knock(host, number).close()
    except (ValueError, OverflowError):  # a port that is none: the driver says so better
        return None
    except OSError as error:
        return f"{host}, port {number}: {error.strerror or error}"
    return None


def _knock(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), PATIENCE)
    door = socket.socket(socket.AF_UNIX)
    door.settimeout(PATIENCE)
    try:
        door.connect(str(PurePosixPath(host) / f".s.PGSQL.{port}"))
    except OSError:
        door.close()
        raise
    return door
