"""The fields of a record, in KIS's order, and which of them we keep under which column.

A record of the WebSocket has no names, only this order (docs/kis.md#which-tr-says-what). KIS
appends fields without notice, so a record may have more than these; what follows is ignored.

Trades at Nextrade (H0NXCNT0) and of both exchanges together (H0UNCNT0) are not read: each counts a
cumulative volume of its own, and by that number the trades of a stock are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.market.symbols import Contract, Option, Stock

Kind = type[Stock] | type[Contract] | type[Option]


@dataclass(frozen=True)
class Layout:
    """What the records of one TR hold. `columns` says which field each of our columns is read from.

    `night`: after midnight, its records belong to the session that began on the evening before.
    `turnover_unit`: KRW in one unit of the cumulative turnover (docs/kis.md#messages).
    """

    tr_id: str
    what: Literal["trade", "book"]
    kind: Kind
    fields: tuple[str, ...]
    columns: Mapping[str, str]
    night: bool = False
    turnover_unit: int = 1
    levels: int = 0  # levels of a book that are all read (`book_columns`); 0: only the best is

    @property
    def width(self) -> int:
        """How many fields a record has at least."""
        return len(self.fields)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FUTURE = _names(
    """
    FUTS_SHRN_ISCD BSOP_HOUR FUTS_PRDY_VRSS PRDY_VRSS_SIGN FUTS_PRDY_CTRT FUTS_PRPR FUTS_OPRC
    FUTS_HGPR FUTS_LWPR LAST_CNQN ACML_VOL ACML_TR_PBMN HTS_THPR MRKT_BASIS DPRT
    NMSC_FCTN_STPL_PRC FMSC_FCTN_STPL_PRC SPEAD_PRC HTS_OTST_STPL_QTY OTST_STPL_QTY_ICDC
    OPRC_HOUR OPRC_VRSS_PRPR_SIGN OPRC_VRSS_NMIX_PRPR HGPR_HOUR HGPR_VRSS_PRPR_SIGN
    HGPR_VRSS_NMIX_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_NMIX_PRPR SHNU_RATE CTTR ESDG
    OTST_STPL_RGBF_QTY_ICDC THPR_BASIS FUTS_ASKP1 FUTS_BIDP1 ASKP_RSQN1 BIDP_RSQN1
    SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU SELN_CNTG_SMTN SHNU_CNTG_SMTN TOTAL_ASKP_RSQN
    TOTAL_BIDP_RSQN PRDY_VOL_VRSS_ACML_VOL_RATE DSCS_BLTR_ACML_QTY DYNM_MXPR DYNM_LLAM
    DYNM_PRC_LIMT_YN
    """
)
_NIGHT_FUTURE = tuple(field for field in _FUTURE if field != "DSCS_BLTR_ACML_QTY")
_ANY_OPTION = _names(
    """
    OPTN_SHRN_ISCD BSOP_HOUR OPTN_PRPR PRDY_VRSS_SIGN OPTN_PRDY_VRSS PRDY_CTRT OPTN_OPRC
    OPTN_HGPR OPTN_LWPR LAST_CNQN ACML_VOL ACML_TR_PBMN HTS_THPR HTS_OTST_STPL_QTY
    OTST_STPL_QTY_ICDC OPRC_HOUR OPRC_VRSS_PRPR_SIGN OPRC_VRSS_NMIX_PRPR HGPR_HOUR
    HGPR_VRSS_PRPR_SIGN HGPR_VRSS_NMIX_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_NMIX_PRPR
    SHNU_RATE PRMM_VAL INVL_VAL TMVL_VAL DELTA GAMA VEGA THETA RHO HTS_INTS_VLTL ESDG
    OTST_STPL_RGBF_QTY_ICDC THPR_BASIS UNAS_HIST_VLTL CTTR DPRT MRKT_BASIS OPTN_ASKP1 OPTN_BIDP1
    ASKP_RSQN1 BIDP_RSQN1 SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU SELN_CNTG_SMTN
    SHNU_CNTG_SMTN TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN PRDY_VOL_VRSS_ACML_VOL_RATE
    """
)
_OPTION = (*_ANY_OPTION, "AVRG_VLTL", "DSCS_LRQN_VOL", "DYNM_MXPR", "DYNM_LLAM", "DYNM_PRC_LIMT_YN")
_NIGHT_OPTION = (*_ANY_OPTION, "DYNM_MXPR", "DYNM_PRC_LIMT_YN", "DYNM_LLAM")  # not the day's order
_STOCK = _names(
    """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR STCK_PRPR PRDY_VRSS_SIGN PRDY_VRSS PRDY_CTRT
    WGHN_AVRG_STCK_PRC STCK_OPRC STCK_HGPR STCK_LWPR ASKP1 BIDP1 CNTG_VOL ACML_VOL ACML_TR_PBMN
    SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU CTTR SELN_CNTG_SMTN SHNU_CNTG_SMTN CCLD_DVSN
    SHNU_RATE PRDY_VOL_VRSS_ACML_VOL_RATE OPRC_HOUR OPRC_VRSS_PRPR_SIGN OPRC_VRSS_PRPR HGPR_HOUR
    HGPR_VRSS_PRPR_SIGN HGPR_VRSS_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_PRPR BSOP_DATE
    NEW_MKOP_CLS_CODE TRHT_YN ASKP_RSQN1 BIDP_RSQN1 TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN VOL_TNRT
    PRDY_SMNS_HOUR_ACML_VOL PRDY_SMNS_HOUR_ACML_VOL_RATE HOUR_CLS_CODE MRKT_TRTM_CLS_CODE
    VI_STND_PRC
    """
)


def _book(prefix: str) -> tuple[str, ...]:
    """Return the fields of a derivative's book of five levels."""
    sides = ("ASKP", "BIDP")
    prices = [f"{prefix}_{side}{level}" for side in sides for level in range(1, 6)]
    orders = [f"{side}_CSNU{level}" for side in sides for level in range(1, 6)]
    sizes = [f"{side}_RSQN{level}" for side in sides for level in range(1, 6)]
    totals = [f"TOTAL_{side}_{what}" for what in ("CSNU", "RSQN") for side in sides]
    changes = [f"TOTAL_{side}_RSQN_ICDC" for side in sides]
    return (f"{prefix}_SHRN_ISCD", "BSOP_HOUR", *prices, *orders, *sizes, *totals, *changes)


def _stock_book() -> tuple[str, ...]:
    """Return the fields of a stock's book of ten levels at KRX."""
    sides = ("ASKP", "BIDP")
    prices = [f"{side}{level}" for side in sides for level in range(1, 11)]
    sizes = [f"{side}_RSQN{level}" for side in sides for level in range(1, 11)]
    return ("MKSC_SHRN_ISCD", "BSOP_HOUR", "HOUR_CLS_CODE", *prices, *sizes, *_STOCK_BOOK_TAIL)


_STOCK_BOOK_TAIL = _names(
    """
    TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN OVTM_TOTAL_ASKP_RSQN OVTM_TOTAL_BIDP_RSQN ANTC_CNPR
    ANTC_CNQN ANTC_VOL ANTC_CNTG_VRSS ANTC_CNTG_VRSS_SIGN ANTC_CNTG_PRDY_CTRT ACML_VOL
    TOTAL_ASKP_RSQN_ICDC TOTAL_BIDP_RSQN_ICDC OVTM_TOTAL_ASKP_ICDC OVTM_TOTAL_BIDP_ICDC
    STCK_DEAL_CLS_CODE
    """
)

_SUMS = {
    "day_volume": "ACML_VOL",
    "day_turnover": "ACML_TR_PBMN",
    "day_bought": "SHNU_CNTG_SMTN",
    "day_sold": "SELN_CNTG_SMTN",
}
_BEST_SIZES = {"bid_size": "BIDP_RSQN1", "ask_size": "ASKP_RSQN1"}


def _derivative_trade(prefix: str) -> dict[str, str]:
    return {
        "symbol": f"{prefix}_SHRN_ISCD",
        "time": "BSOP_HOUR",
        "price": f"{prefix}_PRPR",
        "size": "LAST_CNQN",
        **_SUMS,
        "bid": f"{prefix}_BIDP1",
        "ask": f"{prefix}_ASKP1",
        **_BEST_SIZES,
        "open_interest": "HTS_OTST_STPL_QTY",
        "limit_state": "DYNM_PRC_LIMT_YN",
    }


_STOCK_TRADE = {
    "symbol": "MKSC_SHRN_ISCD",
    "time": "STCK_CNTG_HOUR",
    "date": "BSOP_DATE",
    "price": "STCK_PRPR",
    "size": "CNTG_VOL",
    "aggressor": "CCLD_DVSN",
    "phase": "HOUR_CLS_CODE",
    **_SUMS,
    "bid": "BIDP1",
    "ask": "ASKP1",
    **_BEST_SIZES,
    "limit_state": "TRHT_YN",
}


# As the columns of the option chain are named (engine.schemas.OPTION_CHAIN).
_GREEKS = {
    "iv": "HTS_INTS_VLTL",
    "historical_volatility": "UNAS_HIST_VLTL",
    "delta": "DELTA",
    "gamma": "GAMA",
    "vega": "VEGA",
    "theta": "THETA",
    "rho": "RHO",
    "theoretical_price": "HTS_THPR",
}

# What a record of a future's trade by day says beside the trade (engine.schemas.FUTURES_STATE).
_STATE = {
    "open_interest_change": "OTST_STPL_QTY_ICDC",
    "theoretical_price": "HTS_THPR",
    "basis": "THPR_BASIS",
    "market_basis": "MRKT_BASIS",
    "deviation": "DPRT",
}


def _best(prefix: str) -> dict[str, str]:
    """Return the columns of the best level of a book."""
    stem = f"{prefix}_" if prefix else ""
    code = f"{prefix}_SHRN_ISCD" if prefix else "MKSC_SHRN_ISCD"
    best = {"bid": f"{stem}BIDP1", "ask": f"{stem}ASKP1", **_BEST_SIZES}
    return {"symbol": code, "time": "BSOP_HOUR", **best}


def book_columns(prefix: str, levels: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return our columns of a derivative's book and their fields: prices, then whole numbers."""
    prices, wholes = {}, {}
    for side in ("bid", "ask"):
        for level in range(1, levels + 1):
            prices[f"{side}{level}"] = f"{prefix}_{side.upper()}P{level}"
            wholes[f"{side}_size{level}"] = f"{side.upper()}P_RSQN{level}"
            wholes[f"{side}_orders{level}"] = f"{side.upper()}P_CSNU{level}"
    return prices, wholes


_THOUSANDS = 1_000
_OPTION_TRADE = {**_derivative_trade("OPTN"), **_GREEKS}

LAYOUTS: dict[str, Layout] = {
    layout.tr_id: layout
    for layout in (
        Layout(
            "H0IFCNT0",
            "trade",
            Contract,
            _FUTURE,
            {**_derivative_trade("FUTS"), **_STATE},
            turnover_unit=_THOUSANDS,
        ),
        Layout(
            "H0MFCNT0",
            "trade",
            Contract,
            _NIGHT_FUTURE,
            _derivative_trade("FUTS"),
            night=True,
            turnover_unit=_THOUSANDS,
        ),
        Layout("H0IOCNT0", "trade", Option, _OPTION, _OPTION_TRADE, turnover_unit=_THOUSANDS),
        Layout(
            "H0EUCNT0",
            "trade",
            Option,
            _NIGHT_OPTION,
            _OPTION_TRADE,
            night=True,
            turnover_unit=_THOUSANDS,
        ),
        Layout("H0STCNT0", "trade", Stock, _STOCK, _STOCK_TRADE),
        Layout("H0IFASP0", "book", Contract, _book("FUTS"), _best("FUTS"), levels=5),
        Layout("H0MFASP0", "book", Contract, _book("FUTS"), _best("FUTS"), night=True),
        Layout("H0IOASP0", "book", Option, _book("OPTN"), _best("OPTN")),
        Layout("H0EUASP0", "book", Option, _book("OPTN"), _best("OPTN"), night=True),
        Layout("H0STASP0", "book", Stock, _stock_book(), _best("")),
    )
}

OPTION_VALUES = tuple(_GREEKS)  # of an option's record, beside the trade itself
