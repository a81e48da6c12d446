"""Reading history: from Postgres, and from the Parquet export where that is current."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.history import gaps
from engine.history.gaps import find_gaps
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

        # a mark in the files shows who is read
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


async def test_the_quick_look_finds_what_is_missing_over_all(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, SYMBOLS, *DAYS)
        wanted = pl.DataFrame(
            [(symbol, day) for symbol in SYMBOLS for day in DAYS],
            {"symbol": pl.String, "session": pl.Date},
            orient="row",
        )
        assert (await find_gaps(at.store, wanted, at.clock)).is_empty()
        await at.store.execute("DELETE FROM futures_1m WHERE timestamp >= '2025-09-02 15:34'")
        await at.store.execute("DELETE FROM stocks_1m WHERE timestamp < '2025-09-02'")
        found = await find_gaps(at.store, wanted, at.clock)
        assert sorted(found.select("symbol", "session", "bars").rows()) == [
            ("005930", DAYS[0], 381),
            ("101W09", DAYS[1], 3),
        ]


@pytest.mark.parametrize("share", [0.5, 1.1])
async def test_the_quick_look_passes_over_the_rows_of_others(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(gaps, "_SAMPLE", 100)
    monkeypatch.setattr(gaps, "_NEARLY_ALL", share)
    wanted = pl.DataFrame({"symbol": ["005930", "005930"], "session": DAYS})
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, ["005930"], *DAYS)
        await at.store.execute(
            "INSERT INTO stocks_1m SELECT timestamp, '000660', timeframe, open, high, low, close,"
            " volume, fetched_at, committed_at FROM stocks_1m WHERE timestamp < '2025-09-02 10:00'"
        )
        await at.store.execute(
            "DELETE FROM stocks_1m WHERE symbol = '005930' AND timestamp = '2025-09-01 09:30'"
        )
        condition = await gaps._of_symbols(at.store, "stocks_1m", wanted)
        assert (condition == "true") == (share == 0.5)
        found = await find_gaps(at.store, wanted, at.clock)
        assert found.select("symbol", "session", "bars").rows() == [("005930", DAYS[0], 1)]
