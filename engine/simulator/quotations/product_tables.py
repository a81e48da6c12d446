"""What a stock is: search-info and search-stock-info.

KIS's tables of fields that we have do not hold these two. Those of search-stock-info follow KIS's
sample and the lists of other people's clients, those of search-info one such client alone.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engine.simulator.exchange import SimulatedExchange
from engine.simulator.query import Query
from engine.simulator.quotations.stock_frames import one_stock
from engine.simulator.quotations.stock_tables import FACE, STOCKS
from engine.simulator.quotations.table import Block, Columns, Quotation, same, text, whole

STOCK_TYPE = "300"  # PRDT_TYPE_CD of stocks, ETFs and ETNs; 301 are derivatives
_ON_KOSPI = pl.col("market") == "KOSPI"
_YES_IF_KOSPI = pl.when(_ON_KOSPI).then(pl.lit("Y")).otherwise(pl.lit("N"))
_CAPITAL = whole(pl.col("listed") * FACE)


def stock(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return one row: the stock asked for; empty for another type of product."""
    if query["PRDT_TYPE_CD"] != STOCK_TYPE:
        return pl.DataFrame()
    return one_stock(
        exchange, {"FID_INPUT_ISCD": query["PDNO"], "FID_COND_MRKT_DIV_CODE": "J"}, now
    )


def _listed_on(market: pl.Expr) -> pl.Expr:
    return pl.when(market).then(pl.lit("20000104")).otherwise(pl.lit(""))


_NAMES: Columns = {
    name: text("name")
    for name in (
        "prdt_name",
        "prdt_name120",
        "prdt_abrv_name",
        "prdt_eng_name",
        "prdt_eng_name120",
        "prdt_eng_abrv_name",
    )
}
_NUMBERS: Columns = {
    "pdno": text("code").str.zfill(12),
    **same(STOCK_TYPE, "prdt_type_cd"),
    "std_pdno": pl.concat_str(pl.lit("KR7"), text("code"), pl.lit("003")),
}
PRODUCT: Columns = {
    **_NUMBERS,
    **_NAMES,
    "shtn_pdno": text("code"),
    **same("", "prdt_sale_stat_cd", "prdt_risk_grad_cd", "sale_strt_dt", "sale_end_dt"),
    **same("", "wrap_asst_type_cd", "ivst_prdt_type_cd", "ivst_prdt_type_cd_name", "frst_erlm_dt"),
    **same("100101", "prdt_clsf_cd"),
    **same("주식", "prdt_clsf_name"),
}
STOCK: Columns = {
    **_NUMBERS,
    **_NAMES,
    "mket_id_cd": pl.when(_ON_KOSPI).then(pl.lit("STK")).otherwise(pl.lit("KSQ")),
    **same("ST", "scty_grp_id_cd"),
    "excg_dvsn_cd": pl.when(_ON_KOSPI).then(pl.lit("02")).otherwise(pl.lit("03")),
    **same("12", "setl_mmdd"),
    "lstg_stqt": whole("listed"),
    "lstg_cptl_amt": _CAPITAL,
    "cpta": _CAPITAL,
    **same("100", "papr", "issu_pric"),
    "kospi200_item_yn": _YES_IF_KOSPI,
    "scts_mket_lstg_dt": _listed_on(_ON_KOSPI),
    "kosdaq_mket_lstg_dt": _listed_on(~_ON_KOSPI),
    **same("", "scts_mket_lstg_abol_dt", "kosdaq_mket_lstg_abol_dt", "lstg_abol_dt"),
    **same("", "frbd_mket_lstg_dt", "frbd_mket_lstg_abol_dt", "reits_kind_cd", "etf_dvsn_cd"),
    **same("N", "oilf_fund_yn", "tr_stop_yn", "admn_item_yn", "crfd_item_yn", "nxt_tr_stop_yn"),
    **same("N", "etf_etn_ivst_heed_item_yn", "dpsi_aptm_erlm_yn"),
    **same("Y", "elec_scty_yn", "cptt_trad_tr_psbl_yn"),
    **same("002", "idx_bztp_lcls_cd"),
    **same("013", "idx_bztp_mcls_cd", "idx_bztp_scls_cd"),
    **same("101", "stck_kind_cd"),
    **same("", "mfnd_opng_dt", "mfnd_end_dt", "dpsi_erlm_cncl_dt", "etf_txtn_type_cd"),
    **same("", "etf_type_cd", "nwst_odst_dvsn_cd", "thco_sbst_pric_chng_dt", "ocr_no"),
    **same("0", "etf_cu_qty", "etf_chas_erng_rt_dbnb", "frnr_psnl_lmt_rt"),
    "sbst_pric": whole(pl.col("before") * 0.7),
    "thco_sbst_pric": whole(pl.col("before") * 0.7),
    "thdt_clpr": whole("price"),
    "bfdy_clpr": whole("before"),
    "clpr_chng_dt": text("date"),
    **same("032604", "std_idst_clsf_cd"),
    **same("전기·전자", "std_idst_clsf_cd_name", "idx_bztp_mcls_cd_name", "idx_bztp_scls_cd_name"),
    **same("시가총액규모대", "idx_bztp_lcls_cd_name"),
    **same("", "issu_istt_cd", "stln_int_rt_dvsn_cd", "lstg_rqsr_issu_istt_cd"),
    **same("", "lstg_rqsr_item_cd", "trst_istt_issu_istt_cd"),
}
_ASKED = ("PDNO", "PRDT_TYPE_CD")

TABLES = (
    Quotation(
        "CTPF1604R",
        STOCKS + "search-info",
        _ASKED,
        (Block("output", stock, PRODUCT, is_list=False),),
    ),
    Quotation(
        "CTPF1002R",
        STOCKS + "search-stock-info",
        _ASKED,
        (Block("output", stock, STOCK, is_list=False),),
    ),
)
