"""Boards and quotes as KIS answers them.

FHPIF05030000 (index and future), FHPIF05030100 (options), FHPIF05030200 (futures) and
FHMIF10000000 (one future or option).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import orjson

from engine.errors import InputError
from engine.market.hours import MINUTE
from engine.market.products import KOSDAQ150, KOSPI200, MINI_KOSPI200
from engine.market.sessions import Market, session
from engine.market.symbols import Contract, parse
from engine.simulator.board_text import write_boards, write_quotes
from engine.simulator.exchange import SimulatedExchange, is_forgotten
from engine.simulator.kept import kept_by_owner
from engine.simulator.kis_format import KOSPI_PER_KOSPI200, OK, change
from engine.simulator.market.data import instrument, open_session
from engine.simulator.market.listing import (
    future_name,
    futures,
    maturities,
    previous_close,
    series_of,
)
from engine.simulator.market.options import BLOCK
from engine.simulator.query import Query, fits
from engine.simulator.refusals import wrong_field
from engine.simulator.summaries import future_quote, night_quote

FUTURES_OF_CLASS = {"": KOSPI200, "MKI": MINI_KOSPI200, "KQI": KOSDAQ150}
EMPTY_BOARD = orjson.dumps({"output1": [], "output2": [], **OK})
EMPTY_QUOTE = orjson.dumps({"output1": {}, "output2": {}, "output3": {}, **OK})
NIGHT_MARKETS = ("CM", "EU")

Minute = tuple[date, int]  # a session, and which of its minutes is over, counted from 0


def last_minute(now: datetime, market: Market = Market.DERIVATIVES) -> Minute | None:
    """Return the last minute that is over, of today's session or the one before.

    None without a session in fifteen days.
    """
    for days in range(15):
        hours = session(market, now.date() - timedelta(days=days))
        if hours is not None and now >= hours.first_stamp:
            return hours.date, int((min(now, hours.last_stamp) - hours.opens) / MINUTE) - 1
    return None


def option_board(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHPIF05030100: at most 100 calls and 100 puts of a maturity, highest strikes first."""
    _refuse_at_night(query)
    series = series_of(query["FID_COND_MRKT_CLS_CODE"])
    maturity = query["FID_MTRT_CNT"]
    last = last_minute(now)
    if series is None or last is None or query["FID_COND_MRKT_DIV_CODE"] != "O":
        return EMPTY_BOARD
    day, minute = last
    if maturity not in maturities(series, day):
        return EMPTY_BOARD
    return write_boards(exchange, series, maturity, day, minute // BLOCK)[minute % BLOCK]


def board_top(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHPIF05030000: the index under a future, and the future."""
    _refuse_at_night(query)
    contract = _asked_contract(query, now)
    last = last_minute(now)
    future = future_quote(exchange, contract, now) if contract else {}
    if not contract or not future or last is None:
        return orjson.dumps({"output1": {}, "output2": [], **OK})
    price, before = _index(exchange, contract.product.underlying, last)
    move, sign, share = change(price, before, 2)
    output1 = {
        "unas_prpr": f"{price:.2f}",
        "unas_prdy_vrss": move,
        "unas_prdy_vrss_sign": sign,
        "unas_prdy_ctrt": share,
        "unas_acml_vol": str(400_000 * (last[1] + 1)),
        "hts_kor_isnm": future_name(contract),
        **{
            name: future[name]
            for name in ("futs_prpr", "futs_prdy_vrss", "prdy_vrss_sign", "futs_prdy_ctrt")
        },
    }
    return orjson.dumps({"output1": output1, "output2": [], **OK})


def futures_board(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHPIF05030200: all listed futures of a product."""
    _refuse_at_night(query)
    product = FUTURES_OF_CLASS.get(query["FID_COND_MRKT_CLS_CODE"])
    contracts = futures(product, now.date()) if product else []
    rows = [row for contract in contracts if (row := _futures_row(exchange, contract, now))]
    return orjson.dumps({"output": rows, **OK})


def quote(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHMIF10000000: one future (F) or option (O), at night CM and EU, without bid and ask."""
    last = last_minute(now)
    if last is None:
        return EMPTY_QUOTE
    if query["FID_COND_MRKT_DIV_CODE"] in NIGHT_MARKETS:
        output1 = _night_quote(exchange, query, now)
    elif query["FID_COND_MRKT_DIV_CODE"] == "O":
        output1 = _option_quote(exchange, query["FID_INPUT_ISCD"], last)
    else:
        contract = _asked_contract(query, now)
        future = future_quote(exchange, contract, now) if contract else {}
        output1 = orjson.dumps(future) if future else b""
    if not output1:
        return EMPTY_QUOTE
    return b'{"output1":%b,%b' % (output1, _indices(exchange, last))


@kept_by_owner(64)
def _indices(exchange: SimulatedExchange, last: Minute) -> bytes:
    """Return what follows output1 in every quote of a minute: the indices KOSPI and KOSPI200."""
    price, before = _index(exchange, "KOSPI200", last)
    kospi = _index_row("0001", "종합", price * KOSPI_PER_KOSPI200, before * KOSPI_PER_KOSPI200)
    kospi200 = _index_row("2001", "KOSPI200", price, before)
    return orjson.dumps({"output2": kospi, "output3": kospi200, **OK})[1:]


def _asked_contract(query: Query, now: datetime) -> Contract | None:
    """Return the futures contract asked for, None if KIS has no such quote."""
    try:
        found = parse(query["FID_INPUT_ISCD"])
    except InputError:
        return None
    if not isinstance(found, Contract) or query["FID_COND_MRKT_DIV_CODE"] != "F":
        return None
    return None if is_forgotten(found.code, now) else found


def _index(exchange: SimulatedExchange, underlying: str, last: Minute) -> tuple[float, float]:
    """Return the index as of a minute and at the close before, index points."""
    day, minute = last
    index = exchange.market.index(underlying, open_session(Market.DERIVATIVES, day))
    return float(index["close"][minute]), previous_close(exchange.market, underlying, day)


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


def _refuse_at_night(query: Query) -> None:
    """Refuse a board at night, which KIS does not have. Raises Refusal."""
    if query["FID_COND_MRKT_DIV_CODE"] in NIGHT_MARKETS:
        raise wrong_field("FID_COND_MRKT_DIV_CODE")


def _night_quote(exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """Return output1 of a future (CM) or option (EU) as of the running or the last night."""
    symbol, market_code = query["FID_INPUT_ISCD"], query["FID_COND_MRKT_DIV_CODE"]
    last = last_minute(now, Market.NIGHT)
    if last is None or not fits(symbol, market_code) or is_forgotten(symbol, now):
        return b""
    if market_code == "EU":
        return _option_quote(exchange, symbol, last, Market.NIGHT)
    contract = instrument(symbol)
    future = night_quote(exchange, contract, last[0], now) if isinstance(contract, Contract) else {}
    return orjson.dumps(future) if future else b""


def _option_quote(
    exchange: SimulatedExchange, symbol: str, last: Minute, hours: Market = Market.DERIVATIVES
) -> bytes:
    """Return output1 of an option's quote; empty for an unknown code."""
    day, minute = last
    found = exchange.options.find(symbol, day)
    if found is None:
        return b""
    block, minute_of_block = divmod(minute, BLOCK)
    count = exchange.options.day(found.series, found.maturity, day).listed.height
    quotes = write_quotes(exchange, found.series, found.maturity, day, block, hours)
    return quotes[minute_of_block * count + found.row]


def _futures_row(exchange: SimulatedExchange, contract: Contract, now: datetime) -> dict[str, str]:
    quoted = future_quote(exchange, contract, now)
    if not quoted:
        return {}
    price, tick = float(quoted["futs_prpr"]), contract.tick_size(0)
    return {
        "futs_shrn_iscd": contract.code,
        **{
            name: quoted[name]
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
            name: quoted[name]
            for name in ("hts_otst_stpl_qty", "futs_hgpr", "futs_lwpr", "hts_rmnn_dynu")
        },
        "total_askp_rsqn": "100",
        "total_bidp_rsqn": "100",
        "futs_antc_cnpr": "0.00",
        "futs_antc_cntg_vrss": "0.00",
        "antc_cntg_vrss_sign": "0",
        "antc_cntg_prdy_ctrt": "0.00",
    }
