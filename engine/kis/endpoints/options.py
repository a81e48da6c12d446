"""Calls for option chains: the board, the underlying (the board's top), one option or future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.kis.endpoints.request import FUTUREOPTION, Call

_BOARD_PACE = 1.0  # calls a second that KIS advises for the option board


@dataclass(frozen=True)
class OptionBoard(Call):
    """Calls (`output1`) and puts (`output2`) of one maturity, FHPIF05030100.

    At most 100 rows a side, the highest strikes first, no paging; once a second is KIS's advice.
    `maturity` is YYYYMM, of weekly options YYMMWW; `market_class` "" KOSPI200, MKI mini,
    WKM Monday weekly, WKI Thursday weekly, KQI KOSDAQ150.
    """

    tr_id: ClassVar[str] = "FHPIF05030100"
    path: ClassVar[str] = f"{FUTUREOPTION}/display-board-callput"
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
class BoardTop(Call):
    """The underlying index (`output1` unas_prpr) and one future (futs_prpr), FHPIF05030000."""

    tr_id: ClassVar[str] = "FHPIF05030000"
    path: ClassVar[str] = f"{FUTUREOPTION}/display-board-top"

    symbol: str  # a futures code

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": self.symbol}


@dataclass(frozen=True)
class DerivativeQuote(Call):
    """One future's or option's quote, FHMIF10000000: `output1`, without bid and ask.

    `market`: F and O by day, CM and EU at night.
    """

    tr_id: ClassVar[str] = "FHMIF10000000"
    path: ClassVar[str] = f"{FUTUREOPTION}/inquire-price"

    symbol: str
    market: str = "O"

    def params(self) -> dict[str, str]:
        """Return the query."""
        return {"FID_COND_MRKT_DIV_CODE": self.market, "FID_INPUT_ISCD": self.symbol}
