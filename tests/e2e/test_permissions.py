"""Others on this machine: they read nothing of ours and cannot reach the embedded database."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from engine.clock import WallClock
from engine.files import DATA_FOLDER_MODE, make_folder, private_folder, write_atomically
from engine.kis.client import KisClient
from engine.settings import AppKey, KisSettings, Settings
from engine.store.connection import Connection
from engine.store.embedded import server as database
from engine.store.embedded.programs import find_programs
from engine.store.spool import Spool
from pipelines.collector_lock import hold_collector_lock
from pipelines.databases import Database
from pipelines.day.live import show_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.e2e.conftest import new_desk
from tests.engine.store.data import futures_bars

pwd = pytest.importorskip("pwd", reason="Windows has no modes")
OTHERS = 0o077
KRT = (sys.executable, "-m", "pipelines.commands.main", "live")
DATABASE = "postgres-18"


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
    with show_day(stats, WallClock(), database, quiet=True):
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
    for folder in (data, Path(setting(database_url, "unix_socket_directories").strip('"'))):
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


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["open", "closed"])
def test_a_day_leaves_nothing_open_whatever_the_umask_is(umask: int) -> None:
    with new_desk() as desk:
        data = desk.folder / "new" / "data"
        running = subprocess.Popen(
            [*KRT, "--speed", "400", "--date", "2026-11-09", "--stock", "005930"],
            cwd=desk.folder,
            env=desk.environment | {"KRT_DATA_FOLDER": str(data)},
            umask=umask,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in running.stderr:
            if "collecting" in line:
                break
        modes = {
            path: (path.owner(), stat.S_IMODE(path.lstat().st_mode))
            for path in (desk.folder / "new", *(desk.folder / "new").rglob("*"))
            if path.exists() and not path.is_socket()
        }
        running.terminate()
        running.communicate()
    ours = {
        p: mode for p, (_, mode) in modes.items() if data / "simulation" / DATABASE not in p.parents
    }
    folders = {data.parent, data, data / "simulation"}
    assert {ours[folder] for folder in folders} == {DATA_FOLDER_MODE}
    files = {"server.lock", "running.lock", "collector.lock", "live-2026-11-09.log"}
    assert files <= {path.name for path in ours}
    inside = {path: mode for path, mode in ours.items() if path not in folders}
    assert {path: mode for path, mode in inside.items() if mode not in (0o600, 0o700)} == {}
    assert {p: mode for p, (_, mode) in modes.items() if mode & 0o022} == {}


def test_a_folder_that_another_version_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir(mode=0o777)
    (tmp_path / "live" / "users").mkdir(mode=0o777)
    database._prepare(tmp_path / "live")
    assert stat.S_IMODE((tmp_path / "live").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "live" / "users").stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    database._prepare(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o1777


def test_missing_parents_get_the_mode_too(tmp_path: Path) -> None:
    for umask in (0o000, 0o077):
        os.umask(umask)
        private_folder(tmp_path / str(umask) / "data" / "kis")
        made = [tmp_path / str(umask), tmp_path / str(umask) / "data"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {DATA_FOLDER_MODE}
        make_folder(tmp_path / str(umask) / "all" / "programs", 0o755)
        assert stat.S_IMODE((tmp_path / str(umask) / "all").stat().st_mode) == 0o755
