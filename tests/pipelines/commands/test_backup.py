"""`just backup` and `just restore`: what comes back is what was there, or nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from engine import schemas
from engine.clock import WallClock
from engine.store import Store, migrate
from engine.store.archive import file_of
from engine.store.backup import making, manifest
from engine.store.backup.catalogue import applied_migrations
from engine.store.backup.making import BackupSource, new_backup
from engine.store.backup.manifest import backups, read_manifest
from engine.store.backup.restoring import restore_database, restore_files
from engine.store.connection import Connection
from engine.store.metadata import roles_sql
from engine.store.migrations import migrate_to
from engine.store.spool import Spool
from pipelines.commands.main import main
from tests.databases import run_script
from tests.paths import SERVERS_FOLDER
from tests.pipelines.commands.backup_contents import NOT_KEPT, contents, query, run
from tests.pipelines.conftest import DAY, FUTURE, bars, fill

BESIDE = [
    "INSERT INTO data_origin (kind) VALUES ('live')",
    "UPDATE futures_1m SET close = close + 0.01 WHERE timestamp = '2026-11-16 09:05'",
    "UPDATE dolpha1_signal SET reason = 'other' WHERE timestamp = '2026-11-16 09:05'",
    "INSERT INTO rejected_rows VALUES ('2026-11-16 09:05', 'FHKST03010200', '005930', 'no price',"
    " '{\"a\": \"가\\b\"}', '2026-11-16 09:05', 2, '2026-11-16 09:06')",
    "CREATE TABLE notes (line text)",
    "INSERT INTO notes VALUES ('mine')",
]


@pytest.fixture(scope="module")
def source_url(new_databases: Any) -> str:
    """A database with bars, chains, signals, corrections, and a table of the user's own."""
    url = str(new_databases())
    migrate(url)
    asyncio.run(fill(url))
    run(url, *BESIDE)
    run_script(url, roles_sql())
    return url


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The data folder: a batch waits in its spool. Below a folder that all accounts can enter."""
    folder = Path(tempfile.mkdtemp(prefix="krt-backup-", dir=SERVERS_FOLDER))
    folder.chmod(0o755)
    batch = schemas.conform(
        bars([FUTURE], DAY, DAY, 1050.0).head(3).select(schemas.FUTURES_BARS.names),
        schemas.FUTURES_BARS,
    )
    Spool(folder / "live" / "spool").add("futures_1m", batch)
    (folder / "live" / "kis").mkdir()
    (folder / "live" / "kis" / "opening_days.json").write_text("{}")
    (folder / "live" / "kis" / "0123456789abcdef.json").write_text('{"access_token": "secret"}')
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made(source_url: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup as the command makes it, verified."""
    to = tmp_path_factory.mktemp("backups")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRT_DATABASE_URL", source_url)
        patch.setenv("KRT_DATA_FOLDER", str(folder))
        patch.chdir(to)
        assert main(["backup", "--to", str(to / "kept")]) == 0
    (path,) = (to / "kept").iterdir()
    return path


def test_what_comes_back_is_what_was_there(
    made: Path, source_url: str, new_databases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_databases()
    monkeypatch.setenv("KRT_DATABASE_URL", url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["restore", str(made)]) == 0
    before, after = contents(source_url), contents(url)
    assert before.pop("notes") == ["(mine)"]
    assert after == before
    assert len(after["replaced_bars"]) > 0
    assert len(after["signal_corrections"]) > 0

    # It goes on: the sequence, the triggers, a new partition.
    run(url, "UPDATE futures_1m SET close = close + 0.01 WHERE timestamp = '2026-11-16 09:06'")
    assert len(contents(url)["replaced_bars"]) == len(before["replaced_bars"]) + 1
    run(url, "SELECT make_partition('futures_1m', '105')::text")

    # Beside the database: what waited for it, and no token.
    restored = sorted(p.name for p in (tmp_path / "data" / "live").rglob("*") if p.is_file())
    assert [name.partition("-")[2][:10] for name in restored] == ["futures_1m", ""]
    assert restored[1] == "opening_days.json"

    # A second time it is refused: the database is not empty.
    assert main(["restore", str(made)]) == 2


def test_the_backup_says_what_it_is(made: Path) -> None:
    found = read_manifest(made)
    assert found.kind == "live"
    assert {"futures_a01", "option_chain_raw_202611", "notes"} <= {t.name for t in found.tables}
    assert sum(t.rows for t in found.tables) == found.rows > 2000
    table = next(t for t in found.tables if t.name == "futures_a01")
    assert (table.parent, table.bound) == ("futures_1m", "FOR VALUES IN ('a01')")
    assert table.file
    assert pl.read_parquet(made / table.file.path).height == table.rows
    assert "secret" not in "".join(p.read_text("latin-1") for p in made.rglob("*") if p.is_file())
    assert made.parent.joinpath(made.name).name.startswith("krt-live-2")


def test_nothing_but_the_backup_is_left(made: Path, folder: Path) -> None:
    assert list(made.parent.iterdir()) == [made]
    assert not (folder / "verification").exists()


def test_one_moment_is_kept_and_no_merge_waits(
    source_url: str, new_databases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a table is written, a merge commits to one that is written later."""
    write_table = making._write_table
    batch = schemas.conform(
        bars(["000660"], DAY, DAY, 90_000.0).with_columns(timeframe=pl.lit("1m")),
        schemas.STOCK_BARS,
    )

    async def merge() -> int:
        store = Store(source_url, WallClock(), component="test")
        try:
            return (await store.merge("stocks_1m", batch)).inserted
        finally:
            await store.close()

    def write_and_merge(cursor: Any, table: Any, *rest: Any) -> Any:
        if table.name == "futures_a01":
            assert asyncio.run(merge()) == batch.num_rows
        return write_table(cursor, table, *rest)

    monkeypatch.setattr(making, "_write_table", write_and_merge)
    before = query(source_url, "SELECT count(*) AS n FROM stocks_1m").item()
    source = BackupSource(source_url, "live", tmp_path)
    try:
        with new_backup(source, tmp_path / "to", WallClock(), lambda _: None) as (_, kept):
            pass
        assert sum(t.rows for t in kept.tables if t.name.startswith("stocks")) == before
    finally:
        run(source_url, "DELETE FROM stocks_1m WHERE symbol = '000660'")


def test_a_backup_of_an_older_version_comes_back_and_is_brought_up_to_date(
    new_databases: Any, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(server_url, "test")
    with connection.transaction() as cursor:
        newest = applied_migrations(cursor)
    connection.close()
    older = [version for version in newest if version < "20261125000003"]
    old_url, url = new_databases(), new_databases()
    migrate_to(old_url, older)
    run(
        old_url,
        "SELECT make_partition('futures_1m', 'a01')::text",
        "INSERT INTO futures_1m VALUES ('2026-11-16 09:01', 'A01612', 1, 2, 1, 2, 7,"
        " '2026-11-16 09:01:02', '2026-11-16 09:01:03', 'a01')",
    )
    with new_backup(BackupSource(old_url, "live", tmp_path), tmp_path, WallClock(), print):
        pass
    (path,) = backups(tmp_path)
    assert read_manifest(path).migrations == tuple(older)
    monkeypatch.setenv("KRT_DATABASE_URL", url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["restore", str(path)]) == 0
    assert query(url, "SELECT volume FROM futures_1m").item() == 7
    assert set(query(url, "SELECT version::text FROM schema_migrations")["version"]) == set(newest)


def test_files_of_old_trades_are_kept_and_what_stays_the_same_is_shared(
    source_url: str, new_databases: Any, tmp_path: Path
) -> None:
    trades = tmp_path / "data" / "trades"
    trades.mkdir(parents=True)
    for name in ("trades_20261001.parquet", "trades_20261002.parquet"):
        (trades / name).write_bytes(b"trades of " + name.encode())
    part = tmp_path / "data" / "book" / "20261003" / "032400000000.parquet"
    part.parent.mkdir(parents=True)
    for path in (part, part.parents[1] / "book_20261002.parquet"):
        path.write_bytes(b"book of " + path.name.encode())
    month = file_of(tmp_path / "data" / "archive", date(2026, 9, 1))
    month.parent.mkdir(parents=True)
    month.write_bytes(b"bars of a month")
    source = BackupSource(source_url, "live", tmp_path / "data")
    moments = iter(datetime(2026, 11, 27, 16, minute) for minute in range(9))
    clock: Any = SimpleNamespace(now=lambda: next(moments))

    def make() -> Path:
        with new_backup(source, tmp_path / "to", clock, lambda _: None):
            pass
        return backups(tmp_path / "to")[-1] / "trades"

    first = make()
    book = first.parent / "book"
    assert (book / "book_20261002.parquet").read_bytes() == b"book of book_20261002.parquet"
    assert (book / "20261003" / part.name).read_bytes() == part.read_bytes()
    (trades / "trades_20261002.parquet").write_bytes(b"with one that came late")
    second = make()
    links = {path.name: path.stat().st_nlink for path in sorted(second.iterdir())}
    assert links == {"trades_20261001.parquet": 2, "trades_20261002.parquet": 1}
    assert (second.parent / "tables" / "futures_a01.parquet").stat().st_nlink == 2
    assert (second / "trades_20261002.parquet").read_bytes() == b"with one that came late"

    # The shared one is damaged on the disk: the next backup takes the original again.
    (first / "trades_20261001.parquet").write_bytes(b"trades of trades_20261001.pXrquet")
    os.utime(
        first / "trades_20261001.parquet",
        (0, trades.joinpath("trades_20261001.parquet").stat().st_mtime),
    )
    third = make()
    assert (third / "trades_20261001.parquet").read_bytes().endswith(b"parquet")
    manifest.check_files(third.parent, read_manifest(third.parent))
    assert restore_files(third.parent, tmp_path / "back", read_manifest(third.parent)) == 5
    assert (tmp_path / "back" / "trades" / "trades_20261002.parquet").exists()
    back = file_of(tmp_path / "back" / "archive", date(2026, 9, 1))
    assert back.read_bytes() == b"bars of a month"


@pytest.mark.parametrize("path", ["tables/futures_a01.parquet", "manifest.json"])
def test_a_damaged_backup_is_refused_before_the_database_is_touched(
    made: Path, path: str, new_databases: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", new_databases())
    content = (made / path).read_bytes()
    try:
        (made / path).write_bytes(content[:-9])
        assert main(["restore", str(made)]) == 2
    finally:
        (made / path).write_bytes(content)
    assert "not what was written" in capsys.readouterr().err


def test_rows_that_come_back_otherwise_are_not_committed(
    made: Path, new_databases: Any, tmp_path: Path
) -> None:
    found = read_manifest(made)
    changed = [
        table.model_copy(update={"checksum": "1"}) if table.name == "futures_a01" else table
        for table in found.tables
    ]
    url = new_databases()
    with pytest.raises(Exception, match="futures_a01 came back with other rows"):
        restore_database(url, made, found.model_copy(update={"tables": changed}), print)
    assert query(url, "SELECT count(*) AS n FROM futures_1m").item() == 0


def test_a_full_disk_leaves_nothing(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "futures_a01.parquet")

    monkeypatch.setattr(making, "_write_rows", no_room)
    monkeypatch.setenv("KRT_DATABASE_URL", source_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["backup", "--to", str(tmp_path / "to"), "--unverified"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list((tmp_path / "to").iterdir()) == []


class Kill(BaseException):
    """Ends a backup where it is."""


def test_a_kill_leaves_nothing_that_claims_to_be_whole(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two tables, and when only the name is missing: nothing clears up behind it.

    The next backup does.
    """
    ended = subprocess.Popen(["true"])
    ended.wait()
    fsync, left = os.fsync, 0

    def count(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Kill
        fsync(descriptor)

    kept = [n for n, rows in contents(source_url).items() if rows and n not in NOT_KEPT]
    monkeypatch.setattr(os, "fsync", count)
    monkeypatch.setattr(manifest.os, "getpid", lambda: ended.pid)
    source = BackupSource(source_url, "live", tmp_path / "data")
    for number in (5, 2 * len(kept) + 3):  # a file and its folder, also of the manifest
        left = number
        with monkeypatch.context() as patch:
            patch.setattr(making.shutil, "rmtree", lambda *_, **__: None)
            with (
                pytest.raises(Kill),
                new_backup(source, tmp_path, WallClock(), lambda _: None),
            ):
                pass
        (unfinished,) = tmp_path.iterdir()
        assert backups(tmp_path) == []
        assert main(["restore", str(unfinished)]) == 2
        manifest.remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_old_backups_go_once_the_new_one_is_whole(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in (
        "krt-live-20261101-160000",
        "krt-live-20261102-160000",
        "krt-simulation-20261101-1",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "krt-live-20261031-160000").mkdir()  # without a manifest: not a backup
    monkeypatch.setenv("KRT_DATABASE_URL", source_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    assert main(["backup", "--to", str(tmp_path), "--keep", "2", "--unverified", "--json"]) == 0
    names = sorted(p.name for p in tmp_path.glob("krt-live-*"))
    assert names[:2] == ["krt-live-20261031-160000", "krt-live-20261102-160000"]
    assert len(names) == 3
    assert (tmp_path / "krt-simulation-20261101-1").exists()
    assert '"verified": false' in capsys.readouterr().out


def test_the_folder_of_all_backups_is_answered_with_the_newest(made: Path, capsys: Any) -> None:
    assert main(["restore", str(made.parent)]) == 2
    assert f"is not a backup: name {made}" in " ".join(capsys.readouterr().err.split())


def test_moments_are_seouls() -> None:
    assert making.backup_name("live", datetime(2026, 11, 27, 15, 45)) == "krt-live-20261127-154500"
