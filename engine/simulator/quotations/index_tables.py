"""Quotations of the share indices: KIS's fields over the frames of `index_frames`."""

from __future__ import annotations

import polars as pl

from engine.simulator.quotations import index_frames as frames
from engine.simulator.quotations.stock_tables import DATES, ONE, STOCKS
from engine.simulator.quotations.table import (
    MOVE,
    PERCENT,
    SIGN,
    Block,
    Columns,
    Quotation,
    cents,
    same,
    share,
    sign,
    text,
    whole,
)

INDEX_CHANGE: Columns = {
    "bstp_nmix_prpr": cents("price"),
    "bstp_nmix_prdy_vrss": cents(MOVE),
    "prdy_vrss_sign": SIGN,
    "bstp_nmix_prdy_ctrt": PERCENT,
}
PRICES: Columns = {
    "bstp_nmix_oprc": cents("open"),
    "bstp_nmix_hgpr": cents("high"),
    "bstp_nmix_lwpr": cents("low"),
}
TRADED: Columns = {"acml_vol": whole("volume"), "acml_tr_pbmn": whole("turnover")}
COUNTS: Columns = {
    "ascn_issu_cnt": whole("up"),
    "down_issu_cnt": whole("down"),
    **same("30", "stnr_issu_cnt"),
    **same("0", "uplm_issu_cnt", "lslm_issu_cnt"),
}
YEAR: Columns = {
    "dryy_bstp_nmix_hgpr": cents("year_high"),
    "dryy_bstp_nmix_hgpr_date": text("year_high_date"),
    "dryy_bstp_nmix_lwpr": cents("year_low"),
    "dryy_bstp_nmix_lwpr_date": text("year_low_date"),
}
_BOTH = pl.col("asks") + pl.col("bids")


def _from_before(name: str) -> pl.Expr:
    return pl.col(name) - pl.col("before")


PRICE: Columns = {
    **INDEX_CHANGE,
    **TRADED,
    "prdy_vol": whole("volume_before"),
    "prdy_tr_pbmn": whole("turnover_before"),
    **PRICES,
    "prdy_nmix_vrss_nmix_oprc": cents(_from_before("open")),
    "oprc_vrss_prpr_sign": sign(pl.col("price") - pl.col("open")),
    "bstp_nmix_oprc_prdy_ctrt": share(_from_before("open"), "before"),
    "prdy_nmix_vrss_nmix_hgpr": cents(_from_before("high")),
    "hgpr_vrss_prpr_sign": sign(pl.col("price") - pl.col("high")),
    "bstp_nmix_hgpr_prdy_ctrt": share(_from_before("high"), "before"),
    "prdy_clpr_vrss_lwpr": cents(_from_before("low")),
    "lwpr_vrss_prpr_sign": sign(pl.col("price") - pl.col("low")),
    "prdy_clpr_vrss_lwpr_rate": share(_from_before("low"), "before"),
    **COUNTS,
    **YEAR,
    "dryy_hgpr_vrss_prpr_rate": share(pl.col("price") - pl.col("year_high"), "year_high"),
    "dryy_lwpr_vrss_prpr_rate": share(pl.col("price") - pl.col("year_low"), "year_low"),
    "total_askp_rsqn": whole("asks"),
    "total_bidp_rsqn": whole("bids"),
    "seln_rsqn_rate": share("asks", _BOTH),
    "shnu_rsqn_rate": share("bids", _BOTH),
    "ntby_rsqn": whole(pl.col("bids") - pl.col("asks")),
}
_SUMMARY: Columns = {
    "prdy_vrss_sign": SIGN,
    "bstp_nmix_prdy_ctrt": PERCENT,
    "prdy_nmix": cents("before"),
    **TRADED,
    "hts_kor_isnm": text("name"),
    "bstp_nmix_prpr": cents("price"),
    "bstp_cls_code": text("code"),
    "prdy_vol": whole("volume_before"),
    **PRICES,
    "futs_prdy_oprc": cents("open_before"),
    "futs_prdy_hgpr": cents("high_before"),
    "futs_prdy_lwpr": cents("low_before"),
}
_CLOSE: Columns = {"bstp_nmix_prpr": cents("close"), **PRICES}
_DATE = pl.col("date").dt.strftime("%Y%m%d")
_HOUR = pl.col("label").dt.strftime("%H%M%S")
MINUTES: Columns = {
    "stck_bsop_date": _DATE,
    "stck_cntg_hour": _HOUR,
    **_CLOSE,
    "cntg_vol": whole("traded"),
    "acml_tr_pbmn": whole("turnover"),
}
DAYS: Columns = {"stck_bsop_date": _DATE, **_CLOSE, **TRADED, **same("N", "mod_yn")}
_AT_MINUTE = pl.col("close") - pl.col("before")
TIMES: Columns = {
    "bsop_hour": _HOUR,
    "bstp_nmix_prpr": cents("close"),
    "bstp_nmix_prdy_vrss": cents(_AT_MINUTE),
    "prdy_vrss_sign": sign(_AT_MINUTE),
    "bstp_nmix_prdy_ctrt": share(_AT_MINUTE, "before"),
    **TRADED,
    "cntg_vol": whole("traded"),
}
DAILY_NOW: Columns = {
    **INDEX_CHANGE,
    **TRADED,
    **PRICES,
    "prdy_vol": whole("volume_before"),
    **COUNTS,
    "prdy_tr_pbmn": whole("turnover_before"),
    **YEAR,
}
DAILY: Columns = {
    "stck_bsop_date": _DATE,
    **INDEX_CHANGE,
    **PRICES,
    **TRADED,
    **same("100.00", "acml_vol_rlim", "d20_dsrt"),
    **same("50.00", "invt_new_psdg"),
}
EXPECTED: Columns = {
    "stck_cntg_hour": text("hour"),
    "bstp_nmix_prpr": cents("price"),
    "prdy_vrss_sign": SIGN,
    "bstp_nmix_prdy_vrss": cents(MOVE),
    "prdy_ctrt": PERCENT,
    "acml_vol": whole("volume"),
    "acml_tr_pbmn": whole(pl.col("volume") * 25),
}

TABLES = (
    Quotation(
        "FHPUP02100000",
        STOCKS + "inquire-index-price",
        ONE,
        (Block("output", frames.index_now, PRICE, is_list=False),),
    ),
    Quotation(
        "FHKUP03500200",
        STOCKS + "inquire-time-indexchartprice",
        (*ONE, "FID_ETC_CLS_CODE", "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN"),
        (
            Block(
                "output1",
                frames.index_now,
                {"bstp_nmix_prdy_vrss": cents(MOVE), **_SUMMARY},
                is_list=False,
            ),
            Block("output2", frames.minute_rows, MINUTES),
        ),
    ),
    Quotation(
        "FHKUP03500100",
        STOCKS + "inquire-daily-indexchartprice",
        (*ONE, *DATES, "FID_PERIOD_DIV_CODE"),
        (
            Block("output1", frames.index_now, _SUMMARY, is_list=False),
            Block("output2", frames.days_between, DAYS),
        ),
    ),
    Quotation(
        "FHPUP02110200",
        STOCKS + "inquire-index-timeprice",
        (*ONE, "FID_INPUT_HOUR_1"),
        (Block("output", frames.minute_rows, TIMES),),
    ),
    Quotation(
        "FHPUP02120000",
        STOCKS + "inquire-index-daily-price",
        (*ONE, "FID_PERIOD_DIV_CODE", "FID_INPUT_DATE_1"),
        (
            Block("output1", frames.index_now, DAILY_NOW, is_list=False),
            Block("output2", frames.days_until, DAILY),
        ),
    ),
    Quotation(
        "FHPST01840000",
        STOCKS + "exp-index-trend",
        (*ONE, "FID_MKOP_CLS_CODE", "FID_INPUT_HOUR_1"),
        (Block("output", frames.expected_trend, EXPECTED),),
    ),
)
