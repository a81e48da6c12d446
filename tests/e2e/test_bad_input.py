"""What a user gets wrong: one clear line, exit code 2, no traceback, nothing half done."""

import json
import os
import socket
from datetime import datetime

import polars as pl
import pytest

from pipelines.commands.main import main
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
        (["live", "--recorded", "nowhere.parquet", "--date", "2025-09-01"], "nowhere.parquet"),
        (["live", "--stock", "005930; DROP TABLE futures_1m"], "DROP TABLE"),
        (["live", "--future", "../../etc/passwd"], "passwd"),
        (["live", "--chain", "NIKKEI"], "NIKKEI"),
        (["live", "--faults", "hurricane"], "hurricane"),
        (["validate", "--fix", "--export", "copy"], "--export"),
        (["sql"], "query"),
        (["sql", "SELECT", "1"], 'put the query in quotes: just sql "SELECT 1"'),
        (["validate", "--from", "2026-11-26", "--to=2026-11-20"], "exchange them"),
        (["trades", "--date", "26-11-25"], "write YYYY-MM-DD"),
        (["live", "--stock", "5930"], "is 005930 meant?"),
        (["live", "--stock", "samsung"], "'samsung' is not a stock's code"),
    ],
)
def test_wrong_arguments(krt, arguments, says):
    refused(krt, *arguments, says=says)


def test_a_file_without_the_columns(krt, desk):
    pl.DataFrame({"time": [1], "price": [2.0]}).write_parquet(desk.folder / "prices.parquet")
    refused(krt, "live", "--recorded", "prices.parquet", "--date", "2025-09-01", says="symbol")


def test_a_file_that_is_no_parquet(krt, desk):
    (desk.folder / "text.parquet").write_text("not parquet at all")
    refused(krt, "live", "--recorded", "text.parquet", "--date", "2025-09-01", says="text.parquet")


def test_a_replay_without_a_date(krt, desk):
    bars = {name: [1.0] for name in ("open", "high", "low", "close")}
    row = {"symbol": ["A01_FRONT"], "timestamp": [datetime(2025, 9, 1, 8, 45)], **bars}
    pl.DataFrame(row | {"volume": [1]}).write_parquet(desk.folder / "one.parquet")
    refused(krt, "live", "--recorded", "one.parquet", says="--date")


def test_the_key_of_the_readmes_example_is_not_taken_for_one(krt):
    keys = {"KRT_APP_KEY": "…", "KRT_APP_SECRET": "…"}
    refused(krt, "live", says="not what KIS gives: app_key and app_secret", **keys)


def test_a_wrong_key_in_the_configuration(krt, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"app_kye": "x"}))
    refused(krt, "live", says="app_kye", KRT_CONFIG_FOLDER=str(tmp_path))


def test_a_database_that_cannot_be_reached(krt):
    url = "postgresql://user:hidden-password@127.0.0.1:9/nowhere"
    code, said = krt("status", KRT_DATABASE_URL=url)
    assert (code, said.count("\n")) == (2, 1), said
    assert "hidden-password" not in said


def test_a_fresh_start_is_refused_on_a_server_of_yours(krt):
    url = "postgresql://127.0.0.1:9/nowhere"
    refused(krt, "live", "--fresh", says="embedded", KRT_DATABASE_URL=url)


def test_a_fresh_start_is_refused_on_real_data(krt):
    key = {"KRT_APP_KEY": "PS" + "x1" * 17, "KRT_APP_SECRET": "9f" * 90}
    refused(krt, "live", "--fresh", says="delete", **key)


def bars_of(symbol: str | None = "A01_FRONT", at: datetime | None = None) -> pl.DataFrame:
    """One bar as a file holds it, on a Saturday by default."""
    prices = {name: [300.0] for name in ("open", "high", "low", "close")}
    moment = pl.Series([at or datetime(2025, 9, 6, 9)], dtype=pl.Datetime("us"))
    row = {"symbol": [symbol], "timestamp": moment, **prices, "volume": [5]}
    return pl.DataFrame(row, schema_overrides={"symbol": pl.String})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["backfill", "--days", "999999"], "--days"),
        (["backfill", "--days", "0"], "--days"),
        (["backfill", "--days", "-3"], "--days"),
        (["backfill", "--days", "10000"], "outside 2015-01-01"),
        (["backfill", "--to", "9999-12-31"], "9999-12-31"),
        (["validate", "--to", "9999-12-31"], "9999-12-31"),
        (["backtest", "--symbol", "A01612", "--to", "9999-12-31"], "9999-12-31"),
        (["backtest", "--from", "2026-12-01", "--to", "2026-01-01"], "after --to"),
        (["backtest", "--contracts", "99999999999999999999999"], "contracts"),
        (["replay", "--to", "9999-12-31"], "9999-12-31"),
        (["sweep", "--grid", "band_multiplier=1", "--workers", "-1"], "--workers"),
        (["plot", "smile", "--out", "x.png", "--date", "9999-12-31"], "9999-12-31"),
        (["plot", "smile", "--out", "x.png", "--minute", "09:30+09:00"], "--minute"),
        (["dashboard", "--port", "99999"], "--port"),
        (["dashboard", "--refresh", "soon"], "--refresh"),
        (["dashboard", "--stale", "-1"], "--stale"),
        (["dashboard", "--stale", "nan"], "--stale"),
        (["validate", "--export", "nowhere"], "nowhere"),
        (["dashboard", "--port", "0"], "--port"),
        (["research", "--notebook", "."], "--notebook"),
        (["calendar", "0"], "0 is not a year"),
        (["sim", "--speed", "max"], "--speed max"),
        (["sim", "--speed", "1e300"], "--speed"),
        (["sim", "--start", "09:30+09:00"], "--start"),
        (["sim", "--port", "65536"], "--port"),
        (["live", "--seed", "-1"], "--seed"),
    ],
)
def test_numbers_dates_and_times_out_of_range(krt, arguments, says):
    refused(krt, *arguments, says=says)


@pytest.mark.parametrize(
    "arguments",
    [
        ["live", "--picture", "file.txt/day.svg"],
        ["live", "--picture", "folder"],
        ["export", "--to", "file.txt"],
        ["backup", "--to", "file.txt"],
        ["backtest", "--report", "file.txt"],
        ["research", "--notebook", "file.txt/notebook.py"],
    ],
)
def test_a_file_for_a_folder_and_the_reverse(krt, desk, arguments):
    (desk.folder / "file.txt").write_text("notes")
    (desk.folder / "folder").mkdir(exist_ok=True)
    refused(krt, *arguments, says=arguments[-1].partition("/")[0])
    assert (desk.folder / "file.txt").read_text() == "notes"


@pytest.mark.parametrize(
    "command", [["live", "--date", "2025-09-06", "--recorded"], ["backtest", "--file"]]
)
@pytest.mark.parametrize(
    ("bars", "says"),
    [
        (bars_of().clear(), "no bars"),
        (bars_of(symbol=None), "symbol is missing"),
        (bars_of().with_columns(open=pl.lit("dear")), "open is String"),
        (bars_of().with_columns(timestamp=pl.lit("noon")), "timestamp is noon"),
        (bars_of().with_columns(volume=pl.lit(1.5)), "volume is 1.5 (A01_FRONT"),
        (bars_of(at=datetime(2025, 9, 8, 12)), "--bar-times start or end"),
    ],
)
def test_a_file_whose_columns_hold_something_else(krt, desk, command, bars, says):
    bars.write_parquet(desk.folder / "odd.parquet")
    refused(krt, *command, "odd.parquet", says=says)


@pytest.mark.parametrize("command", ["live", "sim"])
def test_a_file_with_bars_on_a_day_without_a_session(krt, desk, command):
    bars_of().write_parquet(desk.folder / "saturday.parquet")
    says = "no bar in a session of its symbol"
    refused(krt, command, "--recorded", "saturday.parquet", "--date", "2025-09-06", says=says)


FILE_COMMANDS = [
    ["live", "--date", "2025-09-08", "--recorded"],
    ["sim", "--date", "2025-09-08", "--recorded"],
    ["backfill", "--recorded"],
    ["validate", "--recorded"],
    ["backtest", "--file"],
    ["sweep", "--grid", "band_multiplier=1", "--file"],
]


@pytest.mark.parametrize("command", FILE_COMMANDS, ids=lambda command: command[0])
def test_every_command_that_takes_a_file_hears_what_its_times_are(krt, desk, command):
    bars_of(at=datetime(2025, 9, 8, 8, 45)).write_parquet(desk.folder / "starts.parquet")
    wrong = ("starts.parquet", "--bar-times", "end")
    refused(krt, *command, *wrong, says="08:45 can only be the start of a minute")
    without_file = [word for word in command if word not in ("--recorded", "--file")]
    refused(krt, *without_file, "--bar-times", "end", says=f"give {command[-1]} too")
    refused(krt, *command, "starts.parquet", "--bar-times", "middle", says="--bar-times")


def test_faults_of_several_kinds_are_a_table_above_the_line(krt, desk):
    odd = pl.concat([bars_of(at=datetime(2025, 9, 8, 8, 45 + n)) for n in range(4)])
    n = pl.int_range(pl.len())
    odd = odd.with_columns(
        high=pl.when(n < 2).then(1.0).otherwise("high"),
        volume=pl.when(n == 3).then(-5).otherwise("volume"),
    )
    odd.write_csv(desk.folder / "odd.csv")
    code, said = krt("backtest", "--file", "odd.csv")
    assert code == 2
    assert "high is not the highest price" in said
    assert "volume is -5 (A01_FRONT 2025-09-08T08:48:00.000000)" in said
    assert said.splitlines()[-1].startswith("❌ odd.csv: 3 kinds of faults in its rows; first ")
    assert "high is 1.0" in said.splitlines()[-1]
    assert "in line 2, and 1 more such rows" in said.splitlines()[-1]


def test_a_simulator_on_a_port_that_is_taken(krt):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(krt, "sim", "--port", port, says="cannot listen on 127.0.0.1")
