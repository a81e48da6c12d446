"""Others on this machine: they read nothing of ours and cannot reach the embedded database."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from engine.clock import WallClock
from engine.files import write_atomically
from engine.kis.client import KisClient
from engine.settings import AppKey, KisSettings, Settings
from engine.store.connection import Connection
from engine.store.embedded import server as database
from engine.store.embedded.programs import find_programs
from engine.store.spool import Spool
from pipelines.databases import Database
from pipelines.day.live import _logging
from pipelines.day.run import hold_collector_lock
from pipelines.day.statistics import DayStatistics
from pipelines.feed import Feed, plan
from tests.engine.store.data import futures_bars

pwd = pytest.importorskip("pwd", reason="Windows has no modes")
OTHERS = 0o077


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The worst that a login can have: nothing is closed to others unless we close it."""
    before = os.umask(0)
    yield
    os.umask(before)


def exposed(folder: Path) -> list[str]:
    """What others can read or write, or a lock that they could hold."""
    found = []
    for path in folder.iterdir():
        if not path.lstat().st_mode & OTHERS:
            continue
        found += exposed(path) if path.is_dir() else [path.name]
    return found


async def test_tokens_paces_spool_and_logs_are_ours_hold_collector_lock(tmp_path: Path) -> None:
    for name in ("kis", "spool", "logs"):  # a version of before left them open
        (tmp_path / "live" / name).mkdir(parents=True)
    here = tmp_path / "live"
    key = AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret"))
    client = KisClient(KisSettings(app_keys=(key,)), WallClock(), folder=here / "kis")
    await client.close()
    write_atomically(here / "kis" / "token.json", b"token", private=True)
    with hold_collector_lock(here / "spool"):
        Spool(here / "spool").add("futures_1m", futures_bars([1.0]))
    stats = DayStatistics(plan(Feed(("005930",)), date(2026, 11, 9)), simulated=False)
    database = Database("", "live", Settings(data_folder=tmp_path))
    with _logging(stats, WallClock(), database, quiet=True):
        pass
    assert len([path for path in here.rglob("*") if path.is_file()]) >= 4
    assert exposed(tmp_path) == []
    assert stat.S_IMODE((here / "kis" / "token.json").stat().st_mode) == 0o600


def test_the_folder_of_the_database_is_opened_for_another_account_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other, mode in ((False, 0o700), (True, 0o755)):
        monkeypatch.setattr(database, "runs_under_another_account", lambda other=other: other)
        database._prepare(tmp_path / str(other))
        assert stat.S_IMODE((tmp_path / str(other)).stat().st_mode) == mode


def setting(url: str, name: str) -> str:
    connection = Connection(url, "test")
    found = connection.query(f"SELECT current_setting('{name}') AS found")["found"][0].as_py()
    connection.close()
    return str(found)


def test_the_embedded_server_listens_to_our_account_hold_collector_lock(database_url: str) -> None:
    data = Path(setting(database_url, "data_directory"))
    assert setting(database_url, "listen_addresses") == ""
    server = psutil.Process(int((data / "postmaster.pid").read_text().split("\n", 1)[0]))
    kinds = {connection.family.name for connection in server.net_connections("all")}
    assert kinds == {"AF_UNIX"}
    rules = [line for line in (data / "pg_hba.conf").read_text().splitlines() if line.strip()]
    assert rules == ["local all all peer map=krt"]
    named = {
        line.split()[1].strip('"')
        for line in (data / "pg_ident.conf").read_text().split("\n")
        if line
    }
    assert named <= {pwd.getpwuid(os.geteuid()).pw_name, data.owner()}
    assert exposed(data.parent) == []
    for folder in (data, Path(setting(database_url, "unix_socket_directories"))):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is others")
def test_another_account_does_not_get_in(database_url: str) -> None:
    owner = Path(setting(database_url, "data_directory")).owner()
    other = next(name for name in ("nobody", "daemon", "bin") if name != owner)
    psql = find_programs().folder / "bin" / "psql"
    for url in (database_url, database_url.replace("postgres@", f"{other}@")):
        done = subprocess.run(
            [psql, "-X", "-w", url, "-c", "SELECT 1"],
            user=other,
            group=pwd.getpwnam(other).pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "Permission denied" in done.stderr
