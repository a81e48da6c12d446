"""What a scenario does to the rows of an answer, and to the answer as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from aiohttp import web

from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.injector import NumberedRule
from engine.simulator.faults.scenario import (
    Broken,
    Cut,
    EmptyAnswer,
    OddValues,
    PhantomBars,
    RepeatBars,
    WrongDate,
)
from engine.simulator.market.data import draws, instrument

REMOVED = object()  # instead of a value: the field is missing
ODD_VALUES: tuple[object, ...] = (
    "",
    "-",
    " ",
    "１２３．４５",
    "NaN",
    "inf",
    "1,234.50",
    "0x1f",
    None,
    12.5,
    [],
    REMOVED,
)
BAD_GATEWAY_PAGE = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    b"<body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
MAINTENANCE_PAGE = "<!DOCTYPE html><html><body><h1>시스템 점검중입니다.</h1></body></html>".encode()
FIELDS_READ = ("prpr", "vol", "iscd", "hour", "delta_val")  # endings of fields that clients read
Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]


def corrupt_rows(
    body: bytes,
    hits: list[NumberedRule],
    exchange: SimulatedExchange,
    symbol: str,
    now: datetime,
) -> bytes:
    """Return the answer with its rows changed by the rules."""
    for number, rule in hits:
        random = draws(number, symbol, now)
        if isinstance(rule, EmptyAnswer):
            body = _change_rows(body, lambda _rows: [])
        elif isinstance(rule, WrongDate):
            body = _change_rows(body, _replace_date(exchange, symbol, now))
        elif isinstance(rule, RepeatBars):
            body = _change_rows(body, _repeat_one(rule.times, random))
        elif isinstance(rule, PhantomBars):
            body = _change_rows(body, _add_phantom(rule, random))
        elif isinstance(rule, OddValues):
            body = _change_rows(body, _make_value_odd(random))
    return body


async def broken_response(
    body: bytes, hits: list[NumberedRule], request: web.BaseRequest
) -> web.StreamResponse | None:
    """Return what arrives instead of the answer, None if it arrives unchanged."""
    for _, rule in hits:
        if isinstance(rule, Cut):
            return await _cut(body[: len(body) // 2] if rule.half else b"", len(body), request)
        if isinstance(rule, Broken):
            if rule.what == "html":
                return web.Response(
                    body=BAD_GATEWAY_PAGE, status=rule.status, content_type="text/html"
                )
            left = body[: len(body) * 2 // 3] if rule.what == "malformed" else b""
            return web.Response(body=left, status=rule.status, content_type="application/json")
    return None


async def _cut(part: bytes, promised: int, request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": str(promised)})
    if part:
        await answer.prepare(request)
        await answer.write(part)
    if request.transport is not None:
        request.transport.close()
    return answer


def _change_rows(body: bytes, change: Change) -> bytes:
    """Apply `change` to every list of rows in the answer."""
    answer = orjson.loads(body)
    for name in ("output", "output1", "output2"):
        if isinstance(answer.get(name), list):
            answer[name] = change(answer[name])
    return orjson.dumps(answer)


def _replace_date(exchange: SimulatedExchange, symbol: str, now: datetime) -> Change:
    def change(rows: list[Row]) -> list[Row]:
        if not rows or "stck_bsop_date" not in rows[0]:
            return rows
        before = exchange.session_before(symbol, instrument(symbol).market, now.date())
        if before is None:
            return rows
        end = before.session.last_stamp + timedelta(days=1)
        return [orjson.loads(row) for row in before.visible(end, now, len(rows))]

    return change


def _repeat_one(times: int, random: np.random.Generator) -> Change:
    def change(rows: list[Row]) -> list[Row]:
        if not rows:
            return rows
        index = int(random.integers(min(len(rows), 5)))
        return rows[:index] + [rows[index]] * times + rows[index + 1 :]

    return change


def _add_phantom(rule: PhantomBars, random: np.random.Generator) -> Change:
    def change(rows: list[Row]) -> list[Row]:
        if not rows or "stck_cntg_hour" not in rows[0]:
            return rows
        index = int(random.integers(min(len(rows), 8)))
        phantom = dict(rows[index])
        for name in [name for name in phantom if name.endswith(("prpr", "oprc", "hgpr", "lwpr"))]:
            phantom[name] = _multiply(phantom[name], rule.factor)
        if rule.where == "outside":
            phantom["stck_cntg_hour"] = "073000"
        return [*rows[: index + 1], phantom, *rows[index + 1 :]]

    return change


def _multiply(text: str, factor: float) -> str:
    decimals = len(text.partition(".")[2])
    return f"{float(text) * factor:.{decimals}f}"


def _make_value_odd(random: np.random.Generator) -> Change:
    def change(rows: list[Row]) -> list[Row]:
        if not rows:
            return rows
        index = int(random.integers(len(rows)))
        odd = ODD_VALUES[int(random.integers(len(ODD_VALUES)))]
        row = dict(rows[index])
        names = [name for name in row if name.endswith(FIELDS_READ)]
        name = names[int(random.integers(len(names)))] if names else next(iter(row))
        if odd is REMOVED:
            del row[name]
        else:
            row[name] = odd
        return [*rows[:index], row, *rows[index + 1 :]]

    return change
