"""The page on the lake: each of its pieces runs, and all engines say the same."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from engine import schemas
from engine.store.archive import FILE_SCHEMA, FRAME, file_of
from tests.paths import ROOT

PAGE = ROOT / "docs" / "lake.md"
SYMBOLS = ["000660", "005930", "035720"]


def piece(engine: str) -> str:
    """Return the code below a heading of the page."""
    section = PAGE.read_text("utf-8").split(f"\n## {engine}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """A small lake below the folder in which a piece runs; return what it ought to say."""
    monkeypatch.chdir(tmp_path)
    start = datetime(2026, 9, 1, 9, 1)
    stamps = pl.datetime_range(start, start.replace(hour=15), "1m", eager=True)
    bars = pl.DataFrame({"symbol": SYMBOLS}).join(
        pl.DataFrame({"timestamp": stamps.cast(pl.Datetime("us"))}), how="cross"
    )
    n = pl.int_range(pl.len())
    bars = bars.with_columns(
        timeframe=pl.lit("1m"),
        open=50_000.0 + n,
        high=50_100.0 + n,
        low=49_900.0 + n,
        close=50_050.0 + n,
        volume=n,
        fetched_at="timestamp",
        source=pl.lit(schemas.REST),
        confirmed_at=pl.lit(None),
        committed_at="timestamp",
    )
    file = file_of(Path("lake"), date(2026, 9, 1))
    file.parent.mkdir(parents=True)
    complete = bars.select(pl.col(name).cast(kind) for name, kind in FRAME.items())
    pl.DataFrame(schemas.conform(complete, FILE_SCHEMA)).write_parquet(file)
    return (
        bars.group_by("symbol")
        .agg(pl.col("low").min(), pl.col("high").max(), pl.col("volume").sum())
        .sort("symbol")
    )


def printed(code: str) -> pl.DataFrame:
    shown: list[pl.DataFrame] = []
    exec(compile(code, str(PAGE), "exec"), {"print": shown.append, "__name__": "lake"})  # noqa: S102
    (frame,) = shown
    return frame


@pytest.mark.parametrize("engine", ["DuckDB", "Polars"])
def test_each_engine_reads_the_lake(lake: pl.DataFrame, engine: str) -> None:
    found = printed(piece(engine))
    assert found.select(pl.col(name).cast(kind) for name, kind in lake.schema.items()).equals(lake)


@pytest.mark.long
def test_ray_reads_the_lake_with_two_workers(
    lake: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    # Workers stand elsewhere: on a cluster a lake has an address that all of them know.
    code = piece("Ray").replace('"lake/', f'"{tmp_path}/lake/')
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    assert printed(code).equals(lake)
