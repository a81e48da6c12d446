"""Which path answers which TR, and the query fields that KIS insists on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.simulator import bar_answers, board_answers, reference_answers
from engine.simulator.exchange import Desk

FUTURES = "/uapi/domestic-futureoption/v1/quotations/"
STOCKS = "/uapi/domestic-stock/v1/quotations/"
TOKEN_PATH, TOKEN = "/oauth2/tokenP", "tokenP"
MASTER_PATH, MASTER = "/common/master/fo_idx_code_mts.mst.zip", "master"

_CODE = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD")
_BARS = (*_CODE, "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN")
_PAST_BARS = (*_BARS, "FID_INPUT_DATE_1", "FID_FAKE_TICK_INCU_YN")
_BOARD = (
    "FID_COND_MRKT_DIV_CODE",
    "FID_COND_SCR_DIV_CODE",
    "FID_MRKT_CLS_CODE",
    "FID_MTRT_CNT",
    "FID_COND_MRKT_CLS_CODE",
    "FID_MRKT_CLS_CODE1",
)


@dataclass(frozen=True)
class Endpoint:
    """One TR: its id, the query fields that must be there, and who answers."""

    tr_id: str
    fields: tuple[str, ...]
    answer: Callable[[Desk, Mapping[str, str], datetime], bytes]


def endpoints() -> dict[str, Endpoint]:
    """Return path → endpoint of everything that is served under an app key."""
    boards, bars, reference = board_answers, bar_answers, reference_answers
    return {
        FUTURES + "inquire-time-fuopchartprice": Endpoint(
            "FHKIF03020200", (*_PAST_BARS, "FID_HOUR_CLS_CODE"), bars.futures_bars
        ),
        STOCKS + "inquire-time-itemchartprice": Endpoint(
            "FHKST03010200", (*_BARS, "FID_ETC_CLS_CODE"), bars.stock_bars_today
        ),
        STOCKS + "inquire-time-dailychartprice": Endpoint(
            "FHKST03010230", _PAST_BARS, bars.stock_bars_past
        ),
        FUTURES + "display-board-callput": Endpoint("FHPIF05030100", _BOARD, boards.option_board),
        FUTURES + "display-board-top": Endpoint("FHPIF05030000", _CODE, boards.board_top),
        FUTURES + "display-board-futures": Endpoint(
            "FHPIF05030200",
            ("FID_COND_MRKT_DIV_CODE", "FID_COND_MRKT_CLS_CODE"),
            boards.futures_board,
        ),
        FUTURES + "display-board-option-list": Endpoint(
            "FHPIO056104C0", ("FID_COND_SCR_DIV_CODE",), reference.series_list
        ),
        FUTURES + "inquire-price": Endpoint("FHMIF10000000", _CODE, boards.quote),
        STOCKS + "chk-holiday": Endpoint(
            "CTCA0903R", ("BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"), reference.holidays
        ),
    }
