"""The Parquet export as lazy frames, with the columns and the order that Postgres gives."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.store.tables import COMMITTED_AT, CONFIRMED_AT, SIGNAL_KEY, SOURCE, TABLES

_PARTITIONS = {"product": pl.String(), "month": pl.String()}  # in the names of folders


def scan_parquet(
    table: str,
    folder: Path,
    *,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
) -> pl.LazyFrame:
    """Return an exported table as a lazy frame: what `scan` returns, but only sealed sessions.

    Filters and columns are pushed down to the files. Rows come in the order of the table's key, or
    of `order_by`; `()` asks for no order, which is fastest if everything is read. Raises InputError
    if nothing was exported.
    """
    known = table in TABLES or (table.endswith("_signal") and table.isidentifier())
    if not known or not any((folder / table).glob("**/*.parquet")):
        raise InputError(f"no export of {table!r} in {folder}: make one with `just export`")
    files = Path(glob.escape(str(folder / table)), "**", f"{table}.parquet")
    stored = _schema(table) if table in TABLES else None
    frame = pl.scan_parquet(
        files,
        hive_partitioning=True,
        hive_schema=_PARTITIONS,
        schema=stored,
        missing_columns="insert" if stored else "raise",  # files of an earlier release
    )
    if table in TABLES:
        key = TABLES[table].key
        derived = TABLES[table].derived
        late = [SOURCE, CONFIRMED_AT] if TABLES[table].two_sources else []  # as in the database
        columns = [name for name in TABLES[table].columns if name not in (*derived, *late)]
        known_before = [
            pl.col(name).fill_null(value) for name, value in TABLES[table].added.items() if value
        ]
        wanted = frame.with_columns(known_before).select(*columns, *derived, *late)
    else:  # the signals of a strategy: their columns are those of the file
        key = SIGNAL_KEY
        wanted = frame.select(pl.exclude(*_PARTITIONS))
    order = key if order_by is None else tuple(order_by)
    return wanted.sort(*order, descending=descending) if order else wanted


def _schema(table: str) -> pl.Schema:
    """Return the columns of an export as it is written today."""
    moments = [name for name in TABLES[table].columns if name in (CONFIRMED_AT, COMMITTED_AT)]
    return pl.Schema(
        {**pl.Schema(TABLES[table].schema), **dict.fromkeys(moments, pl.Datetime("us"))}
    )
