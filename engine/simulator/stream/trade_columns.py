"""What KIS writes about a trade: the fields of each TR in its order, each as an expression.

The expressions read the columns of `day_rows`. Fields that the simulated market does not know have
one value, that of real frames (docs/kis.md#websocket).
"""

from __future__ import annotations

import polars as pl

from engine.simulator.kis_format import INTRINSIC, OFF_THEORETICAL, exact_text, fixed_text
from engine.simulator.quotations.table import (
    MOVE,
    PERCENT,
    SIGN,
    Columns,
    cents,
    same,
    share,
    sign,
    text,
    whole,
)

_PRICE = pl.col("price")
_TRADED = pl.col("day_bought") + pl.col("day_sold")  # without auctions, whose trades have no side
_DYNAMIC_LIMIT = 0.01  # of the last price, up and down (docs/kis.md#websocket)


def _points(value: str | pl.Expr) -> pl.Expr:
    return exact_text(pl.col(value) if isinstance(value, str) else value, 2)


def _won(value: str) -> pl.Expr:
    return exact_text(pl.col(value), 0)


def _against(reference: str, hour: str, name: str, vs: str) -> Columns:
    """Return the three fields that compare the price with the day's open, high or low."""
    difference = _PRICE - pl.col(reference)
    move = whole(difference) if vs == "PRPR" else cents(difference)
    return {
        f"{name}_HOUR": pl.lit(hour) if hour == "000000" else pl.col(hour),
        f"{name}_VRSS_PRPR_SIGN": sign(difference),
        f"{name}_VRSS_{vs}": move,
    }


_COUNTS: Columns = {
    "SELN_CNTG_CSNU": whole("sold_count"),
    "SHNU_CNTG_CSNU": whole("bought_count"),
    "NTBY_CNTG_CSNU": whole(pl.col("bought_count") - pl.col("sold_count")),
}
_SUMS: Columns = {"SELN_CNTG_SMTN": whole("day_sold"), "SHNU_CNTG_SMTN": whole("day_bought")}
_RATE: Columns = {"SHNU_RATE": fixed_text((pl.col("day_bought") / _TRADED).fill_nan(0.0), 2)}
_STRENGTH: Columns = {"CTTR": share("day_bought", "day_sold")}
_TOTALS: Columns = {
    "TOTAL_ASKP_RSQN": whole(pl.col("ask_size") * 5 + 20),
    "TOTAL_BIDP_RSQN": whole(pl.col("bid_size") * 5 + 20),
}
_INTEREST: Columns = {
    "HTS_OTST_STPL_QTY": whole("open_interest"),
    "OTST_STPL_QTY_ICDC": whole(pl.col("open_interest") - pl.col("interest_before")),
}
_VOLUMES: Columns = {
    "LAST_CNQN": whole("size"),
    "ACML_VOL": whole("day_volume"),
    "ACML_TR_PBMN": whole(pl.col("day_turnover") // 1_000),  # thousand KRW
}
_OF_DAY_BEFORE: Columns = {"PRDY_VOL_VRSS_ACML_VOL_RATE": share("day_volume", "volume_before")}
_SIZES: Columns = {"ASKP_RSQN1": whole("ask_size"), "BIDP_RSQN1": whole("bid_size")}
_POINTS_OF_DAY: Columns = {
    **_against("open", "000000", "OPRC", "NMIX_PRPR"),
    **_against("high", "000000", "HGPR", "NMIX_PRPR"),
    **_against("low", "000000", "LWPR", "NMIX_PRPR"),
}


def _dynamic_limit(direction: int) -> pl.Expr:
    ticks = (_PRICE * (1 + direction * _DYNAMIC_LIMIT) / pl.col("tick")).round(6)
    return cents((ticks.floor() if direction > 0 else ticks.ceil()) * pl.col("tick"))


_DYNAMIC_LIMITS: Columns = {"DYNM_MXPR": _dynamic_limit(1), "DYNM_LLAM": _dynamic_limit(-1)}
_LIMIT_STATE: Columns = same("2", "DYNM_PRC_LIMT_YN")

_NIGHT_FUTURE_HEAD: Columns = {
    "FUTS_SHRN_ISCD": text("symbol"),
    "BSOP_HOUR": text("hour"),
    "FUTS_PRDY_VRSS": cents(MOVE),
    "PRDY_VRSS_SIGN": SIGN,
    "FUTS_PRDY_CTRT": PERCENT,
    "FUTS_PRPR": _points("price"),
    "FUTS_OPRC": _points("open"),
    "FUTS_HGPR": _points("high"),
    "FUTS_LWPR": _points("low"),
    **_VOLUMES,
    "HTS_THPR": _points("price"),
    "MRKT_BASIS": cents("basis"),
    **same("0.00", "DPRT", "NMSC_FCTN_STPL_PRC", "FMSC_FCTN_STPL_PRC", "SPEAD_PRC"),
    **_INTEREST,
    **_POINTS_OF_DAY,
    **_RATE,
    **_STRENGTH,
    "ESDG": pl.lit("0.00"),
    "OTST_STPL_RGBF_QTY_ICDC": pl.lit("0"),
    "THPR_BASIS": cents("basis"),
    "FUTS_ASKP1": _points("ask"),
    "FUTS_BIDP1": _points("bid"),
    **_SIZES,
    **_COUNTS,
    **_SUMS,
    **_TOTALS,
    **_OF_DAY_BEFORE,
}
FUTURE_TRADE: Columns = {
    **_NIGHT_FUTURE_HEAD,
    "DSCS_BLTR_ACML_QTY": pl.lit("0"),
    **_DYNAMIC_LIMITS,
    **_LIMIT_STATE,
}
NIGHT_FUTURE_TRADE: Columns = {**_NIGHT_FUTURE_HEAD, **_DYNAMIC_LIMITS, **_LIMIT_STATE}

_NIGHT_OPTION_HEAD: Columns = {
    "OPTN_SHRN_ISCD": text("symbol"),
    "BSOP_HOUR": text("hour"),
    "OPTN_PRPR": _points("price"),
    "PRDY_VRSS_SIGN": SIGN,
    "OPTN_PRDY_VRSS": cents(MOVE),
    "PRDY_CTRT": PERCENT,
    "OPTN_OPRC": _points("open"),
    "OPTN_HGPR": _points("high"),
    "OPTN_LWPR": _points("low"),
    **_VOLUMES,
    "HTS_THPR": cents("theoretical"),
    **_INTEREST,
    **_POINTS_OF_DAY,
    **_RATE,
    "PRMM_VAL": _points("price"),
    "INVL_VAL": cents(INTRINSIC),
    "TMVL_VAL": cents(_PRICE - INTRINSIC),
    "DELTA": fixed_text(pl.col("delta"), 4),
    "GAMA": fixed_text(pl.col("gamma"), 4),
    "VEGA": fixed_text(pl.col("vega"), 4),
    "THETA": fixed_text(pl.col("theta"), 4),
    "RHO": fixed_text(pl.col("rho"), 4),
    "HTS_INTS_VLTL": fixed_text(pl.col("iv"), 4),
    "ESDG": cents(_PRICE - pl.col("theoretical")),
    "OTST_STPL_RGBF_QTY_ICDC": pl.lit("0"),
    "THPR_BASIS": pl.lit("0.00"),
    "UNAS_HIST_VLTL": fixed_text(pl.col("historical"), 4),
    **_STRENGTH,
    "DPRT": cents(OFF_THEORETICAL),
    "MRKT_BASIS": pl.lit("0.00"),
    "OPTN_ASKP1": _points("ask"),
    "OPTN_BIDP1": _points("bid"),
    **_SIZES,
    **_COUNTS,
    **_SUMS,
    **_TOTALS,
    **_OF_DAY_BEFORE,
}
_HIGHEST: Columns = {"DYNM_MXPR": cents("upper_limit")}
_LOWEST: Columns = {"DYNM_LLAM": cents("lower_limit")}
OPTION_TRADE: Columns = {
    **_NIGHT_OPTION_HEAD,
    "AVRG_VLTL": fixed_text(pl.col("iv"), 4),
    "DSCS_LRQN_VOL": pl.lit("0"),
    **_HIGHEST,
    **_LOWEST,
    **_LIMIT_STATE,
}
NIGHT_OPTION_TRADE: Columns = {**_NIGHT_OPTION_HEAD, **_HIGHEST, **_LIMIT_STATE, **_LOWEST}

STOCK_TRADE: Columns = {
    "MKSC_SHRN_ISCD": text("symbol"),
    "STCK_CNTG_HOUR": text("hour"),
    "STCK_PRPR": _won("price"),
    "PRDY_VRSS_SIGN": SIGN,
    "PRDY_VRSS": whole(MOVE),
    "PRDY_CTRT": PERCENT,
    "WGHN_AVRG_STCK_PRC": cents(pl.col("day_turnover") / pl.col("day_volume")),
    "STCK_OPRC": _won("open"),
    "STCK_HGPR": _won("high"),
    "STCK_LWPR": _won("low"),
    "ASKP1": _won("ask"),
    "BIDP1": _won("bid"),
    "CNTG_VOL": whole("size"),
    "ACML_VOL": whole("day_volume"),
    "ACML_TR_PBMN": whole("day_turnover"),
    **_COUNTS,
    **_STRENGTH,
    **_SUMS,
    "CCLD_DVSN": pl.col("side").replace_strict({"B": "1", "S": "5"}, default="3"),
    **_RATE,
    **_OF_DAY_BEFORE,
    **_against("open", "open_hour", "OPRC", "PRPR"),
    **_against("high", "high_hour", "HGPR", "PRPR"),
    **_against("low", "low_hour", "LWPR", "PRPR"),
    "BSOP_DATE": text("date"),
    "NEW_MKOP_CLS_CODE": pl.lit("20"),
    "TRHT_YN": pl.lit("N"),
    **_SIZES,
    **_TOTALS,
    "VOL_TNRT": pl.lit("0.00"),
    "PRDY_SMNS_HOUR_ACML_VOL": pl.lit("0"),
    "PRDY_SMNS_HOUR_ACML_VOL_RATE": pl.lit("0.00"),
    "HOUR_CLS_CODE": pl.lit("0"),
    "MRKT_TRTM_CLS_CODE": pl.lit(""),
    "VI_STND_PRC": _won("open"),
}
