"""Calls for minute bars: of futures and options, of stocks, of indices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from engine.kis.endpoints.request import FUTUREOPTION, STOCK, Call


@dataclass(frozen=True)
class DerivativeMinutes(Call):
    """Minute bars of a future or option, FHKIF03020200. 102 rows a call, newest first.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute; hours 18-30 at night),
    futs_oprc, futs_hgpr, futs_lwpr, futs_prpr, cntg_vol, acml_tr_pbmn. `output1` has the state of
    the future and its limits futs_mxpr, futs_llam. `label` (HHMMSS) is that of the newest row
    wanted. KIS keeps about one year. `code` is KIS's name of the symbol where it is another one.
    """

    tr_id: ClassVar[str] = "FHKIF03020200"
    path: ClassVar[str] = f"{FUTUREOPTION}/inquire-time-fuopchartprice"
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
class StockMinutesToday(Call):
    """Minute bars of a stock, today only, FHKST03010200. 30 rows a call, newest first.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute), stck_oprc, stck_hgpr,
    stck_lwpr, stck_prpr (KRW), cntg_vol, acml_tr_pbmn. `output1` has the previous close
    stck_prdy_clpr. Minutes still to come are filled with the present price.
    """

    tr_id: ClassVar[str] = "FHKST03010200"
    path: ClassVar[str] = f"{STOCK}/inquire-time-itemchartprice"
    setting: ClassVar[str] = "stock_minute"
    rows_per_call: ClassVar[int] = 30

    symbol: str
    label: str
    market: str = "J"  # J KRX, NX Nextrade, UN both
    code: str = ""  # KIS's name of the symbol where it is another one

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
class StockMinutes(Call):
    """Minute bars of a stock on any day, FHKST03010230. 120 rows a call, newest first, one year.

    It has the columns of `StockMinutesToday`. Near the open, rows of the day before are mixed in;
    with `past` an answer goes on into them.
    """

    tr_id: ClassVar[str] = "FHKST03010230"
    path: ClassVar[str] = f"{STOCK}/inquire-time-dailychartprice"
    rows_per_call: ClassVar[int] = 120

    symbol: str
    day: date
    label: str
    market: str = "J"
    code: str = ""
    past: bool = False

    def params(self) -> dict[str, str]:
        """Return the query; the key without a value must be there."""
        return {
            "FID_COND_MRKT_DIV_CODE": self.market,
            "FID_INPUT_ISCD": self.code or self.symbol,
            "FID_INPUT_HOUR_1": self.label,
            "FID_INPUT_DATE_1": f"{self.day:%Y%m%d}",
            "FID_PW_DATA_INCU_YN": "Y" if self.past else "N",
            "FID_FAKE_TICK_INCU_YN": "",
        }


@dataclass(frozen=True)
class IndexMinutes(Call):
    """Minute bars of a share index, FHKUP03500200: 102 rows, newest first, yesterday's as well.

    `output2`: stck_bsop_date, stck_cntg_hour (start of the minute), bstp_nmix_oprc, _hgpr, _lwpr,
    _prpr, cntg_vol, acml_tr_pbmn. `symbol`: 0001 KOSPI, 1001 KOSDAQ, 2001 KOSPI200, 3003 KOSDAQ150.
    """

    tr_id: ClassVar[str] = "FHKUP03500200"
    path: ClassVar[str] = f"{STOCK}/inquire-time-indexchartprice"

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
