"""Boards and single quotes of options written out as KIS's text, with KIS's oddities.

They are written for a block of minutes at once: a chain has hundreds of options and a day 420
minutes.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.market import expiries
from engine.market.sessions import Market
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kept import kept_by_owner
from engine.simulator.kis_format import (
    INTRINSIC,
    KOSPI_PER_KOSPI200,
    OFF_THEORETICAL,
    OK_END,
    fixed_text,
    json_rows,
    sign_text,
)
from engine.simulator.summaries import QUOTE_FIELDS

LIMIT = 100  # rows a side; there is no next page (docs/kis.md#option-board)

_PRICE = pl.col("price")
_BEFORE = pl.col("before")
_THEORETICAL = pl.col("theoretical")
_MOVE = _PRICE - _BEFORE
_SIGN = sign_text(_MOVE)
_QUEUE = ((pl.col("strike") * 7) % 90 + 10).cast(pl.Int64).cast(pl.String)
_VOLUME = pl.col("volume").cast(pl.String)
_ZERO = pl.lit("0.00")
_NONE = pl.lit("0")
# unch_prpr is the strike in KOSPI points, not the underlying (docs/kis.md#option-board).
COLUMNS = {
    "acpr": fixed_text(pl.col("strike"), 2),
    "unch_prpr": fixed_text(pl.col("strike") * KOSPI_PER_KOSPI200, 2),
    "optn_shrn_iscd": pl.col("code"),
    "optn_prpr": fixed_text(_PRICE, 2),
    "optn_prdy_vrss": fixed_text(_MOVE, 2),
    "prdy_vrss_sign": _SIGN,
    "optn_prdy_ctrt": fixed_text(_MOVE / _BEFORE * 100, 2),
    "optn_bidp": fixed_text(pl.col("bid"), 2),
    "optn_askp": fixed_text(pl.col("ask"), 2),
    "tmvl_val": fixed_text(_PRICE - INTRINSIC, 2),
    "nmix_sdpr": fixed_text(_BEFORE, 2),
    # some rows' numbers are padded on the left
    "acml_vol": pl.when(pl.col("strike") % 20 == 0)
    .then(_VOLUME.str.pad_start(10))
    .otherwise(_VOLUME),
    "seln_rsqn": _QUEUE,
    "shnu_rsqn": _QUEUE,
    "acml_tr_pbmn": (pl.col("turnover") / 1000).cast(pl.Int64).cast(pl.String),
    "hts_otst_stpl_qty": pl.col("open_interest").cast(pl.String),
    "otst_stpl_qty_icdc": pl.col("open_interest_change").cast(pl.String),
    "delta_val": fixed_text(pl.col("delta"), 4),
    "gama": fixed_text(pl.col("gamma"), 4),
    "vega": fixed_text(pl.col("vega"), 4),
    "theta": fixed_text(pl.col("theta"), 4),
    "rho": fixed_text(pl.col("rho"), 4),
    "hts_ints_vltl": fixed_text(pl.col("iv"), 4),
    "invl_val": fixed_text(INTRINSIC, 2),
    "esdg": fixed_text(_PRICE - _THEORETICAL, 2),
    "dprt": fixed_text(OFF_THEORETICAL, 2),
    "hist_vltl": fixed_text(pl.col("historical"), 4),
    "hts_thpr": fixed_text(_THEORETICAL, 2),
    "optn_oprc": fixed_text(pl.col("opened"), 2),
    "optn_hgpr": fixed_text(pl.col("high"), 2),
    "optn_lwpr": fixed_text(pl.col("low"), 2),
    "optn_mxpr": fixed_text(pl.col("upper_limit"), 2),
    "optn_llam": fixed_text(pl.col("lower_limit"), 2),
    "atm_cls_name": pl.col("atm_class"),
    "rgbf_vrss_icdc": _NONE,
    "total_askp_rsqn": _QUEUE,
    "total_bidp_rsqn": _QUEUE,
    "futs_antc_cnpr": _ZERO,
    "futs_antc_cntg_vrss": _ZERO,
    "antc_cntg_vrss_sign": _NONE,
    "antc_cntg_prdy_ctrt": _ZERO,
}
# A single quote has no bid and ask. `write_quotes` adds what is the same for a whole chain.
QUOTE_COLUMNS = {
    "hts_kor_isnm": pl.format(
        "{} {} {}", "option_type", "maturity", fixed_text(pl.col("strike"), 1)
    ),
    "futs_prpr": COLUMNS["optn_prpr"],
    "futs_prdy_vrss": COLUMNS["optn_prdy_vrss"],
    "prdy_vrss_sign": _SIGN,
    "futs_prdy_clpr": COLUMNS["nmix_sdpr"],
    "futs_prdy_ctrt": COLUMNS["optn_prdy_ctrt"],
    "acml_vol": _VOLUME,
    "acml_tr_pbmn": COLUMNS["acml_tr_pbmn"],
    "hts_otst_stpl_qty": COLUMNS["hts_otst_stpl_qty"],
    "otst_stpl_qty_icdc": COLUMNS["otst_stpl_qty_icdc"],
    "futs_oprc": COLUMNS["optn_oprc"],
    "futs_hgpr": COLUMNS["optn_hgpr"],
    "futs_lwpr": COLUMNS["optn_lwpr"],
    "futs_sdpr": COLUMNS["nmix_sdpr"],
    "futs_mxpr": COLUMNS["optn_mxpr"],
    "futs_llam": COLUMNS["optn_llam"],
    "dprt": COLUMNS["dprt"],
    **{
        name: COLUMNS[name]
        for name in (
            "hts_thpr",
            "delta_val",
            "gama",
            "theta",
            "vega",
            "rho",
            "hist_vltl",
            "hts_ints_vltl",
            "acpr",
        )
    },
}
QUOTED = (*QUOTE_FIELDS[:-1], "hist_vltl", "hts_ints_vltl", "mrkt_basis", "acpr")


@kept_by_owner(4)
def write_quotes(
    exchange: SimulatedExchange,
    series: str,
    maturity: str,
    day: date,
    block: int,
    hours: Market = Market.DERIVATIVES,
) -> list[bytes]:
    """Return output1 of every option's quote in a block: minute by minute, in order of listing."""
    expiry = expiries.last_day(series, maturity)
    shared = {
        "futs_last_tr_date": pl.lit(f"{expiry:%Y%m%d}"),
        "hts_rmnn_dynu": pl.lit(str((expiry - day).days + 1)),
    }
    written = QUOTE_COLUMNS | shared
    columns = {name: written.get(name, _ZERO) for name in QUOTED}
    quoted = exchange.options.block(series, maturity, day, block, hours).with_columns(
        maturity=pl.lit(maturity)
    )
    return json_rows(quoted.select(**columns))


@kept_by_owner(16)
def write_boards(
    exchange: SimulatedExchange, series: str, maturity: str, day: date, block: int
) -> list[bytes]:
    """Return the answer of each minute of a block: calls, then puts, highest strikes first."""
    count = exchange.options.day(series, maturity, day).listed.height
    rank = (pl.int_range(pl.len()) % count) % (count // 2)  # a side is half of the listing
    shown = exchange.options.block(series, maturity, day, block).filter(rank < LIMIT)
    rows, side = json_rows(shown.select(**COLUMNS)), min(LIMIT, count // 2)
    return [
        b'{"output1":[%b],"output2":[%b],%b'
        % (
            b",".join(rows[first : first + side]),
            b",".join(rows[first + side : first + 2 * side]),
            OK_END,
        )
        for first in range(0, len(rows), 2 * side)
    ]
