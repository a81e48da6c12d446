"""The same call reads Postgres or the Parquet export, and gives the same frame."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.errors import InputError
from engine.history.parquet import scan_parquet
from engine.store import Store
from engine.store.export import export
from pipelines import research
from pipelines.reports.environment import READER_URL
from pipelines.research import sources
from pipelines.research.names import of_chain
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
    matrix = research.scan_matrix(metric="iv", url=database_url)
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


@pytest.mark.parametrize(
    ("text", "chains"),
    [
        ("202612_KOSPI200", ["202612_KOSPI200"]),
        ("202701", ["202701_KOSPI200"]),
        ("KOSPI200:202701", ["202701_KOSPI200"]),
        ("front", ["202612_KOSPI200"]),
        ("KOSPI200", ["202612_KOSPI200"]),
        (None, ["202612_KOSPI200", "202701_KOSPI200"]),
    ],
)
def test_a_chain_is_named_as_in_the_settings(
    text: str | None, chains: list[str], filled: str, tmp_path: Path
) -> None:
    """`front` is the nearest maturity of each day."""
    for read in (research.scan_chain, research.scan_matrix, research.scan_summary):
        found = read(text, url=filled).select(pl.col("underlying_symbol").unique().sort())
        assert found.collect().to_series().to_list() == chains
    table = tmp_path / "option_summary"
    table.mkdir()
    research.scan_summary(url=filled).collect().write_parquet(table / "option_summary.parquet")
    files = research.scan_summary(text, source="parquet", export=str(tmp_path))
    found = files.select(pl.col("underlying_symbol").unique().sort())
    assert found.collect().to_series().to_list() == chains


def test_the_front_chain_of_each_day_is_the_one_of_that_day() -> None:
    """On the last trading day of a maturity it still is the front one."""
    moments = [datetime(2026, 11, day, 10) for day in (11, 12, 13)]  # the 12th is the last day
    stored = ["202611_KOSPI200", "202612_KOSPI200", "202701_KOSPI200", "all_KOSPI200"]
    rows = pl.DataFrame({"timestamp": moments}).join(
        pl.DataFrame({"underlying_symbol": stored}), how="cross"
    )
    found = rows.filter(of_chain("front", stored)).sort("timestamp")
    assert found["underlying_symbol"].to_list() == [stored[0], stored[0], stored[1]]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda url: research.scan("future_1m", url=url),
            "no table 'future_1m'; there are: .*futures_1m",
        ),
        (
            lambda url: research.scan_bars("A01603", url=url),
            "no bar of A01603 is stored; there are: A01612",
        ),
        (
            lambda url: research.scan_bars("A05", url=url),
            "no bar of A05_FRONT is stored; there are",
        ),
        (
            lambda url: research.scan_bars("000660", url=url),
            "no bar of 000660 is stored; there are: 005930",
        ),
        (lambda url: research.scan_bars("202612_KOSPI200", url=url), "is an option chain"),
        (
            lambda url: research.scan_summary("202603", url=url),
            "no option chain 202603_KOSPI200 is stored; there are: 202701_KOSPI200, 202612",
        ),
        (
            lambda url: research.scan_chain("MINI_KOSPI200", url=url),
            "no option chain MINI_KOSPI200 is",
        ),
        (lambda url: research.scan_chain("nonsense", url=url), "nonsense"),
        (
            lambda url: research.scan("futures_1m", url=url, order_by=["volumes"]),
            "no column volumes to sort by; it has .*volume",
        ),
        (
            lambda url: research.resample(research.scan_bars("A01", url=url), "15m"),
            "bars of '15m': write",
        ),
        (
            lambda url: research.resample(research.scan_summary(url=url), 15),
            "not of bars: it has no column close",
        ),
        (lambda url: research.resample(research.scan_bars("A01", url=url), True), "bars of True"),
        (lambda url: research.use_database("real"), "'real' is not a kind of data"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(ask: Any, said: str, filled: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        ask(filled)
    assert "\n" not in str(caught.value)


def test_an_unknown_column_is_named_with_those_that_there_are(filled: str) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match=r"(?s)vol.*volume"):
        research.scan("futures_1m", url=filled).filter(pl.col("vol") > 1).collect()


def test_our_own_values_stand_beside_those_of_kis(filled: str) -> None:
    minute = pl.col("timestamp") == datetime(2026, 11, 16, 9, 30)
    chain = research.scan_chain("front", url=filled).filter(minute)
    found = research.with_model_values(chain).collect()
    assert found.height == chain.collect().height > 50
    own = found.drop_nulls("model_iv")
    assert own.height > 20
    atm = own.filter(pl.col("strike") == 1050.0)
    stored = research.scan_matrix("front", "model_iv", url=filled).filter(minute).collect()
    in_matrix = sorted([stored["c_atm"][0], stored["p_atm"][0]])
    assert sorted(atm["model_iv"]) == pytest.approx(in_matrix)
    terms = research.term_structure(research.scan_surface(url=filled)).filter(minute).collect()
    assert terms["underlying_symbol"].to_list() == ["202612_KOSPI200", "202701_KOSPI200"]
    assert terms["days"].is_sorted()


def test_simulated_and_real_data_can_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    assert sources.default_kind() == "simulation"
    research.use_database("live")
    assert sources.default_kind() == "live"
    assert sources.database_folder().name == "live"
    research.use_database(None)
    assert sources.default_kind() == "simulation"
    monkeypatch.setenv(READER_URL, "postgresql://somewhere")
    with pytest.raises(InputError, match="holds live data, not simulation"):
        research.use_database("simulation")
