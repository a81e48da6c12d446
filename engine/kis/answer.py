"""KIS's envelope: whether an answer is a success, before its rows are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from engine.errors import (
    KisAccessRefused,
    KisError,
    KisKeyRefused,
    KisPaceExceeded,
    KisRefused,
    KisTokenRejected,
    KisUnreachable,
)
from engine.kis.transport import Reply
from engine.text import visible

PACE = "EGW00201"
ONE_A_MINUTE = "EGW00133"  # a second request for a token within a minute
_MOST_ROWS = 2_000  # in one list; the most that is documented is 120
GATEWAY = frozenset({"EGW00001", "EGW00002", "EGW00202", "EGW00203"})  # KIS's own routing failed
_KINDS: dict[str, type[KisError]] = {
    PACE: KisPaceExceeded,
    **dict.fromkeys(("EGW00121", "EGW00122", "EGW00123"), KisTokenRejected),
    **dict.fromkeys(("EGW00103", "EGW00105"), KisKeyRefused),
    **dict.fromkeys(GATEWAY, KisUnreachable),
}

# A token that KIS's maintenance made invalid has been refused with other codes, in such words.
_ACCESS_CODES = ("EGW", "OPSP")  # of the gateway; refusals of the query itself have others
_ACCESS_WORDS = re.compile(r"token|토큰|등록되지 않은|권한|인증|unauthori[sz]ed", re.IGNORECASE)
_MAINTENANCE = "점검"  # with HTTP status 5xx it is what it says, and passes by itself
_ACCESS_STATUS = (401, 403)


@dataclass(frozen=True)
class Answer:
    """A body with KIS's code for success. All times are KST.

    `as_of` is the time of the request, by the clock that is behind, ours or KIS's: the answer holds
    everything up to then, and perhaps more. `clocks_agree`: the two clocks agree, so that the
    answer may settle a missing minute.
    """

    tr_id: str
    symbol: str
    body: Mapping[str, Any]
    as_of: datetime
    received_at: datetime
    clocks_agree: bool = True

    def rows(self, name: str) -> list[Any]:
        """Return the rows under a name; empty if the value is not a list."""
        found = self.body.get(name)
        return found if isinstance(found, list) else []

    def has_rows(self, name: str) -> bool:
        """Say whether there is a list under a name, even an empty one; else nothing is known."""
        return isinstance(self.body.get(name), list)

    def record(self, name: str) -> Mapping[str, Any]:
        """Return the single record under a name; empty if the value is not an object."""
        found = self.body.get(name)
        return found if isinstance(found, dict) else {}


def without_secrets(secrets: Iterable[str], text: str, most: int = 250) -> str:
    """Return KIS's words as one printable line, our secrets masked, cut to `most` characters."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = visible(text)
    return text if len(text) <= most else f"{text[:most]}…"


def json_object(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of a body; empty if the body is anything else."""
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def oauth_refusal(body: Mapping[str, Any], secrets: Iterable[str]) -> tuple[str, str]:
    """Return the code and the words with which KIS refuses a token or an approval key.

    Our secrets are masked. KIS has two pairs of names for code and words, and either is read; what
    KIS does not give is empty.
    """
    code = str(body.get("error_code") or body.get("msg_cd") or "")
    words = str(body.get("error_description") or body.get("msg1") or "")
    secrets = list(secrets)
    return without_secrets(secrets, code), without_secrets(secrets, words)


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
    rows = max((len(value) for value in body.values() if isinstance(value, list)), default=0)
    if rows > _MOST_ROWS:
        raise KisUnreachable(f"KIS answered {rows} rows, more than any answer of KIS has")
    if str(body.get("rt_cd")) == "0" and reply.status < 400:
        return body
    raise _refusal(body, reply.status)


def _refusal(body: Mapping[str, Any], status: int) -> KisError:
    code = str(body.get("msg_cd") or body.get("error_code") or "")
    text = str(body.get("msg1") or body.get("error_description") or "no reason given").strip()
    # Not cut yet: half a key would not be masked.
    message = f"KIS refused: {text} (HTTP {status})"
    return _kind(code, text, status, known="rt_cd" in body)(message, msg_cd=code or None)


def _kind(code: str, text: str, status: int, *, known: bool) -> type[KisError]:
    """Return the error for a refusal; `known` says whether it has the form of KIS's answers."""
    if code in _KINDS:
        return _KINDS[code]
    if _ACCESS_WORDS.search(text):
        return KisAccessRefused
    if status >= 500:
        return KisUnreachable
    if status in _ACCESS_STATUS or code.startswith(_ACCESS_CODES) or _MAINTENANCE in text:
        return KisAccessRefused
    return KisRefused if known or code else KisUnreachable
