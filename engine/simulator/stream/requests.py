"""What clients send, and what KIS answers: registrations, refusals, PINGPONG."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

# Codes and words as users of KIS report them (docs/kis.md#messages).
MESSAGES = {
    "OPSP0000": "SUBSCRIBE SUCCESS",
    "OPSP0001": "UNSUBSCRIBE SUCCESS",
    "OPSP0002": "ALREADY IN SUBSCRIBE",
    "OPSP0003": "UNSUBSCRIBE ERROR(not found!)",
    "OPSP0007": "SUBSCRIBE INTERNAL ERROR",
    "OPSP0008": "MAX SUBSCRIBE OVER",
    "OPSP0009": "SUBSCRIBE ERROR : mci send failed",
    "OPSP0010": "SUBSCRIBE WARNING : invalid appkey",
    "OPSP0011": "invalid approval : NOT FOUND",
    "OPSP8991": "SUBSCRIBE ERROR : invalid tr_id",
    "OPSP8992": "SUBSCRIBE ERROR : invalid tr_key",
    "OPSP8993": "JSON PARSING ERROR : invalid tr_key",
    "OPSP8995": "JSON PARSING ERROR : appsecret not found",
    "OPSP8996": "ALREADY IN USE appkey",
    "OPSP8997": "JSON PARSING ERROR : invalid tr_type",
    "OPSP8998": "JSON PARSING ERROR : invalid custtype",
    "OPSP9990": "JSON PARSING ERROR : tr_key not found",
    "OPSP9991": "JSON PARSING ERROR : input not found",
    "OPSP9992": "JSON PARSING ERROR : body not found",
    "OPSP9996": "JSON PARSING ERROR : appkey not found",
    "OPSP9997": "JSON PARSING ERROR : custtype not found",
    "OPSP9998": "JSON PARSING ERROR : header not found",
    "OPSP9999": "JSON PARSING ERROR : invalid json format",
}
SUCCESS = frozenset({"OPSP0000", "OPSP0001"})
# After these KIS closes the connection.
CLOSING = frozenset({"OPSP8996"})
PINGPONG = "PINGPONG"


@dataclass(frozen=True)
class Registration:
    """What a client asks for: to register a TR with a key, or (`is_wanted` false) to remove it."""

    tr_id: str
    tr_key: str
    is_wanted: bool
    approval_key: str
    app_key: str  # the old way, instead of an approval key
    app_secret: str


@dataclass(frozen=True)
class Malformed(Exception):
    """A message that cannot be read; `tr_id` and `tr_key` as far as they were."""

    code: str
    tr_id: str = "(null)"
    tr_key: str = ""


def is_pingpong(text: str) -> bool:
    """Say whether the text is the echo of a PINGPONG."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    header = message.get("header") if isinstance(message, dict) else None
    return isinstance(header, dict) and header.get("tr_id") == PINGPONG


def read_registration(text: str) -> Registration:
    """Read a client's message. Raises Malformed."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Malformed("OPSP9999") from None
    header = _part(message, "header", "OPSP9998")
    keys = {name: _text(header, name) for name in ("approval_key", "appkey", "secretkey")}
    if not keys["approval_key"] and not keys["appkey"]:
        raise Malformed("OPSP9996")
    if not keys["approval_key"] and not keys["secretkey"]:
        raise Malformed("OPSP8995")
    if not _text(header, "custtype"):
        raise Malformed("OPSP9997")
    if _text(header, "custtype") not in ("P", "B"):
        raise Malformed("OPSP8998")
    if _text(header, "tr_type") not in ("1", "2"):
        raise Malformed("OPSP8997")
    found = _part(_part(message, "body", "OPSP9992"), "input", "OPSP9991")
    tr_id = _text(found, "tr_id")
    if "tr_key" not in found:
        raise Malformed("OPSP9990", tr_id)
    if not isinstance(found["tr_key"], str):
        raise Malformed("OPSP8993", tr_id)
    return Registration(
        tr_id,
        found["tr_key"],
        header["tr_type"] == "1",
        keys["approval_key"],
        keys["appkey"],
        keys["secretkey"],
    )


def _part(value: Any, name: str, missing: str) -> dict[str, Any]:
    part = value.get(name) if isinstance(value, dict) else None
    if not isinstance(part, dict):
        raise Malformed(missing)
    return part


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""


def answer(code: str, tr_id: str, tr_key: str) -> str:
    """Return the answer to a registration. rt_cd 0: done, 1: not done, 9: not even read."""
    unread = code >= "OPSP8993" or code in ("OPSP0010", "OPSP0011")
    body: dict[str, Any] = {
        "rt_cd": "0" if code in SUCCESS else "9" if unread else "1",
        "msg_cd": code,
        "msg1": MESSAGES[code],
    }
    if code in SUCCESS:
        body["output"] = _cipher(tr_id)
    encrypted = "CNI" in tr_id and code in SUCCESS  # order notices
    header = {"tr_id": tr_id, "tr_key": tr_key, "encrypt": "Y" if encrypted else "N"}
    return orjson.dumps({"header": header, "body": body}).decode()


def _cipher(tr_id: str) -> dict[str, str]:
    """Return iv and key as KIS gives them with every answer: text of 16 and of 32 characters."""
    digest = blake2b(tr_id.encode(), digest_size=24).hexdigest()
    return {"iv": digest[:16], "key": digest[16:48]}


def pingpong(now: datetime) -> str:
    """Return the text that the client has to send back."""
    header = {"tr_id": PINGPONG, "datetime": f"{now:%Y%m%d%H%M%S}"}
    return orjson.dumps({"header": header}).decode()
