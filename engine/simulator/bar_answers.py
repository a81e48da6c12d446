"""Minute bars as KIS answers them: FHKIF03020200, FHKST03010200, FHKST03010230."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta

import orjson

from engine import instruments
from engine.errors import CalendarRangeError, InputError
from engine.sessions import Market
from engine.simulator.desk import Desk, is_dead
from engine.simulator.levels import stock_profile
from engine.simulator.listing import future_name
from engine.simulator.refusals import Refusal
from engine.simulator.sheets import Sheet
from engine.simulator.wire import change, price_text

Query = Mapping[str, str]
FUTURES_LIMIT, STOCK_TODAY_LIMIT, STOCK_PAST_LIMIT = 102, 30, 120
MARKETS = {"F": Market.DERIVATIVES, "O": Market.DERIVATIVES, "CM": Market.NIGHT, "EU": Market.NIGHT}
FUTURE_CODES, OPTION_CODES, STOCK_CODES = ("F", "CM"), ("O", "EU"), ("J", "NX", "UN")


def futures_bars(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHKIF03020200: at most 102 minutes of a future or option, newest first.

    With FID_PW_DATA_INCU_YN=Y rows go on into the sessions before, with N only today's are served.
    A wrong market code, a dead or expired contract: no rows, rt_cd 0.
    """
    symbol, code = query["FID_INPUT_ISCD"], query["FID_COND_MRKT_DIV_CODE"]
    past = query["FID_PW_DATA_INCU_YN"] == "Y"
    day = asked_day(query["FID_INPUT_DATE_1"], now)
    if not _fits(symbol, code) or is_dead(symbol, now) or (not past and day != now.date()):
        return rows_answer({}, [])
    fake = query["FID_FAKE_TICK_INCU_YN"] == "Y"
    sheets = desk.sheets(symbol, MARKETS[code], day, now, fake_ticks=fake)
    until = asked_hour(query["FID_INPUT_HOUR_1"], day)
    rows = collect(sheets, until, now, FUTURES_LIMIT, past=past)
    today = next(desk.sheets(symbol, MARKETS[code], now.date(), now, fake_ticks=False), None)
    return rows_answer(_futures_output1(desk, symbol, today, now), rows)


def stock_bars_today(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHKST03010200: at most 30 minutes of today; an hour to come is filled with the last price."""
    symbol = query["FID_INPUT_ISCD"]
    if not _fits(symbol, query["FID_COND_MRKT_DIV_CODE"]):
        return rows_answer({}, [])
    sheet = next(desk.sheets(symbol, Market.STOCKS, now.date(), now, fake_ticks=False), None)
    if sheet is None or sheet.session.date != now.date() or now < sheet.session.opens:
        return rows_answer(_stock_output1(desk, symbol, sheet, now), [])
    until = asked_hour(query["FID_INPUT_HOUR_1"], now.date())
    ahead = _filled_forward(sheet, until, now)
    rows = ahead[:STOCK_TODAY_LIMIT]
    rows += sheet.visible(until, now, STOCK_TODAY_LIMIT - len(rows)) if len(rows) < 30 else []
    return rows_answer(_stock_output1(desk, symbol, sheet, now), rows)


def stock_bars_past(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHKST03010230: at most 120 minutes of a stock; near the open the day before is mixed in."""
    symbol, day = query["FID_INPUT_ISCD"], asked_day(query["FID_INPUT_DATE_1"], now)
    if not _fits(symbol, query["FID_COND_MRKT_DIV_CODE"]):
        return rows_answer({}, [])
    fake = query["FID_FAKE_TICK_INCU_YN"] == "Y"
    sheets = desk.sheets(symbol, Market.STOCKS, day, now, fake_ticks=fake)
    until = asked_hour(query["FID_INPUT_HOUR_1"], day)
    past = query["FID_PW_DATA_INCU_YN"] == "Y"
    rows = collect(sheets, until, now, STOCK_PAST_LIMIT, past=past)
    today = next(desk.sheets(symbol, Market.STOCKS, now.date(), now, fake_ticks=False), None)
    return rows_answer(_stock_output1(desk, symbol, today, now), rows)


def collect(
    sheets: Iterator[Sheet], until: datetime, now: datetime, limit: int, *, past: bool
) -> list[bytes]:
    """Return rows from `until` backwards, over as many sessions as it takes."""
    rows: list[bytes] = []
    for sheet in sheets:
        if not past and sheet.session.date != until.date() and rows:
            break
        rows += sheet.visible(until, now, limit - len(rows))
        if len(rows) >= limit or not past:
            break
    return rows


def _fits(symbol: str, code: str) -> bool:
    if instruments.is_stock(symbol):
        return code in STOCK_CODES
    try:
        future = instruments.product(symbol).kind == "future"
    except InputError:
        return False
    return code in (FUTURE_CODES if future else OPTION_CODES)


def asked_day(text: str, now: datetime) -> date:
    """Read YYYYMMDD; empty is today. KIS refuses what is no date."""
    if not text:
        return now.date()
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007  (KST without zone)
    except ValueError:
        raise Refusal(
            "OPSQ2001", "ERROR : INPUT INVALID_CHECK_FID_INPUT_DATE_1", rt_cd="2"
        ) from None


def asked_hour(text: str, day: date) -> datetime:
    """Read HHMMSS, in a night up to 300000; empty is the end of the day."""
    text = text or "235959"
    if len(text) != 6 or not text.isdigit() or int(text[:2]) > 30 or text[2:] > "5959":
        raise Refusal("OPSQ2001", "ERROR : INPUT INVALID_CHECK_FID_INPUT_HOUR_1", rt_cd="2")
    passed = timedelta(hours=int(text[:2]), minutes=int(text[2:4]), seconds=int(text[4:]))
    return datetime.combine(day, time()) + passed


def _filled_forward(sheet: Sheet, until: datetime, now: datetime) -> list[bytes]:
    """Return a row of the current price for each minute after now's, newest first."""
    newest = sheet.visible(now, now, 1)
    end = min(until, sheet.session.last_stamp).replace(second=0)
    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if not newest or end < start:
        return []
    row = orjson.loads(newest[0])
    price = {f"stck_{name}": row["stck_prpr"] for name in ("prpr", "oprc", "hgpr", "lwpr")}
    count = int((end - start) / timedelta(minutes=1)) + 1
    hours = (end - timedelta(minutes=n) for n in range(min(count, STOCK_TODAY_LIMIT)))
    return [
        orjson.dumps({**row, **price, "stck_cntg_hour": f"{hour:%H%M}00", "cntg_vol": "0"})
        for hour in hours
    ]


def rows_answer(output1: Mapping[str, str], rows: list[bytes]) -> bytes:
    """Put an answer together."""
    return b'{"output1":%b,"output2":[%b],"rt_cd":"0","msg_cd":"MCA00000","msg1":"%b"}' % (
        orjson.dumps(output1),
        b",".join(rows),
        "정상처리 되었습니다.".encode(),
    )


def day_so_far(sheet: Sheet | None, now: datetime) -> dict[str, float]:
    """Return open, high, low, close and volume of the finished bars so far; empty before."""
    if sheet is None or (last := sheet.last(now)) < 0:
        return {}
    return sheet.so_far[last]


def _futures_output1(desk: Desk, symbol: str, sheet: Sheet | None, now: datetime) -> dict[str, str]:
    if sheet is None:
        return {}
    before = desk.previous(symbol, sheet.session)
    earlier = day_so_far(before, now) or day_so_far(sheet, now)
    so_far = day_so_far(sheet, now)
    if not earlier:
        return {}
    close = so_far.get("close", earlier["close"])
    kind = instruments.product(symbol)
    index = close / desk.carry_of(symbol, sheet.session.date)
    move, sign, share = change(close, earlier["close"], 2)
    limit = 0.08 * earlier["close"]
    opened, high, low = (so_far.get(name, 0.0) for name in ("open", "high", "low"))
    tick = kind.ticks[-1][1]
    return {
        "futs_prdy_vrss": move, "prdy_vrss_sign": sign, "futs_prdy_ctrt": share,
        "futs_prdy_clpr": price_text(earlier["close"], 2),
        "prdy_nmix": price_text(earlier["close"], 2),
        "acml_vol": str(int(so_far.get("volume", 0))),
        "acml_tr_pbmn": str(int(so_far.get("turnover", 0))),
        "hts_kor_isnm": future_name(symbol) if kind.kind == "future" else symbol,
        "futs_prpr": price_text(close, 2), "futs_shrn_iscd": symbol,
        "prdy_vol": str(int(earlier["volume"])),
        "futs_mxpr": f"{earlier['close'] + limit:.2f}", "futs_llam": f"{earlier['close'] - limit:.2f}",
        "futs_oprc": f"{opened:.2f}", "futs_hgpr": f"{high:.2f}", "futs_lwpr": f"{low:.2f}",
        "futs_prdy_oprc": f"{earlier['open']:.2f}", "futs_prdy_hgpr": f"{earlier['high']:.2f}",
        "futs_prdy_lwpr": f"{earlier['low']:.2f}",
        "futs_askp": f"{close + tick:.2f}", "futs_bidp": f"{max(close - tick, 0):.2f}",
        "basis": f"{close - index:.2f}", "kospi200_nmix": f"{index:.2f}",
        "hts_otst_stpl_qty": str(int(earlier["volume"] * 1.4)), "otst_stpl_qty_icdc": "0",
        "tday_rltv": "100.00", "hts_thpr": f"{close:.2f}", "dprt": "0.00",
    }  # fmt: skip


def _stock_output1(desk: Desk, symbol: str, sheet: Sheet | None, now: datetime) -> dict[str, str]:
    if sheet is None:
        return {}
    before = desk.previous(symbol, sheet.session)
    so_far = day_so_far(sheet, now)
    earlier = day_so_far(before, now) or so_far
    if not earlier:
        return {}
    close = so_far.get("close", earlier["close"])
    move, sign, share = change(close, earlier["close"], 0)
    return {
        "prdy_vrss": move, "prdy_vrss_sign": sign, "prdy_ctrt": share,
        "stck_prdy_clpr": price_text(earlier["close"], 0),
        "acml_vol": str(int(so_far.get("volume", 0))),
        "acml_tr_pbmn": str(int(so_far.get("turnover", 0))),
        "hts_kor_isnm": stock_profile(symbol)[0], "stck_prpr": price_text(close, 0),
    }  # fmt: skip
