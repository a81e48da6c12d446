"""The quotation calls of KIS that we use: one frozen type each, with its TR id and limits.

`params` are the query; `tr_id` may be replaced by the settings' `tr_id` under the name `setting`.
Facts about each call: KIS's portal (apiportal.koreainvestment.com) and its official samples.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Protocol

log = logging.getLogger(__name__)

_FUTUREOPTION = "/uapi/domestic-futureoption/v1/quotations"
_STOCK = "/uapi/domestic-stock/v1/quotations"
_BOARD_PACE = 1.0  # calls a second that KIS advises for the option board
_MISPRINTS = {"FHlkPIF05030100": "FHPIF05030100"}  # of the config.json that users start from


class Request(Protocol):
    """What the client needs to know about a call."""

    tr_id: ClassVar[str]
    path: ClassVar[str]
    setting: ClassVar[str]  # its name under `tr_id` in config.json, "" if it has none
    own_pace: ClassVar[float | None]  # calls a second besides the account's budget

    @property
    def symbol(self) -> str:
        """The subject of the call, for errors and the circuit breaker."""
        ...

    def params(self) -> dict[str, str]:
        """Return the query."""
        ...


class _Quotation:
    setting: ClassVar[str] = ""
    own_pace: ClassVar[float | None] = None


@dataclass(frozen=True)
class DerivativeMinutes(_Quotation):
    """Minute bars of a future or option, FHKIF03020200. 102 rows a call, newest first.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute; 24-30 at night), futs_oprc,
    futs_hgpr, futs_lwpr, futs_prpr, cntg_vol. `output1` has the day's limits futs_mxpr, futs_llam.
    `label` (HHMMSS) is the newest row wanted, itself included. Kept for about one year. `code` is
    what KIS calls the symbol, where that is another name.
    """

    tr_id: ClassVar[str] = "FHKIF03020200"
    path: ClassVar[str] = f"{_FUTUREOPTION}/inquire-time-fuopchartprice"
    setting: ClassVar[str] = "deriv_minute"
    rows_per_call: ClassVar[int] = 102

    symbol: str
    day: date
    label: str
    market: str = "F"  # F futures, O options, CM and EU the same at night
    past: bool = False
    code: str = ""

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {
            "FID_COND_MRKT_DIV_CODE": self.market,
            "FID_INPUT_ISCD": self.code or self.symbol,
            "FID_HOUR_CLS_CODE": "60",
            "FID_PW_DATA_INCU_YN": "Y" if self.past else "N",
            "FID_FAKE_TICK_INCU_YN": "N",
            "FID_INPUT_DATE_1": f"{self.day:%Y%m%d}",
            "FID_INPUT_HOUR_1": self.label,
        }


@dataclass(frozen=True)
class StockMinutesToday(_Quotation):
    """Minute bars of a stock, today only, FHKST03010200. 30 rows a call, newest first.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute), stck_oprc, stck_hgpr,
    stck_lwpr, stck_prpr, cntg_vol. `output1` has yesterday's close stck_prdy_clpr.
    An hour in the future is filled forward with the present price.
    """

    tr_id: ClassVar[str] = "FHKST03010200"
    path: ClassVar[str] = f"{_STOCK}/inquire-time-itemchartprice"
    setting: ClassVar[str] = "stock_minute"
    rows_per_call: ClassVar[int] = 30

    symbol: str
    label: str
    market: str = "J"  # J KRX, NX Nextrade, UN both
    code: str = ""  # what KIS calls the symbol, where that is another name

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {
            "FID_ETC_CLS_CODE": "",
            "FID_COND_MRKT_DIV_CODE": self.market,
            "FID_INPUT_ISCD": self.code or self.symbol,
            "FID_INPUT_HOUR_1": self.label,
            "FID_PW_DATA_INCU_YN": "N",
        }


@dataclass(frozen=True)
class StockMinutes(_Quotation):
    """Minute bars of a stock on any day, FHKST03010230. 120 rows a call, newest first, one year.

    The columns of `StockMinutesToday`. Near the open, rows of the day before are mixed in; with
    `past` the answer goes on into them.
    """

    tr_id: ClassVar[str] = "FHKST03010230"
    path: ClassVar[str] = f"{_STOCK}/inquire-time-dailychartprice"
    rows_per_call: ClassVar[int] = 120

    symbol: str
    day: date
    label: str
    market: str = "J"
    code: str = ""
    past: bool = False

    def params(self) -> dict[str, str]:
        """Return the query; the empty key must be there."""
        return {
            "FID_COND_MRKT_DIV_CODE": self.market,
            "FID_INPUT_ISCD": self.code or self.symbol,
            "FID_INPUT_HOUR_1": self.label,
            "FID_INPUT_DATE_1": f"{self.day:%Y%m%d}",
            "FID_PW_DATA_INCU_YN": "Y" if self.past else "N",
            "FID_FAKE_TICK_INCU_YN": "",
        }


@dataclass(frozen=True)
class OptionBoard(_Quotation):
    """Calls (`output1`) and puts (`output2`) of one maturity, FHPIF05030100.

    At most 100 rows a side, the highest strikes first, no paging; once a second is KIS's advice.
    `maturity` is YYYYMM, of weekly options YYMMWW; `market_class` "" KOSPI200, MKI mini,
    WKM Monday weekly, WKI Thursday weekly, KQI KOSDAQ150.
    """

    tr_id: ClassVar[str] = "FHPIF05030100"
    path: ClassVar[str] = f"{_FUTUREOPTION}/display-board-callput"
    setting: ClassVar[str] = "option_chain"
    own_pace: ClassVar[float | None] = _BOARD_PACE

    maturity: str
    market_class: str = ""

    @property
    def symbol(self) -> str:
        """The board's maturity and class."""
        return f"{self.maturity}{self.market_class}"

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {
            "FID_COND_MRKT_DIV_CODE": "O",
            "FID_COND_SCR_DIV_CODE": "20503",
            "FID_MRKT_CLS_CODE": "CO",
            "FID_MTRT_CNT": self.maturity,
            "FID_COND_MRKT_CLS_CODE": self.market_class,
            "FID_MRKT_CLS_CODE1": "PO",
        }


@dataclass(frozen=True)
class BoardTop(_Quotation):
    """The underlying index (`output1` unas_prpr) and one future (futs_prpr), FHPIF05030000."""

    tr_id: ClassVar[str] = "FHPIF05030000"
    path: ClassVar[str] = f"{_FUTUREOPTION}/display-board-top"

    symbol: str  # a futures code

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class DerivativeQuote(_Quotation):
    """One future's or option's quote, FHMIF10000000: `output1`, no bid and ask."""

    tr_id: ClassVar[str] = "FHMIF10000000"
    path: ClassVar[str] = f"{_FUTUREOPTION}/inquire-price"

    symbol: str
    market: str = "O"

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": self.market, "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class InvestorFlows(_Quotation):
    """Twelve kinds of investors in a market, sums of the day so far, FHPTJ04030000: `output`.

    For each kind {kind}_seln_vol, _shnu_vol, _ntby_qty (or _ntby_vol) and the same of _tr_pbmn.
    `market` KSP, KSQ, K2I, MKI, WKM, WKI, KQI; `sector` 0001, 1001, F001, OC01, OP01 …
    """

    tr_id: ClassVar[str] = "FHPTJ04030000"
    path: ClassVar[str] = f"{_STOCK}/inquire-investor-time-by-market"

    market: str
    sector: str

    @property
    def symbol(self) -> str:
        """The market and its sector."""
        return f"{self.market}.{self.sector}"

    def params(self) -> dict[str, str]:
        """Return the query; its names are written small in KIS's table."""
        return {"fid_input_iscd": self.market, "fid_input_iscd_2": self.sector}


@dataclass(frozen=True)
class ProgrammeTrades(_Quotation):
    """Programme trading of a market, the last 30 minutes, newest first, FHPPG04600101: `output`.

    bsop_hour, {arbt,nabt}_smtn_{seln,shnu,ntby}_tr_pbmn: sums of the day, million KRW. `market`
    KOSPI or KOSDAQ. No paging.
    """

    tr_id: ClassVar[str] = "FHPPG04600101"
    path: ClassVar[str] = f"{_STOCK}/comp-program-trade-today"

    market: str

    @property
    def symbol(self) -> str:
        """The market."""
        return self.market

    def params(self) -> dict[str, str]:
        """Return the query; keys without a value must be there."""
        return {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_MRKT_CLS_CODE": "K" if self.market == "KOSPI" else "Q",
            "FID_SCTN_CLS_CODE": "",
            "FID_INPUT_ISCD": "",
            "FID_COND_MRKT_DIV_CODE1": "",
            "FID_INPUT_HOUR_1": "",
        }


@dataclass(frozen=True)
class IndexMinutes(_Quotation):
    """Minute bars of a share index, FHKUP03500200: 102 rows, newest first, yesterday's as well.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute), bstp_nmix_oprc, _hgpr, _lwpr,
    _prpr, cntg_vol, acml_tr_pbmn. `symbol` 0001 KOSPI, 1001 KOSDAQ, 2001 KOSPI 200, 3003.
    """

    tr_id: ClassVar[str] = "FHKUP03500200"
    path: ClassVar[str] = f"{_STOCK}/inquire-time-indexchartprice"

    symbol: str

    def params(self) -> dict[str, str]:
        """Return the query; FID_INPUT_HOUR_1 is the step in seconds."""
        return {
            "FID_COND_MRKT_DIV_CODE": "U",
            "FID_ETC_CLS_CODE": "0",
            "FID_INPUT_ISCD": self.symbol,
            "FID_INPUT_HOUR_1": "60",
            "FID_PW_DATA_INCU_YN": "Y",
        }


@dataclass(frozen=True)
class ExpectedPrices(_Quotation):
    """The prices expected of a future's auctions of the day, newest first, FHPIF05110100.

    `output2`: stck_cntg_hour, futs_antc_cnpr (index points). It has no sizes.
    """

    tr_id: ClassVar[str] = "FHPIF05110100"
    path: ClassVar[str] = f"{_FUTUREOPTION}/exp-price-trend"

    symbol: str

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class StockExpectation(_Quotation):
    """What a stock's auction is expected to give at the moment, FHKST01010200: `output2`.

    antc_cnpr (KRW), antc_vol (shares); of `output1` aspr_acpt_hour, the time of the book.
    """

    tr_id: ClassVar[str] = "FHKST01010200"
    path: ClassVar[str] = f"{_STOCK}/inquire-asking-price-exp-ccn"

    symbol: str

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class SeveralStocks(_Quotation):
    """Up to 30 stocks as of now, FHKST11300006: `output`, a row each that KIS knows.

    inter_shrn_iscd, inter2_prpr (KRW), acml_vol, acml_tr_pbmn (KRW), inter2_askp, inter2_bidp …
    """

    tr_id: ClassVar[str] = "FHKST11300006"
    path: ClassVar[str] = f"{_STOCK}/intstock-multprice"
    stocks_per_call: ClassVar[int] = 30

    symbols: tuple[str, ...]

    @property
    def symbol(self) -> str:
        """The first and the last of them."""
        return f"{self.symbols[0]}…{self.symbols[-1]}"

    def params(self) -> dict[str, str]:
        """Return the query, whose fields are numbered."""
        return {
            name: value
            for number, symbol in enumerate(self.symbols, 1)
            for name, value in (
                (f"FID_COND_MRKT_DIV_CODE_{number}", "J"),
                (f"FID_INPUT_ISCD_{number}", symbol),
            )
        }


@dataclass(frozen=True)
class StockDays(_Quotation):
    """Daily prices of a stock, FHKST03010100. 100 rows a call, newest first.

    `output2`: stck_bsop_date, stck_clpr (close), stck_oprc, stck_hgpr, stck_lwpr, acml_vol; as they
    were at the time (`original`), or adjusted for corporate actions since.
    """

    tr_id: ClassVar[str] = "FHKST03010100"
    path: ClassVar[str] = f"{_STOCK}/inquire-daily-itemchartprice"

    symbol: str
    first: date
    last: date
    original: bool = False

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": self.symbol,
            "FID_INPUT_DATE_1": f"{self.first:%Y%m%d}",
            "FID_INPUT_DATE_2": f"{self.last:%Y%m%d}",
            "FID_PERIOD_DIV_CODE": "D",
            "FID_ORG_ADJ_PRC": "1" if self.original else "0",
        }


@dataclass(frozen=True)
class VolatilityInterruptions(_Quotation):
    """The interruptions (VI) of a stock on a day, FHPST01390000.

    `output`: mksc_shrn_iscd, bsop_date, cntg_vi_hour and vi_cncl_hour (begin and end), vi_kind_code
    (1 static, 2 dynamic, 3 both).
    """

    tr_id: ClassVar[str] = "FHPST01390000"
    path: ClassVar[str] = f"{_STOCK}/inquire-vi-status"

    symbol: str
    day: date

    def params(self) -> dict[str, str]:
        """Return the query; empty keys must be there."""
        return {
            "FID_DIV_CLS_CODE": "0",
            "FID_COND_SCR_DIV_CODE": "20139",
            "FID_MRKT_CLS_CODE": "0",
            "FID_INPUT_ISCD": self.symbol,
            "FID_RANK_SORT_CLS_CODE": "0",
            "FID_INPUT_DATE_1": f"{self.day:%Y%m%d}",
            "FID_TRGT_CLS_CODE": "",
            "FID_TRGT_EXLS_CLS_CODE": "",
        }


@dataclass(frozen=True)
class Holidays(_Quotation):
    """Opening days from a date on, CTCA0903R: `output` bass_dt, opnd_yn. 24 rows a page.

    The ctx keys of one page are the next page's query, padding included. KIS asks for at most one
    call a day.
    """

    tr_id: ClassVar[str] = "CTCA0903R"
    path: ClassVar[str] = f"{_STOCK}/chk-holiday"

    start: date
    next_key: str = ""
    first_key: str = ""

    symbol: ClassVar[str] = "holidays"

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {
            "BASS_DT": f"{self.start:%Y%m%d}",
            "CTX_AREA_NK": self.next_key,
            "CTX_AREA_FK": self.first_key,
        }


def sent_tr_id(request: Request, configured: Mapping[str, str]) -> str:
    """Return the TR id to send: the one of the settings if they have one."""
    return configured.get(request.setting) or request.tr_id


def correct_tr_ids(configured: Mapping[str, str]) -> dict[str, str]:
    """Return the settings' TR ids with a known misprint corrected; each correction is logged."""
    for name, tr_id in configured.items():
        if tr_id in _MISPRINTS:
            log.warning(
                "⚠️ tr_id.%s is %s in the settings, a misprint of %s, which is used",
                name,
                tr_id,
                _MISPRINTS[tr_id],
            )
    return {name: _MISPRINTS.get(tr_id, tr_id) for name, tr_id in configured.items()}
