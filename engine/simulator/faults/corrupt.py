"""What a scenario does to an answer's rows, and to the answer on its way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from aiohttp import web

from engine.market.sessions import market_of
from engine.simulator.exchange import Desk
from engine.simulator.faults.injector import Numbered
from engine.simulator.faults.scenario import (
    Broken,
    Cut,
    EmptyAnswer,
    OddValues,
    PhantomBars,
    RepeatBars,
    WrongDate,
)
from engine.simulator.market.data import draws

ODD: tuple[object, ...] = (
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
    "MISSING",
)
PAGE = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    b"<body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
DOWN = ("<!DOCTYPE html><html><body><h1>시스템 점검중입니다.</h1></body></html>").encode()
READ = ("prpr", "vol", "iscd", "hour", "delta_val")  # endings of fields that collectors read
Row = dict[str, Any]


def mangle(body: bytes, hits: list[Numbered], desk: Desk, symbol: str, now: datetime) -> bytes:
    """Return the answer as the rules that were met leave its rows."""
    for number, rule in hits:
        random = draws(number, symbol, now)
        if isinstance(rule, EmptyAnswer):
            body = _with_rows(body, lambda _rows: [])
        elif isinstance(rule, WrongDate):
            body = _with_rows(body, lambda rows: _of_another_date(rows, desk, symbol, now))
        elif isinstance(rule, RepeatBars):
            body = _with_rows(body, _one_repeated(rule.times, random))
        elif isinstance(rule, PhantomBars):
            body = _with_rows(body, _with_phantom(rule, random))
        elif isinstance(rule, OddValues):
            body = _with_rows(body, _with_odd_value(random))
    return body


async def on_its_way(
    body: bytes, hits: list[Numbered], request: web.BaseRequest
) -> web.StreamResponse | None:
    """Return what arrives instead of the answer, None if it arrives as it is."""
    for _, rule in hits:
        if isinstance(rule, Cut):
            return await _cut(body[: len(body) // 2] if rule.half else b"", len(body), request)
        if isinstance(rule, Broken):
            if rule.what == "html":
                return web.Response(body=PAGE, status=rule.status, content_type="text/html")
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


def _with_rows(body: bytes, change: Any) -> bytes:
    """Apply `change` to every list of rows in the answer."""
    answer = orjson.loads(body)
    for name in ("output", "output1", "output2"):
        if isinstance(answer.get(name), list):
            answer[name] = change(answer[name])
    return orjson.dumps(answer)


def _of_another_date(rows: list[Row], desk: Desk, symbol: str, now: datetime) -> list[Row]:
    if not rows or "stck_bsop_date" not in rows[0]:
        return rows
    sheet = desk.last_before(symbol, market_of(symbol), now.date())
    if sheet is None:
        return rows
    end = sheet.session.last_stamp + timedelta(days=1)
    return [orjson.loads(row) for row in sheet.visible(end, now, len(rows))]


def _one_repeated(times: int, random: np.random.Generator) -> Any:
    def change(rows: list[Row]) -> list[Row]:
        if not rows:
            return rows
        place = int(random.integers(min(len(rows), 5)))
        return rows[:place] + [rows[place]] * times + rows[place + 1 :]

    return change


def _with_phantom(rule: PhantomBars, random: np.random.Generator) -> Any:
    def change(rows: list[Row]) -> list[Row]:
        if not rows or "stck_cntg_hour" not in rows[0]:
            return rows
        place = int(random.integers(min(len(rows), 8)))
        phantom = dict(rows[place])
        for name in [name for name in phantom if name.endswith(("prpr", "oprc", "hgpr", "lwpr"))]:
            phantom[name] = _times(phantom[name], rule.factor)
        if rule.where == "outside":
            phantom["stck_cntg_hour"] = "073000"
        return [*rows[: place + 1], phantom, *rows[place + 1 :]]

    return change


def _times(text: str, factor: float) -> str:
    decimals = len(text.partition(".")[2])
    return f"{float(text) * factor:.{decimals}f}"


def _with_odd_value(random: np.random.Generator) -> Any:
    def change(rows: list[Row]) -> list[Row]:
        if not rows:
            return rows
        place, odd = int(random.integers(len(rows))), ODD[int(random.integers(len(ODD)))]
        row = dict(rows[place])
        names = [name for name in row if name.endswith(READ)]
        name = names[int(random.integers(len(names)))] if names else next(iter(row))
        if odd == "MISSING":
            del row[name]
        else:
            row[name] = odd
        return [*rows[:place], row, *rows[place + 1 :]]

    return change
