"""`just spool` shows what waits or was set aside, and brings it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from engine.store.spool import Spool
from pipelines.commands.main import main
from tests.engine.store.data import futures_bars

Run = Callable[..., tuple[int, list[dict[str, object]]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "simulation" / "spool"


@pytest.fixture
def run(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    monkeypatch.setattr(
        "pipelines.databases.migrate", lambda _, keep: None
    )  # it is: that saves seconds

    def answer(*options: str) -> tuple[int, list[dict[str, object]]]:
        code = main(["spool", "--format", "json", *options])
        return code, json.loads(capfd.readouterr().out)

    return answer


def test_without_a_spool_there_is_nothing_to_show(run: Run, folder: Path) -> None:
    assert run() == (0, [])
    assert not folder.exists()


def test_refused_and_damaged_batches_are_shown_and_come_back(
    run: Run, folder: Path, database_url: str
) -> None:
    spool = Spool(folder)
    spool.add("futures_1m", futures_bars([1.0], symbol="A01609"))
    for why, symbol in (("refused", "A01612"), ("damaged", "A01703")):
        spool.set_aside(spool.add("futures_1m", futures_bars([1.0], symbol=symbol)), why)
    broken = spool.set_aside(spool.add("futures_1m", futures_bars([1.0])), "damaged")
    broken.write_bytes(b"x")
    code, rows = run()
    assert code == 1
    assert [(row["state"], row["batches"]) for row in rows] == [
        ("waiting", 1),
        ("refused", 1),
        ("damaged", 2),
    ]
    assert run("--retry") == (
        1,
        [{"state": "damaged", "table": "futures_1m", "batches": 1, "bytes": 1}],
    )
    stored = pl.read_database_uri("SELECT symbol FROM futures_1m", database_url, engine="adbc")
    assert sorted(stored["symbol"]) == ["A01609", "A01612", "A01703"]
    broken.unlink()
    assert run("--retry") == (0, [])
