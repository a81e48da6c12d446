"""The Parquet export as lazy frames, with the columns and the order that Postgres gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.store.tables import SIGNAL_KEY, TABLES

_PLACES = {"product": pl.String(), "month": pl.String()}  # folders of the export


def scan_parquet(
    table: str,
    folder: Path,
    *,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
) -> pl.LazyFrame:
    """Return an exported table as a lazy frame: what `scan` gives, of sealed sessions only.

    Filters and columns are pushed into the files. Rows come in the order of the table's key, or of
    `order_by`; `()` asks for no order, which is quickest where everything is read. Raises
    InputError where nothing was exported.
    """
    known = table in TABLES or (table.endswith("_signal") and table.isidentifier())
    if not known or not any((folder / table).glob("**/*.parquet")):
        raise InputError(f"no export of {table!r} in {folder}: make one with `just export`")
    files = folder / table / "**" / f"{table}.parquet"
    frame = pl.scan_parquet(files, hive_partitioning=True, hive_schema=_PLACES)
    if table in TABLES:
        derived, key = TABLES[table].derived, TABLES[table].key
        columns = [name for name in TABLES[table].columns if name not in derived]
        wanted = frame.select(*columns, *derived)
    else:  # another strategy's: its columns are those of the file
        wanted, key = frame.select(pl.exclude(*_PLACES)), SIGNAL_KEY
    order = key if order_by is None else tuple(order_by)
    return wanted.sort(*order, descending=descending) if order else wanted
