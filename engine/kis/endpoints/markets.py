"""Calls about markets: investors, programme trading, auctions of futures, closed days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from engine.kis.endpoints.request import FUTUREOPTION, STOCK, Call


@dataclass(frozen=True)
class InvestorFlows(Call):
    """Twelve kinds of investors in a market, sums of the day so far, FHPTJ04030000: `output`.

    For each kind {kind}_seln_vol, _shnu_vol, _ntby_qty (or _ntby_vol) and the same of _tr_pbmn.
    `market` KSP, KSQ, K2I, MKI, WKM, WKI, KQI; `sector` 0001, 1001, F001, OC01, OP01 …
    """

    tr_id: ClassVar[str] = "FHPTJ04030000"
    path: ClassVar[str] = f"{STOCK}/inquire-investor-time-by-market"

    market: str
    sector: str

    @property
    def symbol(self) -> str:
        """The market and its sector."""
        return f"{self.market}.{self.sector}"

    def params(self) -> dict[str, str]:
        """Return the query; KIS's table has its names in lower case."""
        return {"fid_input_iscd": self.market, "fid_input_iscd_2": self.sector}


@dataclass(frozen=True)
class ProgrammeTrades(Call):
    """Programme trading of a market, the last 30 minutes, newest first, FHPPG04600101: `output`.

    bsop_hour, {arbt,nabt}_smtn_{seln,shnu,ntby}_tr_pbmn: sums of the day, million KRW. `market`
    KOSPI or KOSDAQ. No paging.
    """

    tr_id: ClassVar[str] = "FHPPG04600101"
    path: ClassVar[str] = f"{STOCK}/comp-program-trade-today"

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
class ExpectedPrices(Call):
    """The prices expected of a future's auctions of the day, newest first, FHPIF05110100.

    `output2`: stck_cntg_hour, futs_antc_cnpr (index points). It has no sizes.
    """

    tr_id: ClassVar[str] = "FHPIF05110100"
    path: ClassVar[str] = f"{FUTUREOPTION}/exp-price-trend"

    symbol: str

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class Holidays(Call):
    """Opening days from a date on, CTCA0903R: `output` bass_dt, opnd_yn. 24 rows a page.

    The ctx keys of one page are the next page's query, padding included. KIS asks for at most one
    call a day.
    """

    tr_id: ClassVar[str] = "CTCA0903R"
    path: ClassVar[str] = f"{STOCK}/chk-holiday"

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
