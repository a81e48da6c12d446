"""Migrations run forward, also on a database with a history, and in several processes at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from engine.errors import SchemaIsNewer, StoreError, StoreUnreachable
from engine.store import migrate
from engine.store.connection import Connection
from engine.store.dump import password_environment, without_password
from tests.databases import run_script
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
    kept = tmp_path / "kept"
    migrate(empty_url, keep=kept)
    assert not kept.exists(), "there was nothing to keep"
    with closing(Connection(empty_url, "test")) as database:
        database.query("SELECT make_partition('futures_1m', 'a01')::text", read_only=False)
        database.execute_alone(
            "INSERT INTO futures_1m SELECT minute, 'A01612', 350, 351, 349, 350, 7, minute, minute,"
            " 'a01' FROM generate_series(timestamp '2025-01-02', '2025-12-31', '1 minute') minute"
        )
        columns = database.query("SELECT * FROM futures_1m LIMIT 1").column_names
        digest = (
            "SELECT count(*) AS n, sum(hashtextextended(ROW(" + ", ".join(columns) + ")::text, 0))"
            " AS h FROM futures_1m"
        )
        before = database.query(digest)
        monkeypatch.undo()
        migrate(empty_url, keep=kept)
        assert database.query(digest) == before
        sources = "SELECT DISTINCT source, confirmed_at FROM futures_1m"
        assert database.query(sources).to_pylist() == [{"source": "rest", "confirmed_at": None}]
        assert applied(database) == len(list(FILES.glob("*.sql")))
        (schema,) = kept.iterdir()
        text = schema.read_text("utf-8")
        version = first.name.partition("_")[0]
        assert schema.name.startswith(f"schema-{version}-")
        assert "CREATE TABLE public.futures_1m" in text
        assert "A01612" not in text
        assert text.endswith(f"-- migration {version}\n")
        migrate(empty_url, keep=kept)
        assert [*kept.iterdir()] == [schema], "nothing was to be migrated"
        refuse_what_is_newer(empty_url, database)


def refuse_what_is_newer(url: str, database: Connection) -> None:
    """An upgrade that was taken back: the old program does not touch what the new one made."""
    database.execute_alone("INSERT INTO schema_migrations VALUES ('29991231000001')")
    with pytest.raises(SchemaIsNewer, match="newer than this program"):
        migrate(url)


@pytest.mark.parametrize(
    ("address", "shown", "secret"),
    [
        (
            "postgresql://u:p%40:,w@h:5/d?sslmode=require",
            "postgresql://u@h:5/d?sslmode=require",
            "p@:,w",
        ),
        (
            "postgresql://u@:5432/d?host=%2Ftmp%2Frun",
            "postgresql://u@:5432/d?host=%2Ftmp%2Frun",
            None,
        ),
        ("postgresql:///d?password=se%20cret&host=h", "postgresql:///d?host=h", "se cret"),
        ("postgresql://u@h/d?host=h&password=x", "postgresql://u@h/d?host=h", "x"),
    ],
)
def test_no_program_shows_a_password_among_its_arguments(
    address: str, shown: str, secret: str | None
) -> None:
    assert without_password(address) == shown
    assert password_environment(address).get("PGPASSWORD") == secret


SETTLED_BEFORE = """
INSERT INTO front_months VALUES
    ('A01', 'A01612', '2026-09-11', '2026-12-10', '2026-11-01', '2026-11-01');
INSERT INTO gaps
SELECT symbol, session::date, 'any', session + interval '10 hours', session + interval '10 hours',
       stamps, state, attempts, 'KIS has no bar there', session, session, session
FROM (VALUES
    ('A01612', timestamp '2026-11-02', 3, 'no_trade', 2),    -- a front month
    ('000040', timestamp '2026-11-02', 381, 'no_trade', 2),  -- a whole session
    ('000020', timestamp '2026-11-02', 5, 'no_trade', 2),    -- rows were refused on this day
    ('000020', timestamp '2026-11-03', 6, 'no_trade', 2),    -- and none on this one
    ('000020', timestamp '2026-11-04', 7, 'unavailable', 2),
    ('000060', current_date - 20, 4, 'no_trade', 1),        -- by one answer alone
    ('000070', current_date - 400, 4, 'no_trade', 1)        -- and KIS has dropped it since
) AS settled (symbol, session, stamps, state, attempts);
INSERT INTO kept_sessions
SELECT symbol, session, market, 400, CASE WHEN symbol = '000040' THEN 0 ELSE 400 - stamps END,
       stamps, 0, 0, true, updated_at, committed_at
FROM gaps WHERE state = 'no_trade';
INSERT INTO rejected_rows
    (received_at, tr_id, symbol, reason, raw, first_received_at, committed_at)
VALUES ('2026-11-02', 'X', '000020', 'beyond the price limit',
        '{"stck_bsop_date":"20261102"}', '2026-11-02', '2026-11-02'),
       ('2026-11-03', 'X', '000020', 'outside the session',
        '{"stck_bsop_date":"20261103"}', '2026-11-03', '2026-11-03');
"""


def test_what_the_old_rule_may_have_settled_wrongly_is_open_again(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Front months, whole sessions, sessions with refused rows, and by one answer."""
    for file in sorted(FILES.glob("*.sql")):
        if file.name < "20261127000007":
            shutil.copy(file, tmp_path)
    monkeypatch.setattr("engine.store.migrations._migrations", lambda: tmp_path)
    migrate(empty_url)
    run_script(empty_url, SETTLED_BEFORE)
    monkeypatch.undo()
    migrate(empty_url)
    with closing(Connection(empty_url, "test")) as database:
        states = (
            "SELECT symbol, session::text, state, attempts FROM gaps"
            " WHERE symbol NOT IN ('000060', '000070') ORDER BY 1, 2"
        )
        assert pl.DataFrame(database.query(states)).rows() == [
            ("000020", "2026-11-02", "open", 0),
            ("000020", "2026-11-03", "no_trade", 2),
            ("000020", "2026-11-04", "unavailable", 2),
            ("000040", "2026-11-02", "open", 0),
            ("A01612", "2026-11-02", "open", 0),
        ]
        kept = (
            "SELECT symbol, session::text, no_trade, open, refused, validated"
            " FROM kept_sessions WHERE symbol NOT IN ('000060', '000070') ORDER BY 1, 2"
        )
        assert pl.DataFrame(database.query(kept)).rows() == [
            ("000020", "2026-11-02", 0, 5, 0, False),
            ("000020", "2026-11-03", 6, 0, 0, True),
            ("000040", "2026-11-02", 0, 381, 0, False),
            ("A01612", "2026-11-02", 0, 3, 0, False),
        ]
        by_one = (
            "SELECT g.symbol, g.state, g.attempts, k.open, k.no_trade FROM gaps AS g"
            " JOIN kept_sessions AS k USING (symbol, session)"
            " WHERE symbol IN ('000060', '000070') ORDER BY 1"
        )
        assert pl.DataFrame(database.query(by_one)).rows() == [
            ("000060", "open", 0, 4, 0),
            ("000070", "no_trade", 1, 0, 4),
        ]


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
