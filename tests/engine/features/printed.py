"""The option matrix as a trader's board: calls left, puts right, ATM in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from engine.schemas import METRICS

DECIMALS = {
    "iv": 2,
    "delta": 3,
    "gamma": 5,
    "vega": 3,
    "theta": 3,
    "rho": 3,
    "price": 2,
    "volume": 0,
    "open_interest": 0,
}
_SNAPSHOT = ["timestamp", "underlying_symbol"]
_NOTHING = "·"
_LEVEL = "calls · puts"


def render_matrix(cells: pl.DataFrame, metrics: Sequence[str] = METRICS) -> str:
    """Return OPTION_MATRIX rows as text, one block a snapshot, to be read in a wide terminal.

    Each block has a line per strike, the highest first; the metrics follow from the middle outwards
    in their order, rounded for the eye. A metric without rows is left out, NULL is a dot.
    """
    blocks = cells.partition_by(_SNAPSHOT, maintain_order=True)
    return "\n\n".join(_block(block, metrics) for block in blocks)


def _block(cells: pl.DataFrame, metrics: Sequence[str]) -> str:
    shown = [metric for metric in metrics if metric in cells["metric_type"]]
    by_metric = {metric: cells.filter(metric_type=metric) for metric in shown}
    calls = [name for name in cells.columns if name.startswith("c_")][::-1]
    puts = [name for name in cells.columns if name.startswith("p_")]
    levels = pl.Series(
        _LEVEL, [f"{call[2:]} · {put[2:]}" for call, put in zip(calls, puts, strict=True)]
    )
    left = [_column(by_metric[metric], calls, metric) for metric in reversed(shown)]
    right = [_column(by_metric[metric], puts, metric).alias(f"{metric} ") for metric in shown]
    moment, symbol = cells.select(_SNAPSHOT).row(0)
    return f"{symbol} {moment:%Y-%m-%d %H:%M}\n{_table(pl.DataFrame([*left, levels, *right]))}"


def _column(cells: pl.DataFrame, columns: list[str], metric: str) -> pl.Series:
    values = cells.select(columns).to_numpy()[0]
    digits = DECIMALS[metric.removeprefix("model_")]
    text = np.char.mod(f"%.{digits}f", np.nan_to_num(values).round(digits) + 0.0)  # no -0.00
    return pl.Series(metric, np.where(np.isnan(values), _NOTHING, text))


def _table(board: pl.DataFrame) -> str:
    with pl.Config(
        tbl_formatting="NOTHING",
        tbl_cols=-1,
        tbl_rows=-1,
        tbl_width_chars=1000,
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_cell_alignment="RIGHT",
        fmt_str_lengths=40,
    ):
        lines = str(board).splitlines()
    return "\n".join(line.rstrip() for line in lines)
