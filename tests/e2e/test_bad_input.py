"""What a user gets wrong: one clear line, exit code 2, no traceback, nothing half done."""

import json

import polars as pl
import pytest

from tests.e2e.conftest import Desk


def refused(desk: Desk, *arguments: str, says: str, **environment: str) -> None:
    done = desk.krt(*arguments, **environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("❌ ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


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
        (["sql"], "query"),
    ],
)
def test_wrong_arguments(desk, arguments, says):
    refused(desk, *arguments, says=says)


def test_a_file_without_the_columns(desk):
    pl.DataFrame({"time": [1], "price": [2.0]}).write_parquet(desk.folder / "prices.parquet")
    refused(desk, "live", "--replay", "prices.parquet", "--date", "2025-09-01", says="symbol")


def test_a_file_that_is_no_parquet(desk):
    (desk.folder / "text.parquet").write_text("not parquet at all")
    refused(desk, "live", "--replay", "text.parquet", "--date", "2025-09-01", says="text.parquet")


def test_a_replay_without_a_date(desk):
    refused(desk, "live", "--replay", "prices.parquet", says="--date")


def test_a_wrong_key_in_the_configuration(desk, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"app_kye": "x"}))
    refused(desk, "live", says="app_kye", KRT_CONFIG_FOLDER=str(tmp_path))


def test_a_database_that_cannot_be_reached(desk):
    url = "postgresql://user:hidden-password@127.0.0.1:9/nowhere"
    done = desk.krt("live", "--speed", "max", KRT_DATABASE_URL=url)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "hidden-password" not in done.stderr + done.stdout


def test_a_fresh_start_is_refused_on_a_server_of_yours(desk):
    url = "postgresql://127.0.0.1:9/nowhere"
    refused(desk, "live", "--fresh", says="embedded", KRT_DATABASE_URL=url)
