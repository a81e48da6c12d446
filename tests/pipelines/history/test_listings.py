"""What KOSPI and KOSDAQ list is fetched, kept, searched; a file that is odd costs a line."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from engine.kis.client import KisClient
from engine.market.symbols import parse
from engine.simulator.faults.scenario import Scenario
from pipelines.commands.main import main
from pipelines.history.listings import refresh_listings
from tests.pipelines.simulated import desk

NOW = datetime(2026, 11, 16, 8, 40)


async def test_both_files_are_stored_and_name_the_stocks(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, NOW) as at:
        assert (await refresh_listings(at.context)).inserted == 2_700
        assert (await refresh_listings(at.context)).unchanged == 2_700
        await at.clock.sleep(24 * 3600)
        later = await refresh_listings(at.context)
        days = await at.frame(
            "SELECT seen_first, seen_last, count(*) AS rows FROM stock_listings GROUP BY 1, 2"
        )
    assert later.inserted + later.changed == 2_700
    assert later.inserted > 10  # halted, or halted no more
    assert {f"{first} {last}": rows for first, last, rows in days.rows()} == {
        "2026-11-16 2026-11-17": later.changed,  # seen a day longer
        "2026-11-16 2026-11-16": later.inserted,
        "2026-11-17 2026-11-17": later.inserted,
    }
    assert parse("005930").name_ko == "삼성전자 005930"


async def test_a_file_server_that_is_down_costs_a_line_for_each_market(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"what": "maintenance", "endpoint": "master"}
    faults = Scenario.model_validate({"rule": [rule]})
    async with desk(database_url, tmp_path, NOW, faults=faults) as at:
        assert (await refresh_listings(at.context)).inserted == 0
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert all("known before: KIS's file server answered HTTP 503" in line for line in said)


async def test_a_torn_line_is_kept_and_counted(
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download = KisClient.download

    async def tear(client: KisClient, url: str) -> bytes:
        packed = await download(client, url)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            (name,) = archive.namelist()
            text = archive.read(name)
        torn = io.BytesIO()
        with zipfile.ZipFile(torn, "w") as archive:
            archive.writestr(name, text[: -40 if "kospi" in url else None])
        return torn.getvalue()

    monkeypatch.setattr(KisClient, "download", tear)
    async with desk(database_url, tmp_path, NOW) as at:
        assert (await refresh_listings(at.context)).inserted == 2_699
        rejected = await at.frame("SELECT tr_id, symbol, reason, raw FROM rejected_rows")
    ((tr_id, symbol, reason, raw),) = rejected.rows()
    assert (tr_id, symbol) == ("kospi_code.mst", "KOSPI")
    assert reason == "a line of the master file does not fit the known layout"
    assert json.loads(raw).startswith("Q")  # the last one is an ETN
    assert "1 lines of the master file of KOSPI do not fit" in caplog.text


async def test_the_command_searches_what_was_stored(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["symbols"]) == 0
    assert "listed (just symbols --refresh fetches): none" in capsys.readouterr().out
    async with desk(database_url, tmp_path, NOW) as at:
        await refresh_listings(at.context)
    assert main(["symbols", "하이닉스", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["code"], found["name"], found["market"]) == ("000660", "SK하이닉스", "KOSPI")
    assert (found["kind"], found["state"]) == ("common", "listed")
    assert main(["symbols", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2_701
    assert main(["symbols", "없는이름"]) == 0
    assert "0 found" in capsys.readouterr().out


def test_the_command_fetches_when_it_is_asked(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["symbols", "005930", "--refresh"]) == 0
    said = capsys.readouterr().out
    assert "삼성전자" in said
    assert "1 found" in said
