"""The Parquet export as lazy frames, with the columns and the order that Postgres gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.store.tables import TABLES

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
    if table not in TABLES or not any((folder / table).glob("**/*.parquet")):
        raise InputError(f"no export of {table!r} in {folder}: make one with `just export`")
    columns = [name for name in TABLES[table].columns if name not in TABLES[table].derived]
    files = folder / table / "**" / f"{table}.parquet"
    frame = pl.scan_parquet(files, hive_partitioning=True, hive_schema=_PLACES)
    wanted = frame.select(*columns, *TABLES[table].derived)
    order = TABLES[table].key if order_by is None else tuple(order_by)
    return wanted.sort(*order, descending=descending) if order else wanted
