"""KIS's envelope: whether an answer is fine, before its rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from engine.errors import (
    KisError,
    KisKeyRefused,
    KisPaceExceeded,
    KisRefused,
    KisTokenRejected,
    KisUnreachable,
)
from engine.kis.transport import Reply

PACE = "EGW00201"
_TOKEN = frozenset({"EGW00121", "EGW00122", "EGW00123"})
_KEY = frozenset({"EGW00103", "EGW00105"})
GATEWAY = frozenset({"EGW00001", "EGW00002", "EGW00202", "EGW00203"})  # KIS's own routing failed


@dataclass(frozen=True)
class Answer:
    """A body with KIS's code for success.

    `as_of`: the request's time; the answer holds everything up to then, and perhaps more.
    """

    tr_id: str
    symbol: str
    body: Mapping[str, Any]
    as_of: datetime
    received_at: datetime

    def rows(self, name: str) -> list[Any]:
        """Return the rows under a name; empty if the value is not a list."""
        found = self.body.get(name)
        return found if isinstance(found, list) else []

    def record(self, name: str) -> Mapping[str, Any]:
        """Return the single record under a name; empty if the value is not an object."""
        found = self.body.get(name)
        return found if isinstance(found, dict) else {}


def without_secrets(secrets: Iterable[str], text: str, most: int = 250) -> str:
    """Return KIS's words, which may repeat our secrets, with these masked, and cut to `most`."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text if len(text) <= most else f"{text[:most]}…"


def read_body(reply: Reply) -> dict[str, Any]:
    """Return the body of a successful answer.

    Reads the body whatever the HTTP status: KIS sends "too fast" and "token expired" with 500 as
    well as with 200 (docs/kis.md#token, #pace). Raises the KisError that fits.
    """
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        what = "an empty body" if not reply.body.strip() else "text that is not JSON"
        raise KisUnreachable(f"KIS answered {what} (HTTP {reply.status})") from None
    if not isinstance(body, dict):
        raise KisUnreachable(f"KIS answered JSON that is not an object (HTTP {reply.status})")
    if str(body.get("rt_cd")) == "0" and reply.status < 400:
        return body
    raise _refusal(body, reply.status)


def _refusal(body: Mapping[str, Any], status: int) -> KisError:
    code = str(body.get("msg_cd") or body.get("error_code") or "")
    text = str(body.get("msg1") or body.get("error_description") or "no reason given").strip()
    message = (
        f"KIS refused: {text} (HTTP {status})"  # not cut yet: a key cut in half would not be masked
    )
    if code == PACE:
        return KisPaceExceeded(message, msg_cd=code)
    if code in _TOKEN:
        return KisTokenRejected(message, msg_cd=code)
    if code in _KEY:
        return KisKeyRefused(message, msg_cd=code)
    if status >= 500 or code in GATEWAY or ("rt_cd" not in body and not code):
        return KisUnreachable(message, msg_cd=code or None)
    return KisRefused(message, msg_cd=code or None)
