"""Frames of H0STANC0 and H0UPPGM0: expected prices of a stock's auctions, programme trading.

An expected price is sent each time that it changes, programme trading at the end of each minute.
Both agree with the REST answers of the same moment.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from engine.market.hours import MINUTE
from engine.market.sessions import Session
from engine.market.told_once import BEFORE_OPEN
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kis_format import price_text
from engine.simulator.quotations.auctions import auction_steps
from engine.simulator.quotations.programme_tables import traded
from engine.simulator.quotations.programmes import SHARES, SIDES, programme_minutes
from engine.simulator.quotations.table import Columns, share, whole
from engine.simulator.stream.frames import Frame, frame_text
from engine.simulator.stream.services import EXPECTATIONS, PROGRAMMES

LATENCY = timedelta(milliseconds=200)  # from what happened to its frame
_EXPECTATION = """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR STCK_PRPR PRDY_VRSS_SIGN PRDY_VRSS PRDY_CTRT
    WGHN_AVRG_STCK_PRC STCK_OPRC STCK_HGPR STCK_LWPR ASKP1 BIDP1 CNTG_VOL ACML_VOL
    ACML_TR_PBMN SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU CTTR SELN_CNTG_SMTN
    SHNU_CNTG_SMTN CNTG_CLS_CODE SHNU_RATE PRDY_VOL_VRSS_ACML_VOL_RATE OPRC_HOUR
    OPRC_VRSS_PRPR_SIGN OPRC_VRSS_PRPR HGPR_HOUR HGPR_VRSS_PRPR_SIGN HGPR_VRSS_PRPR
    LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_PRPR BSOP_DATE NEW_MKOP_CLS_CODE TRHT_YN
    ASKP_RSQN1 BIDP_RSQN1 TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN VOL_TNRT PRDY_SMNS_HOUR_ACML_VOL
    PRDY_SMNS_HOUR_ACML_VOL_RATE HOUR_CLS_CODE MRKT_TRTM_CLS_CODE
"""
EXPECTATION_FIELDS = _EXPECTATION.split()
LEAD = max(BEFORE_OPEN.values())  # how long before an open an auction may begin


def expectation_frames(exchange: SimulatedExchange, symbol: str, session: Session) -> list[Frame]:
    """Return the frames of a stock's auctions, in the order in which they leave."""
    frames = []
    for moment, expected in auction_steps(exchange.session_rows(symbol, session), symbol):
        values = dict.fromkeys(EXPECTATION_FIELDS, "0") | {
            "MKSC_SHRN_ISCD": symbol,
            "STCK_CNTG_HOUR": f"{moment:%H%M%S}",
            "STCK_PRPR": price_text(expected.price, 0),
            "CNTG_VOL": str(int(expected.volume)),
            "BSOP_DATE": f"{session.date:%Y%m%d}",
            "TRHT_YN": "N",
        }
        text = frame_text(EXPECTATIONS, 1, "^".join(values.values()))
        frames.append(Frame(moment + LATENCY, text))
    return frames


def programme_frames(exchange: SimulatedExchange, code: str, session: Session) -> list[Frame]:
    """Return the frames of a market's programme trading, in the order in which they leave."""
    rows = programme_minutes(exchange, code, session.date).with_columns(
        end=pl.col("label") + MINUTE, code=pl.lit(code)
    )
    records = rows.select(
        "end", record=pl.concat_str(list(PROGRAMME_RECORD.values()), separator="^")
    )
    return [
        Frame(end + LATENCY, frame_text(PROGRAMMES, 1, record))
        for end, record in records.iter_rows()
    ]


_KIS = {"arbt": "ARBT", "nabt": "NABT"}
_ACCOUNTS = ("entm", "onsl")  # customers, own account
_KIS_SIDES = dict(zip(SIDES, ("SELN", "SHNU"), strict=True))


def _net(kind: str, account: str, unit: str) -> pl.Expr:
    return traded(kind, account, "bought", unit) - traded(kind, account, "sold", unit)


def _each(ending: str, unit: str) -> Columns:
    """Return what each kind of programme sold and bought for each account."""
    return {
        f"{_KIS[kind]}_{kis}_{account.upper()}_{ending}": whole(traded(kind, account, side, unit))
        for kind in SHARES
        for side, kis in _KIS_SIDES.items()
        for account in _ACCOUNTS
    }


def _sums(kind: str, account: str, names: tuple[tuple[str, str], ...]) -> Columns:
    """Return sold, bought and net, in volume and amount, each with its share of the market."""
    units = (("volume", "volume"), ("amount", "turnover"))
    values = [(traded(kind, account, side, unit), total) for side in SIDES for unit, total in units]
    values += [(_net(kind, account, unit), total) for unit, total in units]
    columns: dict[str, pl.Expr] = {}
    for (name, rate), (value, total) in zip(names, values, strict=True):
        columns |= {name: whole(value), rate: share(value, total)}
    return columns


def _names_of_kind(kind: str) -> tuple[tuple[str, str], ...]:
    endings = ("SELN_VOL", "SELN_TR_PBMN", "SHNU_VOL", "SHNU_TR_PBMN", "NTBY_QTY", "NTBY_TR_PBMN")
    return tuple((f"{kind}_SMTN_{ending}", f"{kind}_SMTM_{ending}_RATE") for ending in endings)


_OF_CUSTOMERS = (
    ("WHOL_ENTM_SELN_VOL", "ENTM_SELN_VOL_RATE"),
    ("WHOL_ENTM_SELN_TR_PBMN", "ENTM_SELN_TR_PBMN_RATE"),
    ("WHOL_ENTM_SHNU_VOL", "ENTM_SHNU_VOL_RATE"),
    ("WHOL_ENTM_SHNU_TR_PBMN", "ENTM_SHNU_TR_PBMN_RATE"),
    ("WHOL_ENTM_NTBY_QT", "ENTM_NTBY_QTY_RAT"),
    ("WHOL_ENTM_NTBY_TR_PBMN", "ENTM_NTBY_TR_PBMN_RATE"),
)
_OF_MEMBERS = (
    ("WHOL_ONSL_SELN_VOL", "ONSL_SELN_VOL_RATE"),
    ("WHOL_ONSL_SELN_TR_PBMN", "ONSL_SELN_TR_PBMN_RATE"),
    ("WHOL_ONSL_SHNU_VOL", "ONSL_SHNU_VOL_RATE"),
    ("WHOL_ONSL_SHNU_TR_PBMN", "ONSL_SHNU_TR_PBMN_RATE"),
    ("WHOL_ONSL_NTBY_QTY", "ONSL_NTBY_QTY_RATE"),
    ("WHOL_ONSL_NTBY_TR_PBMN", "ONSL_NTBY_TR_PBMN_RATE"),
)
_OF_ALL = (
    ("TOTAL_SELN_QTY", "WHOL_SELN_VOL_RATE"),
    ("TOTAL_SELN_TR_PBMN", "WHOL_SELN_TR_PBMN_RATE"),
    ("SHNU_CNTG_SMTN", "WHOL_SHUN_VOL_RATE"),
    ("TOTAL_SHNU_TR_PBMN", "WHOL_SHUN_TR_PBMN_RATE"),
    ("WHOL_NTBY_QTY", "WHOL_SMTM_NTBY_QTY_RATE"),
    ("WHOL_NTBY_TR_PBMN", "WHOL_NTBY_TR_PBMN_RATE"),
)
PROGRAMME_RECORD: Columns = {
    "BSTP_CLS_CODE": pl.col("code"),
    "BSOP_HOUR": pl.col("end").dt.strftime("%H%M%S"),
    **_each("CNQN", "volume"),
    **_each("CNTG_AMT", "amount"),
    **_sums("arbt", "smtn", _names_of_kind("ARBT")),
    **_sums("nabt", "smtn", _names_of_kind("NABT")),
    **_sums("whol", "entm", _OF_CUSTOMERS),
    **_sums("whol", "onsl", _OF_MEMBERS),
    **_sums("whol", "smtn", _OF_ALL),
    **{
        f"{_KIS[kind]}_{account.upper()}_{name}": whole(_net(kind, account, unit))
        for kind in SHARES
        for account in _ACCOUNTS
        for name, unit in (("NTBY_QTY", "volume"), ("NTBY_TR_PBMN", "amount"))
    },
    "ACML_VOL": whole("volume"),
    "ACML_TR_PBMN": whole("turnover"),
}
