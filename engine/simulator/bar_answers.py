"""Minute bars as KIS answers them: FHKIF03020200, FHKST03010200, FHKST03010230."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime

import orjson

from engine.market.hours import MINUTE
from engine.simulator.exchange import SimulatedExchange, is_forgotten
from engine.simulator.kis_format import OK_END
from engine.simulator.query import MARKETS, Query, asked_day, asked_hour, fits
from engine.simulator.session_rows import SessionRows
from engine.simulator.summaries import future_summary, stock_summary

FUTURES_LIMIT = 102
STOCK_TODAY_LIMIT = 30
STOCK_PAST_LIMIT = 120


def futures_bars(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHKIF03020200: at most 102 minutes of a future or option, newest first.

    With FID_PW_DATA_INCU_YN=Y rows go on into the sessions before; with N only today's are served.
    A wrong market code, a dead code, an expired contract: no rows, rt_cd 0.
    """
    symbol = query["FID_INPUT_ISCD"]
    code = query["FID_COND_MRKT_DIV_CODE"]
    past = query["FID_PW_DATA_INCU_YN"] == "Y"
    day = asked_day(query["FID_INPUT_DATE_1"], now)
    until = asked_hour(query["FID_INPUT_HOUR_1"], day, now)
    if not fits(symbol, code) or is_forgotten(symbol, now) or (not past and day != now.date()):
        return rows_answer({}, [])
    market = MARKETS[code]
    fake_ticks = query["FID_FAKE_TICK_INCU_YN"] == "Y"
    sessions = exchange.sessions_back(symbol, market, day, now, fake_ticks=fake_ticks)
    rows = _rows_back(sessions, day, until, now, FUTURES_LIMIT, past=past)
    return rows_answer(future_summary(exchange, symbol, market, now), rows)


def stock_bars_past(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHKST03010230: at most 120 minutes of a stock; near the open the day before is mixed in."""
    symbol = query["FID_INPUT_ISCD"]
    day = asked_day(query["FID_INPUT_DATE_1"], now)
    until = asked_hour(query["FID_INPUT_HOUR_1"], day, now)
    if not fits(symbol, query["FID_COND_MRKT_DIV_CODE"]):
        return rows_answer({}, [])
    market = MARKETS[query["FID_COND_MRKT_DIV_CODE"]]
    past = query["FID_PW_DATA_INCU_YN"] == "Y"
    fake_ticks = query["FID_FAKE_TICK_INCU_YN"] == "Y"
    sessions = exchange.sessions_back(symbol, market, day, now, fake_ticks=fake_ticks)
    rows = _rows_back(sessions, day, until, now, STOCK_PAST_LIMIT, past=past)
    return rows_answer(stock_summary(exchange, symbol, market, now), rows)


def stock_bars_today(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHKST03010200: at most 30 minutes of today; those still to come have the last price."""
    symbol = query["FID_INPUT_ISCD"]
    until = asked_hour(query["FID_INPUT_HOUR_1"], now.date(), now)
    if not fits(symbol, query["FID_COND_MRKT_DIV_CODE"]):
        return rows_answer({}, [])
    market = MARKETS[query["FID_COND_MRKT_DIV_CODE"]]
    today = exchange.today(symbol, market, now)
    rows: list[bytes] = []
    if today is not None and now >= today.session.opens:
        rows = _filled_forward(today, until, now)
        idle = today.idle_minute(until, now)
        rows = (rows + ([idle] if idle else []))[:STOCK_TODAY_LIMIT]
        if len(rows) < STOCK_TODAY_LIMIT:
            rows += today.visible(until, now, STOCK_TODAY_LIMIT - len(rows))
    return rows_answer(stock_summary(exchange, symbol, market, now), rows)


def _rows_back(
    sessions: Iterable[SessionRows],
    day: date,
    until: datetime,
    now: datetime,
    limit: int,
    *,
    past: bool,
) -> list[bytes]:
    """Return rows from `until` backwards, over as many sessions as it takes if `past`."""
    rows: list[bytes] = []
    for session_rows in sessions:
        if past or session_rows.served_date == day:
            rows += session_rows.visible(until, now, limit - len(rows))
        if len(rows) >= limit or not past:
            break
    return rows


def _filled_forward(today: SessionRows, until: datetime, now: datetime) -> list[bytes]:
    """Return a row of the current price for each minute after the running one, newest first."""
    newest = today.visible(now, now, 1)
    end = min(until, today.session.last_stamp).replace(second=0)
    start = now.replace(second=0, microsecond=0) + MINUTE
    if not newest or end < start:
        return []
    row = orjson.loads(newest[0])
    price = {f"stck_{name}": row["stck_prpr"] for name in ("prpr", "oprc", "hgpr", "lwpr")}
    count = min(int((end - start) / MINUTE) + 1, STOCK_TODAY_LIMIT)
    hours = (end - n * MINUTE for n in range(count))
    return [
        orjson.dumps({**row, **price, "stck_cntg_hour": f"{hour:%H%M}00", "cntg_vol": "0"})
        for hour in hours
    ]


def rows_answer(output1: Mapping[str, str], rows: list[bytes]) -> bytes:
    """Return the body of an answer; `rows` (of output2) are JSON already."""
    return b'{"output1":%b,"output2":[%b],%b' % (orjson.dumps(output1), b",".join(rows), OK_END)
