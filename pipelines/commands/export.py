"""`just export`: sealed sessions as Parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engine.clock import WallClock
from engine.store.export import export as write_parquet
from pipelines.commands.options import DatabaseOption, require_folder
from pipelines.console import PlainConsole
from pipelines.databases import open_database, run_with_store
from pipelines.history.session_status import validated_sessions
from pipelines.reports.terminal import print_frame


def export(*, to: Path, database: DatabaseOption = None) -> int:
    """Write the sealed sessions (closed and validated) as Parquet, again only where they changed.

    Parameters
    ----------
    to
        the folder; below it one file for each table, product and month
    """
    require_folder("--to", to)
    with open_database(database) as opened:
        sealed = run_with_store(opened.url, validated_sessions, component="export")
        parts = write_parquet(opened.url, to, sealed)
        now = WallClock().now()
        opened.trade_files.move(opened.url, now.date(), now)
        opened.archive.move(opened.url, now.date(), now)
    if parts.is_empty():
        PlainConsole(stderr=True).print("⚠️ nothing is sealed yet: run `just validate` first")
    print_frame(_readable(parts), "table", f"Parquet below {to}", numbers=["rows"])
    return 0


def _readable(parts: pl.DataFrame) -> pl.DataFrame:
    """Return the parts with rows as people write them, and in words whether a file is new."""
    return parts.with_columns(
        pl.col("rows").map_elements("{:,}".format, pl.String),
        pl.when("written").then(pl.lit("written")).otherwise(pl.lit("as it was")).alias("file"),
    ).drop("written")
