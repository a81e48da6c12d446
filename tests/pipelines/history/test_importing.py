"""`just import`: bars of a file beside those of KIS, which stand."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.history.queries import read_bars
from engine.schemas import REST
from engine.store import Store
from pipelines.commands.main import main
from pipelines.history.importing import ImportReport, import_bars
from tests.engine.history.bar_files import DAY, STOCK, bars_of, write
from tests.engine.history.test_bar_import import NOW
from tests.engine.store.data import stock_bars
from tests.paths import DIRTY_STOCKS_FILE, needs


@pytest.fixture
def history(store: Store) -> Store:
    store.clock = VirtualClock(NOW)
    return store


def outcome(report: ImportReport) -> tuple[int, ...]:
    return report.bars, report.inserted, report.changed, report.kept, report.refused


async def test_what_kis_gave_stands_and_is_counted_and_a_second_import_changes_nothing(
    history: Store, tmp_path: Path
) -> None:
    bars = bars_of(STOCK)
    stamp = bars["timestamp"][0].replace(minute=1)
    await history.merge("stocks_1m", stock_bars([7.0, 8.0], start=stamp, fetched=stamp))
    file = write(bars, tmp_path / "bars.parquet")
    count = bars.height
    assert outcome(await import_bars(history, file)) == (count, count - 2, 0, 2, 0)
    assert outcome(await import_bars(history, file)) == (count, 0, 0, 2, 0)
    stored = await read_bars(history, [STOCK], DAY, DAY)
    assert stored.height == count
    assert stored.sort("timestamp")["close"].to_list()[:3] == [7.0, 8.0, bars["close"][2]]
    sources = await history.query(
        "SELECT source, count(*) AS n FROM stocks_1m GROUP BY 1 ORDER BY 1"
    )
    assert pl.DataFrame(sources).rows() == [("file", count - 2), (REST, 2)]


async def test_refused_rows_are_kept_once_with_the_file_named(
    history: Store, tmp_path: Path
) -> None:
    frame = bars_of(STOCK).with_columns(
        high=pl.when(pl.int_range(pl.len()).is_between(1, 3)).then(1.0).otherwise("high")
    )
    file = write(frame, tmp_path / "mine.parquet")
    for _ in range(2):
        assert (await import_bars(history, file)).refused == 3
    kept = pl.DataFrame(
        await history.query("SELECT tr_id, reason, count(*) AS n FROM rejected_rows GROUP BY 1, 2")
    )
    assert kept.rows() == [("file mine.parquet", "high is not the highest price", 3)]


def test_the_command_says_what_became_of_the_rows(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    monkeypatch.setattr("pipelines.databases.migrate", lambda _, keep: None)  # saves seconds
    day = bars_of(STOCK)
    file = write(pl.concat([day, day[:1].with_columns(high=1.0)]), tmp_path / "bars.parquet")
    assert main(["import", str(file), "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert (told["inserted"], told["refused"]) == (day.height, 1)
    assert told["reasons"] == {"high is not the highest price": 1}
    good = write(day, tmp_path / "good.parquet")
    assert main(["import", str(good), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["inserted"], told["already_stored"], told["kept_as_stored"]) == (0, day.height, 0)
    assert main(["import", str(good)]) == 0
    assert "without trade" in capfd.readouterr().out
    assert main(["import", str(tmp_path / "none.parquet")]) == 2


@needs(DIRTY_STOCKS_FILE)
async def test_every_row_of_a_dirty_file_is_a_bar_or_has_a_reason(history: Store) -> None:
    found = await import_bars(history, DIRTY_STOCKS_FILE)
    rows = pl.read_parquet(DIRTY_STOCKS_FILE)
    assert found.bars + found.refused + found.repeated + found.empty == found.rows == rows.height
    counted = await history.query("SELECT count(*) AS n FROM stocks_1m")
    assert counted["n"].to_pylist() == [found.bars] == [found.inserted]
    kept = await history.query("SELECT sum(times)::bigint AS n FROM rejected_rows")
    assert kept["n"].to_pylist() == [found.refused]
    adjusted = rows.filter(symbol="476060").group_by("timestamp").agg(pl.col("close").unique())
    clashing = adjusted.filter(pl.col("close").list.len() > 1)["timestamp"]
    stored = await history.query("SELECT timestamp FROM stocks_1m WHERE symbol = '476060'")
    labels = pl.DataFrame(stored)["timestamp"].dt.offset_by("-1m")
    assert not set(labels) & set(clashing)
