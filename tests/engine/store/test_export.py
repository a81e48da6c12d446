"""Sealed sessions as Parquet: files for any engine, written again only after changes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.history.parquet import scan_parquet
from engine.store import Store
from engine.store.export import copies, export, product_name
from strategies.registry import STRATEGIES
from tests.engine.store.data import FETCHED, OPEN, futures_bars, signals, stock_bars
from tests.pipelines.random_bars import random_bars

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
async def filled(store: Store) -> Store:
    for day in range(40):
        start, fetched = OPEN + day * DAY, FETCHED + day * DAY
        bars = futures_bars([350.0 + day, 351.0], symbol="A01612", start=start, fetched=fetched)
        await store.merge("futures_1m", bars)
    await store.merge("futures_1m", futures_bars([1.0], symbol="101W09"))
    await store.merge("stocks_1m", stock_bars([70_000.0, 70_100.0]))
    await store.merge("dolpha1_signal", signals([0, 1], symbol="A01612"))
    return store


def sealed(*symbols: str, days: int = 40) -> pl.DataFrame:
    sessions = pl.DataFrame({"session": [date(2025, 9, 1) + day * DAY for day in range(days)]})
    return pl.DataFrame({"symbol": symbols}).join(sessions, how="cross")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def written(store: Store, folder: Path, which: pl.DataFrame) -> list[tuple[object, ...]]:
    parts = await store.clock.thread(export, store.url, folder, which)
    return parts.filter("written").drop("written").rows()


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("A01612", "a01"),
        ("101W09", "101"),
        ("005930", "stocks"),
        ("0001A0", "stocks"),
        ("202612_KOSPI200", "kospi200"),
        ("260904_KOSPI200_WEEKLY_MON", "kospi200_weekly_mon"),
        ("FLOWS_KOSPI", "flows"),
        ("all_KOSPI200", "all_kospi200"),
        ("none of ours", "unknown"),
    ],
)
def test_files_are_named_by_what_a_symbol_is(symbol: str, name: str) -> None:
    assert product_name(symbol) == name


async def test_sealed_sessions_are_written_once_and_again_after_changes(
    filled: Store, tmp_path: Path
) -> None:
    everything = sealed("A01612", "101W09", "005930")
    assert await written(filled, tmp_path, everything) == [
        ("futures_1m", "101", "2025-09", 1),
        ("futures_1m", "a01", "2025-09", 60),
        ("futures_1m", "a01", "2025-10", 20),
        ("stocks_1m", "stocks", "2025-09", 2),
        ("dolpha1_signal", "a01", "2025-09", 2),
    ]
    assert await written(filled, tmp_path, everything) == []
    await filled.merge(
        "futures_1m",
        futures_bars([999.0], symbol="A01612", start=OPEN + 35 * DAY, fetched=FETCHED + 36 * DAY),
    )
    assert await written(filled, tmp_path, everything) == [("futures_1m", "a01", "2025-10", 20)]


async def test_sessions_that_are_not_sealed_are_not_exported(filled: Store, tmp_path: Path) -> None:
    assert await written(filled, tmp_path, sealed("A01612", days=3)) == [
        ("futures_1m", "a01", "2025-09", 6),
        ("dolpha1_signal", "a01", "2025-09", 2),
    ]
    more = await written(filled, tmp_path, sealed("A01612", days=4))
    assert more == [("futures_1m", "a01", "2025-09", 8)]


async def test_surfaces_are_exported_over_all_maturities_once_every_chain_is_sealed(
    store: Store, tmp_path: Path
) -> None:
    rows = pl.DataFrame(
        {
            "underlying_symbol": ["202509_KOSPI200", "202510_KOSPI200", "all_KOSPI200"],
            "timestamp": [OPEN] * 3,
            "fetched_at": [FETCHED] * 3,
            "gamma_exposure": [1.0, 2.0, 3.0],
        }
    )
    schema = pl.DataFrame(schemas.OPTION_SURFACE.empty_table()).schema
    lacking = {
        name: pl.lit(None, kind) for name, kind in schema.items() if name not in rows.columns
    }
    batch = schemas.conform(rows.with_columns(**lacking), schemas.OPTION_SURFACE)
    await store.merge("option_surface", batch)
    one = ("option_surface", "kospi200", "2025-09", 1)
    assert await written(store, tmp_path, sealed("202509_KOSPI200", days=1)) == [one]
    assert await written(store, tmp_path, sealed("202509_KOSPI200", "202510_KOSPI200", days=1)) == [
        ("option_surface", "all_kospi200", "2025-09", 1),
        ("option_surface", "kospi200", "2025-09", 2),
    ]
    (file,) = (tmp_path / "option_surface" / "product=all_kospi200").rglob("*.parquet")
    assert pl.read_parquet(file)["gamma_exposure"].to_list() == [3.0]


async def test_duckdb_and_polars_read_what_the_database_holds(
    filled: Store, tmp_path: Path
) -> None:
    await written(filled, tmp_path, sealed("A01612", "101W09"))
    stored = pl.DataFrame(
        await filled.query("SELECT * FROM futures_1m WHERE product = 'a01' ORDER BY 2, 1")
    )
    files = tmp_path / "futures_1m" / "**" / "*.parquet"
    by_polars = (
        pl.scan_parquet(files, hive_partitioning=True)
        .filter(pl.col("product") == "a01", pl.col("month") >= "2025-09")
        .select(stored.columns)
        .collect()
    )
    assert by_polars.equals(stored)
    by_duckdb = duckdb.sql(
        f"SELECT month, count(*) FROM read_parquet('{files}', hive_partitioning = true)"
        " WHERE product = 'a01' GROUP BY month ORDER BY month"
    ).fetchall()
    assert [rows for _, rows in by_duckdb] == [60, 20]


async def test_a_file_that_cannot_be_written_leaves_the_old_one(
    filled: Store, tmp_path: Path
) -> None:
    await written(filled, tmp_path, sealed("005930"))
    (file,) = files(tmp_path)
    before = file.read_bytes()
    await filled.merge("stocks_1m", stock_bars([1.0], fetched=FETCHED + DAY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyarrow.parquet.ParquetWriter.write_batch", _fails)
        with pytest.raises(OSError, match="No space left"):
            await written(filled, tmp_path, sealed("005930"))
    assert file.read_bytes() == before
    assert files(tmp_path) == [file], "nothing half-written stays"


def _fails(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_what_a_killed_export_was_writing_is_removed(filled: Store, tmp_path: Path) -> None:
    await written(filled, tmp_path, sealed("101W09"))
    (file,) = files(tmp_path)
    (file.parent / f".{file.name}.0123abcd.making-{2**22 + 1}").write_bytes(b"half of it")
    await filled.merge("futures_1m", futures_bars([2.0], symbol="101W09", fetched=FETCHED + DAY))
    await written(filled, tmp_path, sealed("101W09"))
    assert files(tmp_path) == [file]


async def test_signals_of_every_strategy_are_copied(store: Store, tmp_path: Path) -> None:
    day = date(2025, 9, 24)
    bars = random_bars("101W12", date(2025, 8, 20), day, minutes=9)
    for strategy in STRATEGIES.values():
        rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
        rows = rows.with_columns(created_at=pl.lit(FETCHED))
        await store.merge(strategy.table, schemas.conform(rows, strategy.schema))
    sessions = pl.DataFrame({"symbol": ["101W12"], "session": [day]})
    parts = await written(store, tmp_path, sessions)
    assert {table for table, *_ in parts} == {strategy.table for strategy in STRATEGIES.values()}
    for strategy in STRATEGIES.values():
        stored = await store.query(
            f"SELECT * FROM {strategy.table} WHERE timestamp::date = '{day}' ORDER BY timestamp"
        )
        copied = scan_parquet(strategy.table, tmp_path).collect()
        assert copied.height == 10
        assert copied.equals(pl.DataFrame(stored).select(copied.columns))


def test_a_file_of_an_earlier_release_is_read_with_nulls(tmp_path: Path) -> None:
    """Columns that were added since: forward_source and forward_strikes of the summary."""
    names = [*schemas.OPTION_SUMMARY.names, "committed_at"]
    schema = {**pl.Schema(schemas.OPTION_SUMMARY), "committed_at": pl.Datetime("us")}
    row = {"timestamp": FETCHED, "underlying_symbol": "202512_KOSPI200", "forward": 440.5}
    new = pl.DataFrame([dict.fromkeys(names) | row | {"forward_source": "parity"}], schema=schema)
    old = new.drop("forward_source", "forward_strikes")
    for month, frame in (("2025-08", old), ("2025-09", new)):
        folder = tmp_path / "option_summary" / "product=kospi200" / f"month={month}"
        folder.mkdir(parents=True)
        frame.write_parquet(folder / "option_summary.parquet")
    found = scan_parquet("option_summary", tmp_path, order_by=()).collect()
    assert found.columns == names
    assert found["forward_source"].to_list() == [None, "parity"]
    assert found["forward"].to_list() == [440.5, 440.5]


def told(schema: pa.Schema, symbol: str, start: datetime, **values: object) -> pa.RecordBatch:
    """Return two minutes of what is told once of a subject; numbers are 1."""
    row = {name: 1 for name, kind in pl.Schema(schema).items() if kind.is_numeric()}
    rows = [
        {**row, "symbol": symbol, "timestamp": start + n * MINUTE, "fetched_at": start, **values}
        for n in range(2)
    ]
    return pa.RecordBatch.from_pylist(rows, schema)


async def test_what_is_told_once_is_exported_and_states_with_the_bars_beside_them(
    store: Store, tmp_path: Path
) -> None:
    flows = told(schemas.INVESTOR_FLOWS, "KOSPI", OPEN, investor="foreign")
    await store.merge("investor_flows", flows)
    await store.merge("investor_flows", told(schemas.INVESTOR_FLOWS, "KOSDAQ", OPEN, investor="x"))
    for symbol in ("A01612", "A01703"):
        await store.merge("futures_state", told(schemas.FUTURES_STATE, symbol, OPEN))
    expected = told(schemas.EXPECTED_PRICES, "005930", OPEN, said_at=OPEN, source="x")
    await store.merge("expected_prices", expected)
    which = sealed("FLOWS_KOSPI", "A01612", "AUCTIONS_005930", days=1)
    assert await written(store, tmp_path, which) == [
        ("futures_state", "state", "2025-09", 2),
        ("investor_flows", "flows", "2025-09", 2),
        ("expected_prices", "auctions", "2025-09", 2),
    ]
    assert await written(store, tmp_path, which) == []
    read = scan_parquet("investor_flows", tmp_path).collect()
    stored = pl.DataFrame(await store.query("SELECT * FROM investor_flows WHERE symbol = 'KOSPI'"))
    assert_frame_equal(read, stored.select(read.columns))
    assert scan_parquet("futures_state", tmp_path).collect()["symbol"].to_list() == ["A01612"] * 2
    current = await copies(store, tmp_path)
    wanted = current.filter(pl.col("table").is_in(["futures_state", "expected_prices"]))
    assert wanted.select("product", "current").rows() == [("state", False), ("auctions", True)]


async def test_a_row_that_an_older_one_has_completed_is_exported_again(
    store: Store, tmp_path: Path
) -> None:
    """The volumes of programme trading, which REST does not know, may come from a spool."""
    rest = told(schemas.PROGRAMME_TRADES, "KOSPI", OPEN, net_volume=None, fetched_at=FETCHED)
    await store.merge("programme_trades", rest)
    which = sealed("PROGRAMME_KOSPI", days=1)
    assert len(await written(store, tmp_path, which)) == 1
    fed = told(schemas.PROGRAMME_TRADES, "KOSPI", OPEN, net_volume=7, fetched_at=OPEN)
    await store.merge("programme_trades", fed)
    assert not (await copies(store, tmp_path))["current"].any()
    assert len(await written(store, tmp_path, which)) == 1
    read = scan_parquet("programme_trades", tmp_path).collect()
    assert set(read["net_volume"]) == {7}
