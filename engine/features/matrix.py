"""The option matrix: a chain laid out by moneyness, one row per snapshot and metric.

The same expressions serve one snapshot and a million, of any number of series at once.
"""

from __future__ import annotations

import polars as pl

from engine.schemas import LEVELS, METRICS, MODEL_METRICS, level_columns

SNAPSHOT = ("timestamp", "underlying_symbol")


def matrix(chain: pl.LazyFrame, levels: int = LEVELS) -> pl.LazyFrame:
    """Lay chains out by moneyness: OPTION_CHAIN rows in, OPTION_MATRIX rows out.

    Out comes one row per (timestamp, underlying_symbol, metric_type), ordered so: metrics in the
    order of METRICS and, where the chain has their columns, MODEL_METRICS. The values are floats
    `c_itm10 … c_atm … c_otm10, p_itm10 … p_otm10` in the units of the chain, then the snapshot's
    latest `fetched_at`.

    ATM is the listed strike nearest to `underlying_price`, the lower one of two as near. Number n
    is the n-th listed strike from it: below for ITM calls and OTM puts, above for OTM calls and ITM
    puts. A strike is listed if any row of the snapshot has it; where its value is NULL or its row
    missing, the cell is NULL and no other strike moves up. A cell that two rows claim is NULL.
    """
    names = chain.collect_schema().names()
    metrics = [name for name in (*METRICS, *MODEL_METRICS) if name in names]
    columns = level_columns(levels)
    slot, cells = _slot(levels).cast(pl.Int32), pl.int_range(len(columns), dtype=pl.Int32)
    first, end = (slot.sort().search_sorted(cells, side=side) for side in ("left", "right"))
    taken_once = pl.when(end - first == 1).then(first)
    metric_of_row = pl.int_range(pl.len() * len(metrics)) % len(metrics)
    snapshot_of_row = pl.int_range(pl.len() * len(metrics)) // len(metrics)
    laid_out = (
        chain.group_by(SNAPSHOT)
        .agg(
            pl.col("fetched_at").max(),
            pl.col(metrics).cast(pl.Float64),
            row=slot.arg_sort(),
            cell=taken_once,
        )
        .sort(SNAPSHOT)
        .with_columns(cell=pl.col("row").list.gather(pl.col("cell"), null_on_oob=True))
    )
    by_metric = (
        pl.col(name).list.gather(pl.col("cell")).list.to_array(len(columns)) for name in metrics
    )
    return (
        laid_out.select(*SNAPSHOT, "fetched_at", values=pl.concat_arr(*by_metric))
        .select(
            pl.col(SNAPSHOT).gather(snapshot_of_row),
            pl.lit(pl.Series(metrics)).gather(metric_of_row).alias("metric_type"),
            pl.col("values").explode().reshape((-1, len(columns))).arr.to_struct(fields=columns),
            pl.col("fetched_at").gather(snapshot_of_row),
        )
        .unnest("values")
    )


def _slot(levels: int) -> pl.Expr:
    """Return, within a snapshot, the number of the column that a row belongs to, or NULL."""
    distance = (pl.col("strike") - pl.col("underlying_price")).abs()
    atm = pl.col("strike").filter(distance == distance.min()).min()
    rank = pl.col("strike").rank("dense").cast(pl.Int64)
    above = rank - rank.filter(pl.col("strike") == atm).first()
    call = pl.when(pl.col("option_type") == "C").then(levels + above)
    place = call.when(pl.col("option_type") == "P").then(3 * levels + 1 - above)
    return pl.when(above.abs() <= levels).then(place)
