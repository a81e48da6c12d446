"""Turns a true answer of KIS into a lie."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from tests.hostile.hostile_kis import (
    FUTURES_PRICES,
    STOCK_PRICES,
    Asked,
    HostileKis,
    Raw,
    Reply,
    http,
)

Row = dict[str, Any]
PRICES = STOCK_PRICES + FUTURES_PRICES


@dataclass(frozen=True)
class Lie:
    """One lie.

    `told` is in the log's line, or is the reason of a rejected row; "" is a lie that still tells
    the truth, and must be believed within its minute.
    """

    name: str
    reply: Reply
    told: str = ""

    def __str__(self) -> str:
        return self.name


def dated(asked: Asked) -> str:
    moment = asked.when - timedelta(hours=9)
    return f"Date: {moment:%a, %d %b %Y %H:%M:%S} GMT"


def raw(make: Callable[[bytes], bytes], **more: Any) -> Reply:
    """Send other bytes than those of the true answer."""
    return lambda asked: http(make(orjson.dumps(asked.honest)), dated(asked), **more)


def body(change: Callable[[Row], object]) -> Reply:
    """Send another JSON than the true one."""
    return lambda asked: http(orjson.dumps(change(dict(asked.honest))), dated(asked))


def lists_of(found: Row) -> list[str]:
    return [name for name, value in found.items() if isinstance(value, list)]


def rows(change: Callable[[list[Row], Asked], Sequence[object]]) -> Reply:
    """Send other rows than the true ones."""

    def reply(asked: Asked) -> bytes:
        found = dict(asked.honest)
        for name in lists_of(found):
            found[name] = list(change([dict(one) for one in found[name]], asked))
        return http(orjson.dumps(found), dated(asked))

    return reply


def each_row(change: Callable[[Row], object]) -> Reply:
    return rows(lambda found, _asked: [change(one) for one in found])


def values(names: Sequence[str], change: Callable[[str], object]) -> Reply:
    """Send other values under these names."""
    return each_row(lambda one: {k: change(v) if k in names else v for k, v in one.items()})


def numbers(change: Callable[[str], object]) -> Reply:
    """Send other numbers: prices and volumes, and every value of the flows."""
    return each_row(
        lambda one: {
            k: v if k.startswith("stck_") and k not in PRICES else change(v) for k, v in one.items()
        }
    )


def whole_list(value: object) -> Reply:
    """Send something else in place of the list of rows."""
    return body(lambda found: found | dict.fromkeys(lists_of(found), value))


def head(*lines: str | bytes, **more: Any) -> Reply:
    """Send the true answer with more lines in its head."""
    return lambda asked: http(orjson.dumps(asked.honest), dated(asked), *lines, **more)


def refusal(code: str, text: str, *lines: str, status: str = "500 Error") -> Reply:
    found = {"rt_cd": "1", "msg_cd": code, "msg1": text}
    return lambda asked: http(orjson.dumps(found), dated(asked), *lines, status=status)


def other_date(text: str | bytes | None) -> Reply:
    lines = (
        [] if text is None else [b"Date: " + (text if isinstance(text, bytes) else text.encode())]
    )
    return lambda asked: http(orjson.dumps(asked.honest), *lines)


def redirect(status: str, path: str | None = None) -> Raw:
    """Lead to another host, or to another path of this one."""

    async def reply(kis: HostileKis, asked: Asked, writer: asyncio.StreamWriter) -> None:
        to = kis.elsewhere if path is None else kis.base_url + path
        writer.write(http(b"", dated(asked), f"Location: {to}/steal", status=status))

    return reply


def then_close(content: Callable[[Asked], bytes], *, reset: bool = False) -> Raw:
    async def reply(_kis: HostileKis, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(content(asked))
        await writer.drain()
        if reset:
            writer.transport.abort()
        writer.close()

    return reply


def drip(before: bytes) -> Raw:
    """Send a byte every three seconds, for an hour."""

    async def reply(kis: HostileKis, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        async with kis.clock.parked(asked.headers["gt_uid"]):
            for _ in range(1200):
                writer.write(b" ")
                await writer.drain()
                await kis.clock.sleep(3)

    return reply


def flood(chunk: bytes, before: bytes = b"") -> Raw:
    """Send the same again and again until nobody listens."""

    async def reply(_kis: HostileKis, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while not writer.is_closing():
            writer.write(chunk)
            await writer.drain()

    return reply


def echo(asked: Asked) -> str:
    """All that must not be shown, as the request holds it."""
    return " ".join(asked.headers.get(k, "") for k in ("authorization", "appkey", "appsecret"))


def in_words(asked: Asked) -> bytes:
    found = {"rt_cd": "1", "msg_cd": "OPSQ9999", "msg1": "x" * 190 + echo(asked)}
    return http(orjson.dumps(found), dated(asked))


def in_code(asked: Asked) -> bytes:
    return http(orjson.dumps({"rt_cd": "1", "msg_cd": echo(asked), "msg1": ""}), dated(asked))


def moved(days: int) -> Reply:
    """Date each row by so many days later."""

    def later(one: Row) -> Row:
        if "stck_bsop_date" not in one:
            return one
        day = datetime.strptime(one["stck_bsop_date"], "%Y%m%d") + timedelta(days=days)
        return one | {"stck_bsop_date": f"{day:%Y%m%d}"}

    return each_row(later)


def to_come(found: list[Row], _asked: Asked) -> list[Row]:
    """Fill forward: half an hour that has not come yet, at the present price."""
    if not found or "stck_cntg_hour" not in found[0]:
        return found
    newest = datetime.strptime(found[0]["stck_cntg_hour"], "%H%M%S")
    ahead = [newest + timedelta(minutes=n) for n in range(30, 0, -1)]
    return [{**found[0], "stck_cntg_hour": f"{one:%H%M%S}"} for one in ahead] + found


def twice(found: list[Row], _asked: Asked) -> list[Row]:
    """Each row once more, with another volume and behind the true one."""
    if found and "cntg_vol" not in found[0]:
        return found
    return [copy for one in found for copy in (one, one | {"cntg_vol": "1"})]


def shuffled(found: list[Row], _asked: Asked) -> list[Row]:
    return random.Random(1).sample(found, len(found))  # noqa: S311


def doubled_keys(true: bytes) -> bytes:
    """Name success and each price twice, a lie first and the truth last."""
    text = true.replace(b'"rt_cd":"0"', b'"rt_cd":"1","rt_cd":"0"')
    for name in PRICES:
        text = text.replace(f'"{name}":'.encode(), f'"{name}":"-1","{name}":'.encode())
    return text


def nested(_true: bytes) -> bytes:
    return b'{"rt_cd":"0","output2":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
