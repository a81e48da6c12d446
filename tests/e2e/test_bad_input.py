"""What a user gets wrong: one clear line, exit code 2, no traceback, nothing half done."""

import json
import os
from datetime import datetime

import polars as pl
import pytest

from pipelines.cli import main
from tests.e2e.conftest import Desk


@pytest.fixture
def krt(desk: Desk, monkeypatch, capfd):
    """Run a command in this process: what it is refused for it is refused for early."""
    for name in [name for name in os.environ if "KRT_" in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(desk.folder))
    monkeypatch.chdir(desk.folder)

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        heard = capfd.readouterr()
        assert "Traceback" not in heard.out + heard.err
        return code, heard.err

    return run


def refused(krt, *arguments: str, says: str, **environment: str) -> None:
    code, said = krt(*arguments, **environment)
    assert code == 2
    assert said.startswith("❌ ")
    assert said.count("\n") == 1, said
    assert says in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["live", "--no-such-option"], "--no-such-option"),
        (["no-such-command"], "no-such-command"),
        (["live", "--date", "yesterday"], "--date"),
        (["live", "--date", "2025-09-06"], "2025-09-06"),
        (["live", "--date", "1999-01-04"], "1999"),
        (["live", "--speed", "0.5"], "--speed"),
        (["live", "--speed", "fast"], "--speed"),
        (["live", "--replay", "nowhere.parquet", "--date", "2025-09-01"], "nowhere.parquet"),
        (["live", "--stock", "005930; DROP TABLE futures_1m"], "DROP TABLE"),
        (["live", "--future", "../../etc/passwd"], "passwd"),
        (["live", "--chain", "NIKKEI"], "NIKKEI"),
        (["live", "--faults", "hurricane"], "hurricane"),
        (["validate", "--fix", "--export", "copy"], "--export"),
        (["sql"], "query"),
    ],
)
def test_wrong_arguments(krt, arguments, says):
    refused(krt, *arguments, says=says)


def test_a_file_without_the_columns(krt, desk):
    pl.DataFrame({"time": [1], "price": [2.0]}).write_parquet(desk.folder / "prices.parquet")
    refused(krt, "live", "--replay", "prices.parquet", "--date", "2025-09-01", says="symbol")


def test_a_file_that_is_no_parquet(krt, desk):
    (desk.folder / "text.parquet").write_text("not parquet at all")
    refused(krt, "live", "--replay", "text.parquet", "--date", "2025-09-01", says="text.parquet")


def test_a_replay_without_a_date(krt, desk):
    bars = {name: [1.0] for name in ("open", "high", "low", "close")}
    row = {"symbol": ["A01_FRONT"], "timestamp": [datetime(2025, 9, 1, 8, 45)], **bars}
    pl.DataFrame(row | {"volume": [1]}).write_parquet(desk.folder / "one.parquet")
    refused(krt, "live", "--replay", "one.parquet", says="--date")


def test_a_wrong_key_in_the_configuration(krt, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"app_kye": "x"}))
    refused(krt, "live", says="app_kye", KRT_CONFIG_FOLDER=str(tmp_path))


def test_a_database_that_cannot_be_reached(krt):
    url = "postgresql://user:hidden-password@127.0.0.1:9/nowhere"
    code, said = krt("live", "--speed", "max", KRT_DATABASE_URL=url)
    assert (code, said.count("\n")) == (2, 1), said
    assert "hidden-password" not in said


def test_a_fresh_start_is_refused_on_a_server_of_yours(krt):
    url = "postgresql://127.0.0.1:9/nowhere"
    refused(krt, "live", "--fresh", says="embedded", KRT_DATABASE_URL=url)


def test_a_fresh_start_is_refused_on_real_data(krt):
    key = {"KRT_APP_KEY": "key", "KRT_APP_SECRET": "secret"}
    refused(krt, "live", "--fresh", says="delete", **key)
