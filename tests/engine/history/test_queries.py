"""Queries read Postgres, or the Parquet export of a table where that is current."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from engine.history.queries import read_bars
from engine.store.export import copies, export
from pipelines.history.backfill import backfill
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import validate
from tests.pipelines.simulated import desk

EVENING = datetime(2025, 9, 2, 18)
DAYS = date(2025, 9, 1), date(2025, 9, 2)
SYMBOLS = ["101W09", "005930"]


async def test_a_current_export_is_read_instead_of_the_database(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "parquet"
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, SYMBOLS, *DAYS)
        from_database = await read_bars(at.store, SYMBOLS, *DAYS)
        before = await validate(at.store, at.clock, [])
        export(database_url, folder, await validated_sessions(at.store))
        known = await copies(at.store, folder)
        assert known["current"].all()

        # a mark in the files shows that they are read
        for path in known.filter(pl.col("table") == "futures_1m")["path"]:
            pl.read_parquet(path, hive_partitioning=False).with_columns(volume=-1).write_parquet(
                path
            )
        marked = await read_bars(at.store, SYMBOLS, *DAYS, known)
        assert marked.filter(pl.col("symbol") == "101W09")["volume"].unique().to_list() == [-1]
        plain = marked.filter(pl.col("symbol") == "005930")
        assert_frame_equal(
            plain, from_database.filter(pl.col("symbol") == "005930"), check_row_order=False
        )
        found = await validate(at.store, at.clock, [], copies=known)
        assert (before.exit_code, set(found.findings["check"])) == (0, {"volume"})


async def test_an_export_that_is_behind_is_not_read(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, SYMBOLS, DAYS[0], DAYS[0])
        await validate(at.store, at.clock, [])
        export(database_url, folder, await validated_sessions(at.store))
        await backfill(at.context, SYMBOLS, *DAYS)
        known = await copies(at.store, folder)
        assert not known.filter(pl.col("table") == "futures_1m")["current"].any()
        assert (await read_bars(at.store, SYMBOLS, *DAYS, known)).height == 2 * (411 + 381)
