"""Quotations of stocks: KIS's fields over the frames of `stock_frames`."""

from __future__ import annotations

import polars as pl

from engine.simulator.quotations import stock_frames as frames
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
    share,
    sign,
    text,
    whole,
)

STOCKS = "/uapi/domestic-stock/v1/quotations/"
ONE = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD")
PERIOD = ("FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC")
DATES = ("FID_INPUT_DATE_1", "FID_INPUT_DATE_2")

CHANGE: Columns = {"prdy_vrss": whole(MOVE), "prdy_vrss_sign": SIGN, "prdy_ctrt": PERCENT}
SO_FAR: Columns = {
    "stck_oprc": whole("open"),
    "stck_hgpr": whole("high"),
    "stck_lwpr": whole("low"),
}
LIMITS: Columns = {"stck_mxpr": whole("upper"), "stck_llam": whole("lower")}
TRADED: Columns = {"acml_tr_pbmn": whole("turnover"), "acml_vol": whole("volume")}
EXPECTED_MOVE = (
    pl.when(pl.col("expected") == 0).then(0.0).otherwise(pl.col("expected") - pl.col("before"))
)
PIVOT = (pl.col("high_before") + pl.col("low_before") + pl.col("before")) / 3
VALUE = pl.col("listed") * pl.col("price") / 1e8  # hundred million KRW
FACE = 100.0
RANGE = pl.col("high_before") - pl.col("low_before")
_HIGHEST = pl.max_horizontal("high", "high_before", "price")
_LOWEST = pl.min_horizontal(pl.when(pl.col("low") > 0).then("low"), "low_before", "price")
_DATE = text("date")


def _extreme(high: str, low: str, rate: str) -> Columns:
    """Return the highest and lowest price of a span, as far as the last two days have it."""
    return {
        high: whole(_HIGHEST),
        f"{high.removeprefix('stck_')}_{rate}": share(pl.col("price") - _HIGHEST, _HIGHEST),
        f"{high.removeprefix('stck_')}_date": _DATE,
        low: whole(_LOWEST),
        f"{low.removeprefix('stck_')}_{rate}": share(pl.col("price") - _LOWEST, _LOWEST),
        f"{low.removeprefix('stck_')}_date": _DATE,
    }


PRICE: Columns = {
    "iscd_stat_cls_code": text("status"),
    **same("20.00", "marg_rate"),
    "rprs_mrkt_kor_name": text("market"),
    **same("전기·전자", "bstp_kor_isnm"),
    "temp_stop_yn": text("is_stopped"),
    **same("N", "oprc_rang_cont_yn", "clpr_rang_cont_yn", "elw_pblc_yn"),
    **same("Y", "crdt_able_yn", "ssts_yn"),
    **same("40", "grmn_rate_cls_code"),
    **same("", "new_hgpr_lwpr_cls_code"),
    "stck_prpr": whole("price"),
    **CHANGE,
    **TRADED,
    "prdy_vrss_vol_rate": share("volume", "volume_before"),
    **SO_FAR,
    **LIMITS,
    "stck_sdpr": whole("before"),
    "wghn_avrg_stck_prc": cents(
        pl.when(pl.col("volume") > 0)
        .then(pl.col("turnover") / pl.col("volume"))
        .otherwise(pl.col("price"))
    ),
    **same("0.00", "hts_frgn_ehrt", "whol_loan_rmnd_rate", "apprch_rate"),
    **same("0", "frgn_ntby_qty", "pgtr_ntby_qty", "frgn_hldn_qty", "last_ssts_cntg_qty"),
    "pvt_scnd_dmrs_prc": whole(PIVOT + RANGE),
    "pvt_frst_dmrs_prc": whole(2 * PIVOT - pl.col("low_before")),
    "pvt_pont_val": whole(PIVOT),
    "pvt_frst_dmsp_prc": whole(2 * PIVOT - pl.col("high_before")),
    "pvt_scnd_dmsp_prc": whole(PIVOT - RANGE),
    "dmrs_val": whole(2 * PIVOT - pl.col("low_before")),
    "dmsp_val": whole(2 * PIVOT - pl.col("high_before")),
    "cpfn": whole(pl.col("listed") * FACE / 1e8),
    "rstc_wdth_prc": whole(pl.col("upper") - pl.col("before")),
    **same("100", "stck_fcam"),
    "stck_sspr": whole(pl.col("before") * 0.7),
    "aspr_unit": whole("tick"),
    **same("1", "hts_deal_qty_unit_val"),
    "lstn_stcn": whole("listed"),
    "hts_avls": whole(VALUE),
    **same("12.00", "per"),
    **same("1.20", "pbr"),
    **same("12", "stac_month"),
    "vol_tnrt": share("volume", "listed"),
    "eps": cents(pl.col("price") / 12),
    "bps": cents(pl.col("price") / 1.2),
    **_extreme("d250_hgpr", "d250_lwpr", "vrss_prpr_rate"),
    **_extreme("stck_dryy_hgpr", "stck_dryy_lwpr", "vrss_prpr_rate"),
    **_extreme("w52_hgpr", "w52_lwpr", "vrss_prpr_ctrt"),
    "stck_shrn_iscd": text("code"),
    **same("100", "fcam_cnnm"),
    "cpfn_cnnm": pl.concat_str(whole(pl.col("listed") * FACE / 1e8), pl.lit(" 억")),
    "vi_cls_code": text("is_interrupted"),
    **same("N", "ovtm_vi_cls_code", "invt_caful_yn", "short_over_yn", "sltr_yn"),
    **same("00", "mrkt_warn_cls_code"),
    **same("N", "mang_issu_cls_code"),
}

_LEVELS = range(1, 11)
BOOK: Columns = {
    "aspr_acpt_hour": text("hour"),
    **numbered(["askp"], _LEVELS, lambda _, n: whole(f"ask{n}")),
    **numbered(["bidp"], _LEVELS, lambda _, n: whole(f"bid{n}")),
    **numbered(["askp_rsqn"], _LEVELS, lambda _, n: whole(f"ask_size{n}")),
    **numbered(["bidp_rsqn"], _LEVELS, lambda _, n: whole(f"bid_size{n}")),
    **numbered(["askp_rsqn_icdc"], _LEVELS, lambda _, n: whole(f"ask_change{n}")),
    **numbered(["bidp_rsqn_icdc"], _LEVELS, lambda _, n: whole(f"bid_change{n}")),
    "total_askp_rsqn": whole("asks"),
    "total_bidp_rsqn": whole("bids"),
    "total_askp_rsqn_icdc": whole(pl.sum_horizontal(f"ask_change{n}" for n in _LEVELS)),
    "total_bidp_rsqn_icdc": whole(pl.sum_horizontal(f"bid_change{n}" for n in _LEVELS)),
    **same("0", "ovtm_total_askp_icdc", "ovtm_total_bidp_icdc"),
    **same("0", "ovtm_total_askp_rsqn", "ovtm_total_bidp_rsqn"),
    "ntby_aspr_rsqn": whole(pl.col("bids") - pl.col("asks")),
    **same("20", "new_mkop_cls_code"),
}
EXPECTED: Columns = {
    "antc_mkop_cls_code": pl.when(pl.col("expected") > 0)
    .then(pl.lit("111"))
    .otherwise(pl.lit("112")),
    "stck_prpr": whole("price"),
    **SO_FAR,
    "stck_sdpr": whole("before"),
    "antc_cnpr": whole("expected"),
    "antc_cntg_vrss_sign": sign(EXPECTED_MOVE),
    "antc_cntg_vrss": whole(EXPECTED_MOVE),
    "antc_cntg_prdy_ctrt": share(EXPECTED_MOVE, "before"),
    "antc_vol": whole("expected_volume"),
    "stck_shrn_iscd": text("code"),
    "vi_cls_code": text("is_interrupted"),
}
TRADES: Columns = {
    "stck_cntg_hour": text("hour"),
    "stck_prpr": whole("price"),
    **CHANGE,
    "cntg_vol": whole("volume"),
    **same("100.00", "tday_rltv"),
}
_DAY: Columns = {
    "stck_bsop_date": pl.col("date").dt.strftime("%Y%m%d"),
    **SO_FAR,
    "stck_clpr": whole("close"),
    "acml_vol": whole("volume"),
}
SHORT_DAYS: Columns = {
    **_DAY,
    "prdy_vrss_vol_rate": share(pl.col("volume") - pl.col("volume_before"), "volume_before"),
    **CHANGE,
    **same("0.00", "hts_frgn_ehrt", "acml_prtt_rate"),
    **same("0", "frgn_ntby_qty"),
    **same("00", "flng_cls_code"),
}
SUMMARY: Columns = {
    **CHANGE,
    "stck_prdy_clpr": whole("before"),
    **TRADED,
    "hts_kor_isnm": text("name"),
    "stck_prpr": whole("price"),
    "stck_shrn_iscd": text("code"),
    "prdy_vol": whole("volume_before"),
    **LIMITS,
    **SO_FAR,
    "stck_prdy_oprc": whole("open_before"),
    "stck_prdy_hgpr": whole("high_before"),
    "stck_prdy_lwpr": whole("low_before"),
    "askp": whole("ask1"),
    "bidp": whole("bid1"),
    "prdy_vrss_vol": whole(pl.col("volume") - pl.col("volume_before")),
    "vol_tnrt": share("volume", "listed"),
    **same("100", "stck_fcam"),
    "lstn_stcn": whole("listed"),
    "cpfn": whole(pl.col("listed") * FACE / 1e8),
    "hts_avls": whole(VALUE),
    **same("12.00", "per"),
    "eps": cents(pl.col("price") / 12),
    **same("1.20", "pbr"),
    **same("0.00", "itewhol_loan_rmnd_ratem"),
}
DAYS: Columns = {
    **_DAY,
    "acml_tr_pbmn": whole("turnover"),
    **same("00", "flng_cls_code", "revl_issu_reas"),
    **same("0.00", "prtt_rate"),
    **same("N", "mod_yn"),
    "prdy_vrss_sign": SIGN,
    "prdy_vrss": whole(MOVE),
}
SEVERAL: Columns = {
    "kospi_kosdaq_cls_name": text("market"),
    **same("", "mrkt_trtm_cls_name"),
    **same("0", "hour_cls_code"),
    "inter_shrn_iscd": text("code"),
    "inter_kor_isnm": text("name"),
    "inter2_prpr": whole("price"),
    "inter2_prdy_vrss": whole(MOVE),
    "prdy_vrss_sign": SIGN,
    "prdy_ctrt": PERCENT,
    **TRADED,
    "inter2_oprc": whole("open"),
    "inter2_hgpr": whole("high"),
    "inter2_lwpr": whole("low"),
    "inter2_llam": whole("lower"),
    "inter2_mxpr": whole("upper"),
    "inter2_askp": whole("ask1"),
    "inter2_bidp": whole("bid1"),
    "seln_rsqn": whole("ask_size1"),
    "shnu_rsqn": whole("bid_size1"),
    "total_askp_rsqn": whole("asks"),
    "total_bidp_rsqn": whole("bids"),
    "inter2_prdy_clpr": whole("before"),
    "oprc_vrss_hgpr_rate": share(pl.col("high") - pl.col("open"), "open"),
    "intr_antc_cntg_vrss": whole(EXPECTED_MOVE),
    "intr_antc_cntg_vrss_sign": sign(EXPECTED_MOVE),
    "intr_antc_cntg_prdy_ctrt": share(EXPECTED_MOVE, "before"),
    "intr_antc_vol": whole("expected_volume"),
    "inter2_sdpr": whole("before"),
}
CLOSING: Columns = {
    "stck_shrn_iscd": text("code"),
    "hts_kor_isnm": text("name"),
    "stck_prpr": whole("expected"),
    "prdy_vrss": whole(EXPECTED_MOVE),
    "prdy_vrss_sign": sign(EXPECTED_MOVE),
    "prdy_ctrt": share(EXPECTED_MOVE, "before"),
    "sdpr_vrss_prpr": whole(pl.col("expected") - pl.col("price")),
    "sdpr_vrss_prpr_rate": share(pl.col("expected") - pl.col("price"), "price"),
    "cntg_vol": whole("expected_volume"),
}
TREND_NOW: Columns = {
    "rprs_mrkt_kor_name": text("market"),
    **{name: EXPECTED[name] for name in EXPECTED if name.startswith("antc_c")},
    "antc_vol": whole("expected_volume"),
    "antc_tr_pbmn": whole(pl.col("expected") * pl.col("expected_volume")),
}
TREND: Columns = {
    "stck_bsop_date": text("date"),
    "stck_cntg_hour": text("hour"),
    "stck_prpr": whole("price"),
    **CHANGE,
    "acml_vol": whole("volume"),
}
INTERRUPTIONS: Columns = {
    "hts_kor_isnm": text("name"),
    "mksc_shrn_iscd": text("code"),
    "vi_cls_code": pl.when(pl.col("ended") == "000000").then(pl.lit("Y")).otherwise(pl.lit("N")),
    "bsop_date": text("date"),
    "cntg_vi_hour": text("started"),
    "vi_cncl_hour": text("ended"),
    **same("1", "vi_kind_code"),
    "vi_prc": whole("interrupted_at"),
    "vi_stnd_prc": whole("open"),
    "vi_dprt": share(pl.col("interrupted_at") - pl.col("open"), "open"),
    **same("0", "vi_dmc_stnd_prc"),
    **same("0.00", "vi_dmc_dprt"),
    **same("1", "vi_count"),
}

TABLES = (
    Quotation(
        "FHKST01010100",
        STOCKS + "inquire-price",
        ONE,
        (Block("output", frames.one_stock, PRICE, is_list=False),),
    ),
    Quotation(
        "FHKST01010200",
        STOCKS + "inquire-asking-price-exp-ccn",
        ONE,
        (
            Block("output1", frames.one_stock, BOOK, is_list=False),
            Block("output2", frames.one_stock, EXPECTED, is_list=False),
        ),
    ),
    Quotation(
        "FHKST01010300", STOCKS + "inquire-ccnl", ONE, (Block("output", frames.trades, TRADES),)
    ),
    Quotation(
        "FHKST01010400",
        STOCKS + "inquire-daily-price",
        ONE + PERIOD,
        (Block("output", frames.short_days, SHORT_DAYS),),
    ),
    Quotation(
        "FHKST03010100",
        STOCKS + "inquire-daily-itemchartprice",
        ONE + DATES + PERIOD,
        (
            Block("output1", frames.one_stock, SUMMARY, is_list=False),
            Block("output2", frames.days_between, DAYS),
        ),
    ),
    Quotation(
        "FHKST11300006",
        STOCKS + "intstock-multprice",
        ("FID_COND_MRKT_DIV_CODE_1", "FID_INPUT_ISCD_1"),
        (Block("output", frames.several_stocks, SEVERAL),),
    ),
    Quotation(
        "FHKST117300C0",
        STOCKS + "exp-closing-price",
        (*ONE, "FID_RANK_SORT_CLS_CODE", "FID_COND_SCR_DIV_CODE", "FID_BLNG_CLS_CODE"),
        (Block("output", frames.closing_prices, CLOSING),),
    ),
    Quotation(
        "FHPST01810000",
        STOCKS + "exp-price-trend",
        (*ONE, "FID_MKOP_CLS_CODE"),
        (
            Block("output1", frames.one_stock, TREND_NOW, is_list=False),
            Block("output2", frames.expected_trend, TREND),
        ),
    ),
    Quotation(
        "FHPST01390000",
        STOCKS + "inquire-vi-status",
        (
            "FID_DIV_CLS_CODE",
            "FID_COND_SCR_DIV_CODE",
            "FID_MRKT_CLS_CODE",
            "FID_INPUT_ISCD",
            "FID_RANK_SORT_CLS_CODE",
            "FID_INPUT_DATE_1",
            "FID_TRGT_CLS_CODE",
            "FID_TRGT_EXLS_CLS_CODE",
        ),
        (Block("output", frames.interruptions, INTERRUPTIONS),),
    ),
)
