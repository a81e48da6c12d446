"""Frames of H0STMKO0: that trading of a stock, or of the whole market, stops and goes on.

They are sent for each registered stock, also about what stops the whole market. A record has no
time of the exchange (docs/kis.md#halts).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.market.sessions import Session
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import Stop
from engine.simulator.stream.frames import Frame, frame_text
from engine.simulator.stream.services import MARKET_STATES

_FIELDS = """
    MKSC_SHRN_ISCD TRHT_YN TR_SUSP_REAS_CNTT MKOP_CLS_CODE ANTC_MKOP_CLS_CODE MRKT_TRTM_CLS_CODE
    DIVI_APP_CLS_CODE ISCD_STAT_CLS_CODE VI_CLS_CODE OVTM_VI_CLS_CODE EXCH_CLS_CODE
"""
FIELDS = tuple(_FIELDS.split())
OPENS, CLOSING_AUCTION, CLOSES = "112", "121", "129"
BREAKERS = ("174", "175")
SIDECARS = {True: ("387", "388"), False: ("397", "398")}  # by whether prices had fallen


def state_frames(exchange: SimulatedExchange, symbol: str, session: Session) -> list[Frame]:
    """Return the frames of a stock's session, in the order in which they leave.

    Each record tells all that holds at its moment; that of a VI comes in the minute of the jump.
    """
    stops = exchange.stops(symbol, session)
    moments = [
        (session.opens, OPENS),
        (session.continuous_end, CLOSING_AUCTION),
        (session.last_stamp, CLOSES),
        *((stop.begin, _code(stop, begins=True)) for stop in stops),
        *((stop.end, _code(stop, begins=False)) for stop in stops),
    ]
    return [
        Frame(moment, frame_text(MARKET_STATES, 1, _record(symbol, code, _kinds_at(stops, moment))))
        for moment, code in sorted(moments)
    ]


def _code(stop: Stop, *, begins: bool) -> str:
    """Return MKOP_CLS_CODE for the begin or end of a stop; empty if it is of a single stock."""
    codes = {"circuit_breaker": BREAKERS, "sidecar": SIDECARS[stop.down]}.get(stop.kind, ("", ""))
    return codes[0 if begins else 1]


def _kinds_at(stops: Sequence[Stop], moment: datetime) -> set[str]:
    return {stop.kind for stop in stops if stop.begin <= moment < stop.end}


def _record(symbol: str, code: str, kinds: set[str]) -> str:
    is_halted = "halt" in kinds
    values = {
        "MKSC_SHRN_ISCD": symbol,
        "TRHT_YN": "Y" if is_halted else "N",
        "TR_SUSP_REAS_CNTT": "매매거래정지" if is_halted else "",
        "MKOP_CLS_CODE": code,
        "ISCD_STAT_CLS_CODE": "58" if is_halted else "55",
        "VI_CLS_CODE": "Y" if "vi" in kinds else "N",
        "OVTM_VI_CLS_CODE": "N",
        "EXCH_CLS_CODE": "1",
    }
    return "^".join(values.get(field, "") for field in FIELDS)
