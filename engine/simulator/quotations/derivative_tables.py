"""Quotations of futures and options beside those of the boards: book, days, expected prices."""

from __future__ import annotations

import polars as pl

from engine.simulator.quotations import derivative_frames as frames
from engine.simulator.quotations.stock_tables import DATES, ONE
from engine.simulator.quotations.table import (
    MOVE,
    PERCENT,
    SIGN,
    Block,
    Columns,
    Quotation,
    cents,
    numbered,
    same,
    text,
    whole,
)

FUTURES = "/uapi/domestic-futureoption/v1/quotations/"
_LEVELS = range(1, frames.LEVELS + 1)
NOW: Columns = {
    "hts_kor_isnm": text("name"),
    "futs_prpr": cents("price"),
    "prdy_vrss_sign": SIGN,
    "futs_prdy_vrss": cents(MOVE),
    "futs_prdy_ctrt": PERCENT,
    "acml_vol": whole("volume"),
    "futs_prdy_clpr": cents("before"),
    "futs_shrn_iscd": text("code"),
}
BOOK: Columns = {
    **numbered(["futs_askp"], _LEVELS, lambda _, n: cents(f"ask{n}")),
    **numbered(["futs_bidp"], _LEVELS, lambda _, n: cents(f"bid{n}")),
    **numbered(["askp_rsqn"], _LEVELS, lambda _, n: whole(f"ask_size{n}")),
    **numbered(["bidp_rsqn"], _LEVELS, lambda _, n: whole(f"bid_size{n}")),
    **numbered(["askp_csnu"], _LEVELS, lambda _, n: whole(f"ask_orders{n}")),
    **numbered(["bidp_csnu"], _LEVELS, lambda _, n: whole(f"bid_orders{n}")),
    "total_askp_rsqn": whole("asks"),
    "total_bidp_rsqn": whole("bids"),
    "total_askp_csnu": whole("ask_orders"),
    "total_bidp_csnu": whole("bid_orders"),
    "aspr_acpt_hour": text("hour"),
}
SUMMARY_FIELDS = (
    "futs_prdy_vrss",
    "prdy_vrss_sign",
    "futs_prdy_ctrt",
    "futs_prdy_clpr",
    "acml_vol",
    "acml_tr_pbmn",
    "hts_kor_isnm",
    "futs_prpr",
    "futs_shrn_iscd",
    "prdy_vol",
    "futs_mxpr",
    "futs_llam",
    "futs_oprc",
    "futs_hgpr",
    "futs_lwpr",
    "futs_prdy_oprc",
    "futs_prdy_hgpr",
    "futs_prdy_lwpr",
    "futs_askp",
    "futs_bidp",
    "basis",
    "kospi200_nmix",
    "kospi200_prdy_vrss",
    "kospi200_prdy_ctrt",
    "kospi200_prdy_vrss_sign",
    "hts_otst_stpl_qty",
    "otst_stpl_qty_icdc",
    "tday_rltv",
    "hts_thpr",
    "dprt",
)
DAYS: Columns = {
    "stck_bsop_date": pl.col("date").dt.strftime("%Y%m%d"),
    "futs_prpr": cents("close"),
    "futs_oprc": cents("open"),
    "futs_hgpr": cents("high"),
    "futs_lwpr": cents("low"),
    "acml_vol": whole("volume"),
    "acml_tr_pbmn": whole("turnover"),
    **same("N", "mod_yn"),
}
_EXPECTED: Columns = {
    "futs_antc_cnpr": cents("price"),
    "antc_cntg_vrss_sign": SIGN,
    "futs_antc_cntg_vrss": cents(MOVE),
    "antc_cntg_prdy_ctrt": PERCENT,
}

TABLES = (
    Quotation(
        "FHMIF10010000",
        FUTURES + "inquire-asking-price",
        ONE,
        (
            Block("output1", frames.book, NOW, is_list=False),
            Block("output2", frames.book, BOOK, is_list=False),
        ),
    ),
    Quotation(
        "FHKIF03020100",
        FUTURES + "inquire-daily-fuopchartprice",
        (*ONE, *DATES, "FID_PERIOD_DIV_CODE"),
        (
            Block(
                "output1",
                frames.day_summary,
                {name: text(name) for name in SUMMARY_FIELDS},
                is_list=False,
            ),
            Block("output2", frames.days, DAYS),
        ),
    ),
    Quotation(
        "FHPIF05110100",
        FUTURES + "exp-price-trend",
        ONE,
        (
            Block(
                "output1",
                frames.expected,
                {"hts_kor_isnm": text("name"), **_EXPECTED, "futs_sdpr": cents("before")},
                is_list=False,
            ),
            Block("output2", frames.expected, {"stck_cntg_hour": text("hour"), **_EXPECTED}),
        ),
    ),
)
