"""Quotations of who trades: investors by kind, of markets and of a stock."""

from __future__ import annotations

import polars as pl

from engine.simulator.quotations import flows as frames
from engine.simulator.quotations.index_tables import INDEX_CHANGE, PRICES
from engine.simulator.quotations.stock_tables import ONE, STOCKS
from engine.simulator.quotations.table import (
    MOVE,
    SIGN,
    Block,
    Columns,
    Quotation,
    cents,
    same,
    whole,
)

KINDS = (*frames.KINDS, "orgn")
NET_IN_VOLUME = {"pe_fund", "etc_orgt", "etc_corp"}  # whose net is …_ntby_vol and not …_ntby_qty


def _net(kind: str, unit: str) -> pl.Expr:
    return whole(pl.col(f"{kind}_bought_{unit}") - pl.col(f"{kind}_sold_{unit}"))


def _net_quantity(kind: str) -> Columns:
    ending = "vol" if kind in NET_IN_VOLUME else "qty"
    return {f"{kind}_ntby_{ending}": _net(kind, "volume")}


def _net_of(kind: str) -> Columns:
    return {**_net_quantity(kind), f"{kind}_ntby_tr_pbmn": _net(kind, "amount")}


def _flows_of(kind: str) -> Columns:
    """Return the six fields of a kind of investor: sold, bought and net, in quantity and amount."""
    return {
        f"{kind}_seln_vol": whole(f"{kind}_sold_volume"),
        f"{kind}_shnu_vol": whole(f"{kind}_bought_volume"),
        f"{kind}_seln_tr_pbmn": whole(f"{kind}_sold_amount"),
        f"{kind}_shnu_tr_pbmn": whole(f"{kind}_bought_amount"),
        **_net_of(kind),
    }


INVESTORS: Columns = {name: c for kind in KINDS for name, c in _flows_of(kind).items()}
_OTHERS = ("etc_orgt", "etc_corp")


def _others(unit: str) -> pl.Expr:
    nets = (pl.col(f"{k}_bought_{unit}") - pl.col(f"{k}_sold_{unit}") for k in _OTHERS)
    return whole(pl.sum_horizontal(*nets))


INVESTOR_DAYS: Columns = {
    "stck_bsop_date": pl.col("date").dt.strftime("%Y%m%d"),
    **INDEX_CHANGE,
    **PRICES,
    "stck_prdy_clpr": cents("before"),
    **{name: column for kind in KINDS for name, column in _net_of(kind).items()},
    "frgn_reg_ntby_qty": _net("frgn", "volume"),
    "frgn_reg_ntby_pbmn": _net("frgn", "amount"),
    **same("0", "frgn_nreg_ntby_qty", "frgn_nreg_ntby_pbmn"),
    "etc_ntby_qty": _others("volume"),
    "etc_ntby_tr_pbmn": _others("amount"),
}
_IN_A_STOCK = ("prsn", "frgn", "orgn")
STOCK_INVESTORS: Columns = {
    "stck_bsop_date": pl.col("date").dt.strftime("%Y%m%d"),
    "stck_clpr": whole("close"),
    "prdy_vrss": whole(MOVE),
    "prdy_vrss_sign": SIGN,
    **{name: column for kind in _IN_A_STOCK for name, column in _flows_of(kind).items()},
}


TABLES = (
    Quotation(
        "FHKST01010900",
        STOCKS + "inquire-investor",
        ONE,
        (Block("output", frames.stock_investor_days, STOCK_INVESTORS),),
    ),
    Quotation(
        "FHPTJ04030000",
        STOCKS + "inquire-investor-time-by-market",
        ("FID_INPUT_ISCD", "FID_INPUT_ISCD_2"),
        (Block("output", frames.investors, INVESTORS),),
    ),
    Quotation(
        "FHPTJ04040000",
        STOCKS + "inquire-investor-daily-by-market",
        (*ONE, "FID_INPUT_DATE_1", "FID_INPUT_ISCD_1"),
        (Block("output", frames.investor_days, INVESTOR_DAYS),),
    ),
)
