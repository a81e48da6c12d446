"""The option matrix: a chain laid out by moneyness, one row per snapshot and metric.

The same expressions serve one snapshot and a million, of any number of series at once. This shape
is the fastest of those tried: one window finds the level of every row, rows far from the money are
dropped, each snapshot becomes one row of lists, and each column's value is picked from the lists by
its position.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features.chain import (
    IS_CALL,
    IS_CROSSED,
    IS_PUT,
    IS_SOUND,
    SNAPSHOT,
    snapshot_findings,
    snapshot_measures,
    strikes_above_atm,
)
from engine.schemas import LEVELS, METRICS, MODEL_METRICS, level_columns

_NEEDED = (*SNAPSHOT, "forward", "strike", "option_type", "is_sound", "is_crossed")
_FROM_QUOTES = ("price", "iv", *MODEL_METRICS)  # what a crossed quote makes worthless


def matrix(chain: pl.LazyFrame, levels: int = LEVELS) -> pl.LazyFrame:
    """Return OPTION_MATRIX of a chain with its forward: its snapshots laid out by moneyness.

    One row per (timestamp, underlying_symbol, metric_type), sorted by them: metrics in the order of
    METRICS, then MODEL_METRICS if the chain has their columns (`with_model_greeks`). The values are
    floats `c_itm10 … c_atm … c_otm10, p_itm10 … p_otm10` in the units of the chain, then the
    snapshot's latest `fetched_at`.

    ATM is the listed strike nearest to the `forward`, the lower of two equally near. Number n
    is the n-th listed strike from it: below for ITM calls and OTM puts, above for OTM calls and ITM
    puts. A strike is listed if any row of the snapshot has it; where its value is NULL or its row
    missing, the cell is NULL and no other strike moves up. Rows and snapshots that cannot be
    trusted have NULL cells (`engine.features.chain`).
    """
    names = chain.collect_schema().names()
    metrics = [*METRICS, *(name for name in MODEL_METRICS if name in names)]
    near = _near_the_money(chain, metrics, levels)
    return _a_row_each_metric(_a_list_each_metric(near, metrics, levels), metrics, levels)


def _near_the_money(chain: pl.LazyFrame, metrics: list[str], levels: int) -> pl.LazyFrame:
    """Return the rows within `levels` of ATM with `slot`, the number of their column, sorted by it.

    Rows of a snapshot without ATM are kept, so that the snapshot is not lost. A row without a
    column has the number after the last one.
    """
    return (
        chain.select(*_NEEDED, *metrics, *_of_snapshot())
        .filter(_is_within(levels))
        .select(*SNAPSHOT, "fetched_at", "forward", *map(_value, metrics), *_slots(levels))
        .sort("slot")
    )


@cache
def _of_snapshot() -> tuple[pl.Expr, pl.Expr]:
    above = strikes_above_atm().over(SNAPSHOT)
    return pl.col("fetched_at").max().over(SNAPSHOT), above.alias("above")


@cache
def _is_within(levels: int) -> pl.Expr:
    return (pl.col("above").abs() <= levels).fill_null(value=True)


@cache
def _slots(levels: int) -> tuple[pl.Expr, ...]:
    above = pl.col("above")
    outside = 4 * levels + 2
    call = pl.when(IS_CALL).then(levels + above)
    slot = call.when(IS_PUT).then(3 * levels + 1 - above)
    sound = pl.when(IS_SOUND).then(slot).fill_null(outside).cast(pl.Int32)
    return pl.col("strike").alias("near_strike"), sound.alias("slot")


@cache
def _value(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(~IS_CROSSED).then(value) if name in _FROM_QUOTES else value


def _a_list_each_metric(near: pl.LazyFrame, metrics: list[str], levels: int) -> pl.LazyFrame:
    """Return one row a snapshot: its lists of values, and `at`, each column's position in them.

    That is NULL for a column with no row or with more than one. `usable` says of a snapshot whether
    it has none of `snapshot_findings`.
    """
    lists = near.group_by(SNAPSHOT).agg(
        pl.col("fetched_at").first(), *metrics, **_positions_and_measures(levels)
    )
    return lists.with_columns(usable=_usable()).sort(SNAPSHOT)


@cache
def _positions_and_measures(levels: int) -> dict[str, pl.Expr]:
    width = 2 * levels + 1
    slot = pl.col("slot")
    columns = pl.int_range(2 * width, dtype=pl.Int32)
    first, end = (slot.search_sorted(columns, side=side) for side in ("left", "right"))
    out = pl.when(slot < 2 * width).then(slot % width)
    price = pl.when(out.is_not_null()).then("price")
    return {"at": pl.when(end - first == 1).then(first), **snapshot_measures(out, price)}


@cache
def _usable() -> pl.Expr:
    return ~pl.any_horizontal(snapshot_findings().values())


def _a_row_each_metric(snapshots: pl.LazyFrame, metrics: list[str], levels: int) -> pl.LazyFrame:
    names = {"variable_name": "metric_type", "value_name": "cells"}
    cells = (_cells_in_order(name, levels) for name in metrics)
    return (
        snapshots.select(*SNAPSHOT, "fetched_at", "usable", *cells)
        .with_row_index("snapshot")
        .unpivot(metrics, index=["snapshot", *SNAPSHOT, "fetched_at", "usable"], **names)
        .sort("snapshot", maintain_order=True)  # metrics stay in their order
        .select(*SNAPSHOT, "metric_type", _cells(levels), "fetched_at")
        .unnest("cells")
    )


@cache
def _cells_in_order(name: str, levels: int) -> pl.Expr:
    return pl.col(name).list.gather(pl.col("at")).list.to_array(4 * levels + 2)


@cache
def _cells(levels: int) -> pl.Expr:
    columns = level_columns(levels)
    value = pl.col("cells").explode()
    cells = pl.when(value.is_finite()).then(value).reshape((-1, len(columns)))
    return pl.when("usable").then(cells.arr.to_struct(fields=columns)).alias("cells")
