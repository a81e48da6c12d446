"""What KIS writes about a book: prices and sizes by level, the fields of each TR in its order."""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.market.products import Ticks
from engine.simulator.kis_format import exact_text
from engine.simulator.market.dice import uniforms
from engine.simulator.market.ticks import next_price, previous_price
from engine.simulator.quotations.table import Columns, same, text, whole

SIDES = ("ask", "bid")
DERIVATIVE_LEVELS, STOCK_LEVELS = 5, 10
LARGEST = 120  # contracts or shares that wait at a level beyond the best


def with_levels(rows: pl.DataFrame, ticks: Ticks, levels: int, key: object) -> pl.DataFrame:
    """Add columns ask1, bid1, ask_size1, …: the best level as after the trade, others behind it.

    A bid below the first tick is 0 with size 0, which is how KIS writes an empty level.
    """
    number = rows["day_volume"].to_numpy()
    step = {"ask": next_price, "bid": previous_price}
    columns: dict[str, pl.Series] = {}
    for side in SIDES:
        best, size = rows[side].to_numpy(), rows[f"{side}_size"].to_numpy()
        for level in range(1, levels + 1):
            price = best if level == 1 else step[side](best, ticks, level - 1)
            drawn = 1 + np.floor(LARGEST * uniforms((key, side, level), number)).astype("i8")
            waiting = np.where(price > 0, size if level == 1 else drawn, 0)
            columns[f"{side}{level}"] = pl.Series(price)
            columns[f"{side}_size{level}"] = pl.Series(waiting)
    return rows.with_columns(**columns)


def _levels(pattern: str, column: str, levels: int, decimals: int | None = None) -> Columns:
    """Return a field for each level, whose number is appended to `pattern` and `column`."""
    return {
        f"{pattern}{n}": whole(f"{column}{n}")
        if decimals is None
        else exact_text(pl.col(f"{column}{n}"), decimals)
        for n in range(1, levels + 1)
    }


def _orders(field: str, column: str, levels: int) -> Columns:
    """Return how many orders wait at each level: one for two contracts, roughly."""
    return {f"{field}{n}": whole((pl.col(f"{column}{n}") + 1) // 2) for n in range(1, levels + 1)}


def _total(side: str, levels: int) -> pl.Expr:
    return pl.sum_horizontal(f"{side}_size{n}" for n in range(1, levels + 1))


def _total_orders(side: str, levels: int) -> pl.Expr:
    return pl.sum_horizontal((pl.col(f"{side}_size{n}") + 1) // 2 for n in range(1, levels + 1))


def _derivative_book(prefix: str) -> Columns:
    levels = DERIVATIVE_LEVELS
    return {
        f"{prefix}_SHRN_ISCD": text("symbol"),
        "BSOP_HOUR": text("hour"),
        **_levels(f"{prefix}_ASKP", "ask", levels, 2),
        **_levels(f"{prefix}_BIDP", "bid", levels, 2),
        **_orders("ASKP_CSNU", "ask_size", levels),
        **_orders("BIDP_CSNU", "bid_size", levels),
        **_levels("ASKP_RSQN", "ask_size", levels),
        **_levels("BIDP_RSQN", "bid_size", levels),
        "TOTAL_ASKP_CSNU": whole(_total_orders("ask", levels)),
        "TOTAL_BIDP_CSNU": whole(_total_orders("bid", levels)),
        "TOTAL_ASKP_RSQN": whole(_total("ask", levels)),
        "TOTAL_BIDP_RSQN": whole(_total("bid", levels)),
        **same("0", "TOTAL_ASKP_RSQN_ICDC", "TOTAL_BIDP_RSQN_ICDC"),
    }


FUTURE_BOOK = _derivative_book("FUTS")
OPTION_BOOK = _derivative_book("OPTN")
STOCK_BOOK: Columns = {
    "MKSC_SHRN_ISCD": text("symbol"),
    "BSOP_HOUR": text("hour"),
    "HOUR_CLS_CODE": pl.lit("0"),
    **_levels("ASKP", "ask", STOCK_LEVELS, 0),
    **_levels("BIDP", "bid", STOCK_LEVELS, 0),
    **_levels("ASKP_RSQN", "ask_size", STOCK_LEVELS),
    **_levels("BIDP_RSQN", "bid_size", STOCK_LEVELS),
    "TOTAL_ASKP_RSQN": whole(_total("ask", STOCK_LEVELS)),
    "TOTAL_BIDP_RSQN": whole(_total("bid", STOCK_LEVELS)),
    **same("0", "OVTM_TOTAL_ASKP_RSQN", "OVTM_TOTAL_BIDP_RSQN"),
    **same("0", "ANTC_CNPR", "ANTC_CNQN", "ANTC_VOL", "ANTC_CNTG_VRSS"),
    "ANTC_CNTG_VRSS_SIGN": pl.lit("3"),
    "ANTC_CNTG_PRDY_CTRT": pl.lit("0.00"),
    "ACML_VOL": whole("day_volume"),
    **same("0", "TOTAL_ASKP_RSQN_ICDC", "TOTAL_BIDP_RSQN_ICDC"),
    **same("0", "OVTM_TOTAL_ASKP_ICDC", "OVTM_TOTAL_BIDP_ICDC"),
    "STCK_DEAL_CLS_CODE": pl.lit(""),
}
