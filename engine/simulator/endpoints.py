"""The path of each TR, and the query fields that KIS requires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.simulator import bar_answers, board_answers, reference_answers
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.quotations import TABLES

FUTURES = "/uapi/domestic-futureoption/v1/quotations/"
STOCKS = "/uapi/domestic-stock/v1/quotations/"
OAUTH = "tokenP"
OAUTH_PATH = "/oauth2/tokenP"
APPROVAL = "Approval"
APPROVAL_PATH = "/oauth2/Approval"
MASTER = "master"
MASTER_PATH = "/common/master/fo_idx_code_mts.mst.zip"
STOCK_MASTER_PATHS = {  # path → market; calls and faults of these are those of MASTER, too
    "/common/master/kospi_code.mst.zip": "KOSPI",
    "/common/master/kosdaq_code.mst.zip": "KOSDAQ",
}

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


def _no_page_follows(_answer: bytes) -> str:
    return ""


@dataclass(frozen=True)
class Endpoint:
    """One TR: its id, the query fields that must be there, and the function that answers."""

    tr_id: str
    fields: tuple[str, ...]
    answer: Callable[[SimulatedExchange, Mapping[str, str], datetime], bytes]
    tr_cont: Callable[[bytes], str] = _no_page_follows  # header: M if a page follows, D at the end


def endpoints() -> dict[str, Endpoint]:
    """Return path → endpoint of everything that needs an app key and a token."""
    tables = {table.path: Endpoint(table.tr_id, table.fields, table.answer) for table in TABLES}
    return tables | {
        FUTURES + "inquire-time-fuopchartprice": Endpoint(
            "FHKIF03020200", (*_PAST_BARS, "FID_HOUR_CLS_CODE"), bar_answers.futures_bars
        ),
        STOCKS + "inquire-time-itemchartprice": Endpoint(
            "FHKST03010200", (*_BARS, "FID_ETC_CLS_CODE"), bar_answers.stock_bars_today
        ),
        STOCKS + "inquire-time-dailychartprice": Endpoint(
            "FHKST03010230", _PAST_BARS, bar_answers.stock_bars_past
        ),
        FUTURES + "display-board-callput": Endpoint(
            "FHPIF05030100", _BOARD, board_answers.option_board
        ),
        FUTURES + "display-board-top": Endpoint("FHPIF05030000", _CODE, board_answers.board_top),
        FUTURES + "display-board-futures": Endpoint(
            "FHPIF05030200",
            ("FID_COND_MRKT_DIV_CODE", "FID_COND_MRKT_CLS_CODE"),
            board_answers.futures_board,
        ),
        FUTURES + "display-board-option-list": Endpoint(
            "FHPIO056104C0", ("FID_COND_SCR_DIV_CODE",), reference_answers.series_list
        ),
        FUTURES + "inquire-price": Endpoint("FHMIF10000000", _CODE, board_answers.quote),
        STOCKS + "market-time": Endpoint("HHMCM000002C0", (), reference_answers.business_days),
        STOCKS + "chk-holiday": Endpoint(
            "CTCA0903R",
            ("BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"),
            reference_answers.holidays,
            reference_answers.page_mark,
        ),
    }
