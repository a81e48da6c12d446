"""Quotations of programme trading: by minute, and by day and account (customers, members)."""

from __future__ import annotations

import polars as pl

from engine.simulator.quotations import programmes as frames
from engine.simulator.quotations.stock_tables import DATES, STOCKS
from engine.simulator.quotations.table import (
    MOVE,
    SIGN,
    Block,
    Columns,
    Quotation,
    cents,
    share,
    whole,
)

_SIDES = {"seln": "sold", "shnu": "bought"}  # KIS's name, ours
_UNITS = {"vol": "volume", "tr_pbmn": "amount"}
_TOTALS = {"volume": "volume", "amount": "turnover"}  # of the market
_ACCOUNTS = ("entm", "onsl", "smtn")  # customers, own account, both
# KIS leaves these out of the table of days, though their siblings are there.
_ABSENT = {
    "whol_entm_ntby_tr_pbmn_rate",
    "whol_onsl_ntby_qty",
    "whol_onsl_ntby_qty_rate",
    "whol_onsl_ntby_tr_pbmn",
    "whol_onsl_ntby_tr_pbmn_rate",
    "whol_smtn_ntby_qty",
    "whol_smtn_ntby_tr_pbmn",
    "whol_ntby_qty_rate",
    "whol_ntby_tr_pbmn_rate",
}


def traded(kind: str, account: str, side: str, unit: str) -> pl.Expr:
    """Return what a kind of programme (whol: both) sold or bought for an account."""
    if kind == "whol":
        return pl.sum_horizontal(traded(k, account, side, unit) for k in frames.SHARES)
    both, customers = pl.col(f"{kind}_{side}_{unit}"), pl.col(f"{kind}_{side}_{unit}_customers")
    return {"smtn": both, "entm": customers, "onsl": both - customers}[account]


def _rate_name(kind: str, account: str, side: str, ending: str) -> str:
    """Name a share of the market as KIS does: it spells smtn smtm there, and shnu shun."""
    if account != "smtn":
        return f"{kind}_{account}_{side}_{ending}_rate"
    side = "shun" if side == "shnu" else side
    return f"{kind}_{side}_{ending}_rate" if kind == "whol" else f"{kind}_smtm_{side}_{ending}_rate"


def _days_of(kind: str, account: str) -> Columns:
    """Return sold, bought and net of a kind of programme for an account, with their shares."""
    columns: dict[str, pl.Expr] = {}
    for ending, unit in _UNITS.items():
        sides = {kis: traded(kind, account, ours, unit) for kis, ours in _SIDES.items()}
        net = ("qty" if ending == "vol" else ending, sides["shnu"] - sides["seln"])
        values = {kis: (ending, value) for kis, value in sides.items()} | {"ntby": net}
        for kis, (name, value) in values.items():
            columns[f"{kind}_{account}_{kis}_{name}"] = whole(value)
            columns[_rate_name(kind, account, kis, name)] = share(value, _TOTALS[unit])
    return {name: column for name, column in columns.items() if name not in _ABSENT}


def _minutes_of(kind: str) -> Columns:
    """Return sold, bought and net of a kind of programme in money, with their shares."""
    sold, bought = (traded(kind, "smtn", side, "amount") for side in frames.SIDES)
    net = bought - sold
    return {
        f"{kind}_smtn_seln_tr_pbmn": whole(sold),
        f"{kind}_smtm_seln_tr_pbmn_rate": share(sold, "turnover"),
        f"{kind}_smtn_shnu_tr_pbmn": whole(bought),
        f"{kind}_smtm_shun_tr_pbmn_rate": share(bought, "turnover"),
        f"{kind}_smtn_ntby_tr_pbmn": whole(net),
        f"{kind}_smtm_ntby_tr_pbmn_rate": share(net, "turnover"),
    }


_BOTH = traded("whol", "smtn", "bought", "amount") - traded("whol", "smtn", "sold", "amount")
MINUTES: Columns = {
    "bsop_hour": pl.col("end").dt.strftime("%H%M%S"),
    **{name: column for kind in frames.SHARES for name, column in _minutes_of(kind).items()},
    "whol_smtn_ntby_tr_pbmn": whole(_BOTH),
    "whol_ntby_tr_pbmn_rate": share(_BOTH, "turnover"),
    "bstp_nmix_prpr": cents("price"),
    "bstp_nmix_prdy_vrss": cents(MOVE),
    "prdy_vrss_sign": SIGN,
}
DAYS: Columns = {
    "stck_bsop_date": pl.col("date").dt.strftime("%Y%m%d"),
    **{
        name: column
        for kind in (*frames.SHARES, "whol")
        for account in _ACCOUNTS
        for name, column in _days_of(kind, account).items()
    },
}
_MARKET = ("FID_COND_MRKT_DIV_CODE", "FID_MRKT_CLS_CODE")

TABLES = (
    Quotation(
        "FHPPG04600101",
        STOCKS + "comp-program-trade-today",
        _MARKET,
        (Block("output", frames.programmes, MINUTES),),
    ),
    Quotation(
        "FHPPG04600001",
        STOCKS + "comp-program-trade-daily",
        _MARKET + DATES,
        (Block("output", frames.programme_days, DAYS),),
    ),
)
