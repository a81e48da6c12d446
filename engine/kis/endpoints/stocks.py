"""Calls about stocks beside their bars: quotations, daily prices, auctions, interruptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from engine.kis.endpoints.request import STOCK, Call


@dataclass(frozen=True)
class SeveralStocks(Call):
    """Up to 30 stocks as of now, FHKST11300006: `output`, a row each that KIS knows.

    inter_shrn_iscd, inter2_prpr (KRW), acml_vol, acml_tr_pbmn (KRW), inter2_askp, inter2_bidp …
    """

    tr_id: ClassVar[str] = "FHKST11300006"
    path: ClassVar[str] = f"{STOCK}/intstock-multprice"
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
class StockDays(Call):
    """Daily prices of a stock, FHKST03010100. 100 rows a call, newest first.

    `output2`: stck_bsop_date, stck_clpr (close), stck_oprc, stck_hgpr, stck_lwpr, acml_vol; as they
    were at the time (`original`), or adjusted for corporate actions since.
    """

    tr_id: ClassVar[str] = "FHKST03010100"
    path: ClassVar[str] = f"{STOCK}/inquire-daily-itemchartprice"

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
class StockExpectation(Call):
    """What a stock's auction is expected to give at the moment, FHKST01010200: `output2`.

    antc_cnpr (KRW), antc_vol (shares); of `output1` aspr_acpt_hour, the time of the book.
    """

    tr_id: ClassVar[str] = "FHKST01010200"
    path: ClassVar[str] = f"{STOCK}/inquire-asking-price-exp-ccn"

    symbol: str

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class VolatilityInterruptions(Call):
    """The interruptions (VI) of a stock on a day, FHPST01390000.

    `output`: mksc_shrn_iscd, bsop_date, cntg_vi_hour and vi_cncl_hour (begin and end), vi_kind_code
    (1 static, 2 dynamic, 3 both).
    """

    tr_id: ClassVar[str] = "FHPST01390000"
    path: ClassVar[str] = f"{STOCK}/inquire-vi-status"

    symbol: str
    day: date

    def params(self) -> dict[str, str]:
        """Return the query; keys without a value must be there."""
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
