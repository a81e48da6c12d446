"""KIS's envelope: what an answer says before anybody looks at its rows."""

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
    """A body that KIS calls fine.

    `as_of`: when it was asked for; it knows all of what happened before, and perhaps more.
    """

    tr_id: str
    symbol: str
    body: Mapping[str, Any]
    as_of: datetime
    received_at: datetime

    def rows(self, name: str) -> list[Any]:
        """Return the rows under a name; whatever is no list of rows is none."""
        found = self.body.get(name)
        return found if isinstance(found, list) else []

    def record(self, name: str) -> Mapping[str, Any]:
        """Return the single record under a name, empty if there is none."""
        found = self.body.get(name)
        return found if isinstance(found, dict) else {}


def without(secrets: Iterable[str], text: str, most: int = 250) -> str:
    """Return KIS's words without a key that they may repeat, and no more of them than `most`."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text if len(text) <= most else f"{text[:most]}…"


def read_body(reply: Reply) -> dict[str, Any]:
    """Return the body of an answer that KIS calls fine.

    Always reads the body, whatever the status: KIS says "too fast" and "token expired" over
    HTTP 500 as well as over 200. Raises the KisError that fits.
    """
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        what = "an empty body" if not reply.body.strip() else "no JSON"
        raise KisUnreachable(f"KIS answered {what} (HTTP {reply.status})") from None
    if not isinstance(body, dict):
        raise KisUnreachable(f"KIS answered JSON that is no object (HTTP {reply.status})")
    if str(body.get("rt_cd")) == "0" and reply.status < 400:
        return body
    raise _refusal(body, reply.status)


def _refusal(body: Mapping[str, Any], status: int) -> KisError:
    code = str(body.get("msg_cd") or body.get("error_code") or "")
    text = str(body.get("msg1") or body.get("error_description") or "no reason given").strip()
    message = f"KIS says no: {text} (HTTP {status})"  # whole: half a key would not be recognised
    if code == PACE:
        return KisPaceExceeded(message, msg_cd=code)
    if code in _TOKEN:
        return KisTokenRejected(message, msg_cd=code)
    if code in _KEY:
        return KisKeyRefused(message, msg_cd=code)
    if status >= 500 or code in GATEWAY or ("rt_cd" not in body and not code):
        return KisUnreachable(message, msg_cd=code or None)
    return KisRefused(message, msg_cd=code or None)
