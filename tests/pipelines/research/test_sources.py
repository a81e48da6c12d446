"""The same call reads Postgres or the Parquet export, and gives the same frame."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.errors import InputError
from engine.history.parquet import scan_parquet
from engine.store import Store
from engine.store.export import export
from pipelines import research
from strategies.base import SIGNAL_COLUMNS
from strategies.registry import STRATEGIES
from tests.stamps import stamps_between

DAYS = date(2025, 9, 10), date(2025, 9, 12)


async def fill(store: Store) -> pl.DataFrame:
    """Store three days of two contracts; return them as they are sealed."""
    stamps = stamps_between(["101W09", "101W12"], *DAYS)
    bars = stamps.select(
        pl.col("stamp").alias("timestamp"),
        "symbol",
        *(pl.lit(440.0 + i).alias(price) for i, price in enumerate(("low", "open", "close"))),
        high=pl.lit(443.0),
        volume=pl.int_range(pl.len()),
        fetched_at=pl.lit(datetime(2025, 9, 13)),
        source=pl.lit(schemas.REST),
    )
    await store.merge("futures_1m", schemas.conform(bars, schemas.FUTURES_BARS))
    return stamps.select("symbol", "session").unique()


async def test_postgres_and_parquet_answer_alike(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    export(database_url, tmp_path, await fill(store))
    day = pl.col("timestamp").dt.date() == date(2025, 9, 11)
    queries = [
        lambda frame: frame,
        lambda frame: frame.filter(pl.col("symbol") == "101W12", day).select("timestamp", "volume"),
        lambda frame: frame.sort("symbol", "timestamp").head(7),
        lambda frame: frame.group_by("symbol").agg(pl.col("volume").sum()).sort("symbol"),
    ]
    for query in queries:
        postgres, parquet = (
            query(research.scan("futures_1m", source=source, url=database_url, export=tmp_path))
            for source in ("postgres", "parquet")
        )
        assert_frame_equal(postgres.collect(), parquet.collect(), check_exact=True)


async def test_filters_reach_the_files(store: Store, database_url: str, tmp_path: Path) -> None:
    export(database_url, tmp_path, await fill(store))
    plan = scan_parquet("futures_1m", tmp_path).filter(pl.col("symbol") == "101W12").explain()
    assert 'SELECTION: col("symbol") == "101W12"' in plan


@pytest.mark.parametrize("table", ["futures_1m", "../secrets", "nothing"])
def test_what_was_not_exported_is_said(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no export of"):
        research.scan(table, source="parquet", export=tmp_path)


async def test_each_kind_of_frame_can_be_narrowed(store: Store, database_url: str) -> None:
    await fill(store)
    with pytest.raises(InputError):
        research.scan_signals("dolpha1; DROP TABLE gaps", url=database_url)
    assert research.scan_signals(symbol="101W12", url=database_url).collect().is_empty()
    assert research.scan_chain("202512_KOSPI200", url=database_url).collect().is_empty()
    assert research.scan_summary("202512_KOSPI200", url=database_url).collect().is_empty()
    matrix = research.scan_matrix("202512_KOSPI200", "iv", url=database_url)
    assert matrix.collect_schema().names()[:3] == ["timestamp", "underlying_symbol", "metric_type"]
    assert matrix.collect().is_empty()


async def test_features_are_expressions_on_any_frame(store: Store, database_url: str) -> None:
    await fill(store)
    minutes = research.scan("futures_1m", url=database_url).filter(pl.col("symbol") == "101W12")
    quarters = research.resample(minutes, 15)
    assert {"vwap", "atr", "ub"} <= set(research.dolpha1_features(quarters).collect().columns)
    assert research.dolpha1_signals(minutes).collect().height == 3 * 411
    other = research.strategy_signals(minutes, "opening_range").collect()
    assert set(other["reason"]) == {"range_forming", "none"}
    with pytest.raises(InputError, match="there is no strategy"):
        research.strategy_signals(minutes, "momentum")


def test_the_signals_of_each_strategy_are_read_from_its_table(filled: str) -> None:
    for strategy in STRATEGIES:
        signals = research.scan_signals(strategy, url=filled).collect()
        assert signals.height == 409
        assert set(SIGNAL_COLUMNS.names) < set(signals.columns)
