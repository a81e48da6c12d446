"""Boards and quotes as KIS answers them: FHPIF0503 0000, 0100, 0200 and FHMIF10000000."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

import orjson

from engine.errors import InputError
from engine.market import instruments
from engine.market.sessions import Market, session
from engine.simulator.board_text import write_boards, write_quotes
from engine.simulator.exchange import Desk, is_dead
from engine.simulator.kis_format import OK, change
from engine.simulator.market.data import open_session
from engine.simulator.market.listing import (
    future_name,
    futures,
    maturities,
    previous_close,
    series_of,
)
from engine.simulator.market.options import BLOCK
from engine.simulator.query import Query
from engine.simulator.summaries import future_quote

FUTURES_OF_CLASS = {"": "A01", "MKI": "A05", "KQI": "A06"}
EMPTY_BOARD = orjson.dumps({"output1": [], "output2": [], **OK})
EMPTY_QUOTE = orjson.dumps({"output1": {}, "output2": {}, "output3": {}, **OK})
MINUTE = timedelta(minutes=1)
KOSPI_PER_KOSPI200 = 7.4  # what a point of the one is worth in the other, about

State = tuple[date, int]  # a session and how many of its minutes are over, less one


def state_of_day(now: datetime) -> State | None:
    """Return the session whose quotes stand now: before the open those of the close before."""
    for back in range(15):
        of = session(Market.DERIVATIVES, now.date() - timedelta(days=back))
        if of is not None and now >= of.first_stamp:
            return of.date, int((min(now, of.last_stamp) - of.opens) / MINUTE) - 1
    return None


def option_board(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHPIF05030100: at most 100 calls and 100 puts of a maturity, highest strikes first."""
    series, state = series_of(query["FID_COND_MRKT_CLS_CODE"]), state_of_day(now)
    maturity = query["FID_MTRT_CNT"]
    if series is None or state is None or query["FID_COND_MRKT_DIV_CODE"] != "O":
        return EMPTY_BOARD
    if maturity not in maturities(series, state[0]):
        return EMPTY_BOARD
    day, minute = state
    return write_boards(desk, series, maturity, day, minute // BLOCK)[minute % BLOCK]


def board_top(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHPIF05030000: the index under a future, and the future."""
    symbol, state = query["FID_INPUT_ISCD"], state_of_day(now)
    future = _future(desk, query, now)
    if not future or state is None:
        return orjson.dumps({"output1": {}, "output2": [], **OK})
    price, before = _index(desk, instruments.product(symbol).underlying, state)
    move, sign, share = change(price, before, 2)
    output1 = {
        "unas_prpr": f"{price:.2f}",
        "unas_prdy_vrss": move,
        "unas_prdy_vrss_sign": sign,
        "unas_prdy_ctrt": share,
        "unas_acml_vol": str(400_000 * (state[1] + 1)),
        "hts_kor_isnm": future_name(symbol),
        **{
            name: future[name]
            for name in ("futs_prpr", "futs_prdy_vrss", "prdy_vrss_sign", "futs_prdy_ctrt")
        },
    }
    return orjson.dumps({"output1": output1, "output2": [], **OK})


def futures_board(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHPIF05030200: all listed futures of a product."""
    prefix = FUTURES_OF_CLASS.get(query["FID_COND_MRKT_CLS_CODE"])
    codes = futures(prefix, now.date()) if prefix else []
    rows = [row for code in codes if (row := _futures_row(desk, code, now))]
    return orjson.dumps({"output": rows, **OK})


def quote(desk: Desk, query: Query, now: datetime) -> bytes:
    """FHMIF10000000: one future (F) or option (O), without bid and ask."""
    state = state_of_day(now)
    if state is None:
        return EMPTY_QUOTE
    is_option = query["FID_COND_MRKT_DIV_CODE"] == "O"
    symbol = query["FID_INPUT_ISCD"]
    future = {} if is_option else _future(desk, query, now)
    known = _option_quote(desk, symbol, state) if is_option else orjson.dumps(future)
    if not (known if is_option else future):
        return EMPTY_QUOTE
    return b'{"output1":%b,%b' % (known, _indices(desk, state))


@lru_cache(maxsize=64)
def _indices(desk: Desk, state: State) -> bytes:
    """Return what follows output1 in every quote of a minute: KOSPI and KOSPI200."""
    price, before = _index(desk, "KOSPI200", state)
    kospi = _index_row("0001", "종합", price * KOSPI_PER_KOSPI200, before * KOSPI_PER_KOSPI200)
    kospi200 = _index_row("2001", "KOSPI200", price, before)
    return orjson.dumps({"output2": kospi, "output3": kospi200, **OK})[1:]


def _future(desk: Desk, query: Query, now: datetime) -> dict[str, str]:
    symbol = query["FID_INPUT_ISCD"]
    try:
        known = instruments.contract(symbol).product.kind == "future" and not is_dead(symbol, now)
    except InputError:
        return {}
    asked = known and query["FID_COND_MRKT_DIV_CODE"] == "F"
    return future_quote(desk, symbol, now) if asked else {}


def _index(desk: Desk, underlying: str, state: State) -> tuple[float, float]:
    """Return the index as of a minute and at the close before, index points."""
    index = desk.market.index(underlying, open_session(Market.DERIVATIVES, state[0]))
    return float(index["close"][state[1]]), previous_close(desk.market, underlying, state[0])


def _index_row(code: str, name: str, price: float, before: float) -> dict[str, str]:
    move, sign, share = change(price, before, 2)
    return {
        "bstp_cls_code": code,
        "hts_kor_isnm": name,
        "bstp_nmix_prpr": f"{price:.2f}",
        "prdy_vrss_sign": sign,
        "bstp_nmix_prdy_vrss": move,
        "bstp_nmix_prdy_ctrt": share,
    }


def _option_quote(desk: Desk, symbol: str, state: State) -> bytes:
    """Return output1, empty for an unknown code."""
    found = desk.options.find(symbol, state[0])
    if found is None:
        return b""
    series, maturity, place = found
    block, minute = divmod(state[1], BLOCK)
    count = desk.options.day(series, maturity, state[0]).listed.height
    return write_quotes(desk, series, maturity, state[0], block)[minute * count + place]


def _futures_row(desk: Desk, code: str, now: datetime) -> dict[str, str]:
    known = future_quote(desk, code, now)
    if not known:
        return {}
    price, tick = float(known["futs_prpr"]), instruments.tick_size(code, 0)
    return {
        "futs_shrn_iscd": code,
        **{
            name: known[name]
            for name in (
                "hts_kor_isnm",
                "futs_prpr",
                "futs_prdy_vrss",
                "prdy_vrss_sign",
                "futs_prdy_ctrt",
                "hts_thpr",
                "acml_vol",
            )
        },
        "futs_askp": f"{price + tick:.2f}",
        "futs_bidp": f"{price - tick:.2f}",
        **{
            name: known[name]
            for name in ("hts_otst_stpl_qty", "futs_hgpr", "futs_lwpr", "hts_rmnn_dynu")
        },
        "total_askp_rsqn": "100",
        "total_bidp_rsqn": "100",
        "futs_antc_cnpr": "0.00",
        "futs_antc_cntg_vrss": "0.00",
        "antc_cntg_vrss_sign": "0",
        "antc_cntg_prdy_ctrt": "0.00",
    }
