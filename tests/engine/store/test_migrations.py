"""Migrations run forward, also on a database with a history, and in several processes at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from engine.errors import StoreError, StoreUnreachable
from engine.store import migrate
from engine.store.connection import Connection
from tests.paths import ROOT

FILES = ROOT / "sql" / "migrations"


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    template, name = server_url.rpartition("/")[2].partition("?")[0], f"empty_{uuid4().hex[:12]}"
    with closing(Connection(server_url.replace(f"/{template}?", "/krt?"), "test")) as maintenance:
        maintenance.execute_alone(f"CREATE DATABASE {name}")
        yield server_url.replace(f"/{template}?", f"/{name}?")
        maintenance.execute_alone(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_year_of_data_stays_as_it_is(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first migrations alone, a year of bars, then all that came after."""
    first, *_ = sorted(FILES.glob("*.sql"))
    shutil.copy(first, tmp_path)
    monkeypatch.setattr("engine.store.migrations._migrations", lambda: tmp_path)
    migrate(empty_url)
    with closing(Connection(empty_url, "test")) as database:
        database.query("SELECT make_partition('futures_1m', 'a01')::text", read_only=False)
        database.execute_alone(
            "INSERT INTO futures_1m SELECT minute, 'A01612', 350, 351, 349, 350, 7, minute, minute,"
            " 'a01' FROM generate_series(timestamp '2025-01-02', '2025-12-31', '1 minute') minute"
        )
        digest = "SELECT count(*) AS n, sum(hashtextextended(f::text, 0)) AS h FROM futures_1m f"
        before = database.query(digest)
        monkeypatch.undo()
        migrate(empty_url)
        assert database.query(digest) == before
        assert applied(database) == len(list(FILES.glob("*.sql")))


def applied(database: Connection) -> int:
    return database.query("SELECT count(*)::bigint AS n FROM schema_migrations")["n"][0].as_py()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, [empty_url] * 3))
    with closing(Connection(empty_url, "test")) as database:
        assert applied(database) == len(list(FILES.glob("*.sql")))


def test_an_absent_server_is_unreachable_in_one_line_without_the_password() -> None:
    with pytest.raises(StoreUnreachable, match="refused") as error:
        migrate("postgresql://krt:secret@127.0.0.1:1/krt")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_message_of_postgres_about_a_wrong_migration_is_passed_on(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1_wrong.sql").write_text("-- migrate:up\nCREATE TABLE (;\n-- migrate:down\n")
    monkeypatch.setattr("engine.store.migrations._migrations", lambda: tmp_path)
    with pytest.raises(StoreError, match="syntax error"):
        migrate(empty_url)
