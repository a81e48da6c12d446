"""What is not data: registrations, their answers, PINGPONG. No text from KIS raises an error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from engine.kis.stream.cipher import StreamKey
from engine.kis.stream.registrations import StreamRegistration

PINGPONG = "PINGPONG"


class Verdict(Enum):
    """What an answer to a registration means for us (docs/kis.md#messages)."""

    REGISTERED = "registered"
    REMOVED = "removed"
    FULL = "too many registrations"
    INVALID = "no such TR or symbol"
    KEY_IN_USE = "the app key is in use by another connection"
    APPROVAL_UNKNOWN = "the approval key is unknown"
    KEY_REFUSED = "the app key is refused"
    FAILED = "an error of KIS"


_VERDICTS = {
    "OPSP0000": Verdict.REGISTERED,
    "OPSP0001": Verdict.REMOVED,
    "OPSP0002": Verdict.REGISTERED,  # was already
    "OPSP0003": Verdict.REMOVED,  # was not
    "OPSP0008": Verdict.FULL,
    "OPSP0010": Verdict.KEY_REFUSED,
    "OPSP0011": Verdict.APPROVAL_UNKNOWN,
    "OPSP8991": Verdict.INVALID,
    "OPSP8992": Verdict.INVALID,
    "OPSP8996": Verdict.KEY_IN_USE,
}


@dataclass(frozen=True)
class StreamAnswer:
    """KIS's answer to a registration. `secret` decrypts the TR's frames if they are encrypted."""

    registration: StreamRegistration
    verdict: Verdict
    code: str
    text: str
    secret: StreamKey | None = None


def registration_text(approval_key: str, registration: StreamRegistration, *, remove: bool) -> str:
    """Return the message that registers a TR of a symbol, or removes it."""
    header = {
        "approval_key": approval_key,
        "custtype": "P",
        "tr_type": "2" if remove else "1",
        "content-type": "utf-8",
    }
    wanted = {"tr_id": registration.tr_id, "tr_key": registration.tr_key}
    return orjson.dumps({"header": header, "body": {"input": wanted}}).decode()


def read_message(text: str) -> StreamAnswer | str | None:
    """Return an answer, PINGPONG, or None for anything else."""
    try:
        message = orjson.loads(text)
    except ValueError:  # orjson raises it for lone surrogates, too
        return None
    header = _part(message, "header")
    if header.get("tr_id") == PINGPONG:
        return PINGPONG
    body = _part(message, "body")
    if "rt_cd" not in body and "msg_cd" not in body:
        return None
    code, output = str(body.get("msg_cd") or ""), _part(body, "output")
    key, iv = output.get("key"), output.get("iv")
    encrypted = header.get("encrypt") == "Y" and isinstance(key, str) and isinstance(iv, str)
    return StreamAnswer(
        StreamRegistration(str(header.get("tr_id") or ""), str(header.get("tr_key") or "")),
        _VERDICTS.get(code, Verdict.FAILED),
        code,
        str(body.get("msg1") or ""),
        StreamKey(str(key), str(iv)) if encrypted else None,
    )


def registration_of_frame(text: str) -> StreamRegistration | None:
    """Return the registration of a plain frame, by its first record; None if it is garbled."""
    head = text[:64].partition("^")[0].split("|")
    return StreamRegistration(head[1], head[-1]) if len(head) >= 3 else None


def _part(message: object, name: str) -> dict[str, Any]:
    found = message.get(name) if isinstance(message, dict) else None
    return found if isinstance(found, dict) else {}
