"""The reader reads, the writer merges, and neither can do more."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator

import pytest

from engine.clock import WallClock
from engine.errors import KrtError
from engine.store import MergeCounts, Store, migrate
from engine.store.embedded.programs import find_programs
from engine.store.metadata import roles_sql, store_strategy_symbols, system_status
from tests.engine.store.data import FETCHED, MINUTE, futures_bars, signals


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[Store]:
    _psql(database_url, roles_sql())
    _psql(database_url, roles_sql())  # again after each migration: it must not mind
    store = Store(database_url.replace("postgres@", "krt_writer@"), WallClock())
    yield store
    await store.close()


@pytest.fixture
async def reader(writer: Store, database_url: str) -> AsyncIterator[Store]:
    store = Store(database_url.replace("postgres@", "krt_reader@"), WallClock())
    yield store
    await store.close()


def _psql(url: str, script: str) -> None:
    psql = find_programs().folder / "bin" / "psql"
    subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url], input=script, text=True, check=True
    )


async def test_the_writer_can_do_all_that_collecting_needs(writer: Store) -> None:
    assert (await writer.merge("futures_1m", futures_bars([1.0, 2.0]))).inserted == 2
    corrected = futures_bars([1.0, 3.0, 4.0], fetched=FETCHED + MINUTE)
    assert await writer.merge("futures_1m", corrected) == MergeCounts(1, 1, 1)
    assert (await writer.merge("dolpha1_signal", signals([0, 1]))).inserted == 2
    assert (await writer.merge("dolpha1_signal", signals([0, -1]))).changed == 1
    assert (await writer.merge("other_signal", signals([0, 1]))).inserted == 2
    assert (await writer.merge("other_signal", signals([0, -1]))).changed == 1
    assert (await store_strategy_symbols(writer, "dolpha1", ["101W09"])).inserted == 1
    overgrown = "SELECT forget_gaps('{101W09}', '{2025-09-01}', '{2025-09-01 09:01}')::text"
    assert (await writer.query(overgrown, read_only=False)).num_rows == 1
    assert (await system_status(writer))["Corrected sessions, newest first"].height == 1


@pytest.mark.parametrize("role", ["krt_writer", "krt_reader"])
def test_both_may_run_commands_where_the_schema_is_the_newest(database_url: str, role: str) -> None:
    """Each command brings the schema up to date first, and neither may create anything."""
    _psql(database_url, roles_sql())
    url = database_url.replace("postgres@", f"{role}@")
    migrate(url)
    _psql(database_url, "DELETE FROM schema_migrations WHERE version = '20261103000001'")
    with pytest.raises(KrtError, match="could not be migrated"):
        migrate(url)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE futures_1m",
        "TRUNCATE futures_1m",
        "DELETE FROM futures_1m",
        "DELETE FROM futures_101",
        "UPDATE signal_corrections SET table_name = 'x'",
        "UPDATE replaced_bars SET close = 0",
        "INSERT INTO replaced_bars (table_name) VALUES ('x')",
        "ALTER TABLE futures_1m DISABLE TRIGGER ALL",
        "CREATE TABLE public.mine (n bigint)",
        "SELECT make_partition('pg_class', 'a01')",
        "SELECT make_signal_table('x; DROP TABLE gaps; --_signal', '{}', '{}')",
        "CREATE ROLE boss SUPERUSER",
        "CREATE TRIGGER mine AFTER UPDATE ON pg_temp.mine FOR EACH ROW"
        " EXECUTE FUNCTION keep_replaced_bar('futures_1m')",
        "CREATE TRIGGER mine AFTER UPDATE ON pg_temp.mine FOR EACH ROW"
        " EXECUTE FUNCTION keep_given_signal()",
    ],
)
async def test_the_writer_cannot_destroy_or_rewrite_history(writer: Store, sql: str) -> None:
    await writer.merge("futures_1m", futures_bars([1.0]))
    await writer.execute("CREATE TEMP TABLE mine (LIKE futures_1m)")
    with pytest.raises(KrtError, match=r"permission denied|must be owner|no partition|no signal"):
        await writer.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO strategy_symbols VALUES ('x', 'y', now(), now())",
        "UPDATE futures_1m SET close = 0",
        "SELECT make_partition('futures_1m', 'a05')",
        "CREATE TEMP TABLE mine (n bigint)",
        "SELECT forget_gaps('{}', '{}', '{}')",
    ],
)
async def test_the_reader_reads_everything_and_writes_nothing(
    writer: Store, reader: Store, sql: str
) -> None:
    await writer.merge("futures_1m", futures_bars([1.0]))
    await writer.merge("other_signal", signals([1]))  # made after the roles
    assert (await reader.query("SELECT * FROM futures_101")).num_rows == 1
    assert (await reader.query("SELECT * FROM other_signal")).num_rows == 1
    assert (await system_status(reader))["Last bar of each symbol"].height == 1
    with pytest.raises(KrtError, match="permission denied"):
        await reader.execute(sql)


async def test_functions_with_their_owners_rights_are_closed_by_default(store: Store) -> None:
    """They find tables by their owner's search_path, not by the caller's."""
    loose = await store.query(
        """SELECT proname::text AS name FROM pg_proc AS f
           WHERE pronamespace = 'public'::regnamespace AND prosecdef
             AND (NOT coalesce(proconfig, '{}') @> '{"search_path=public, pg_temp"}'
                  OR EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                             WHERE grantee = 0))"""
    )
    assert loose["name"].to_pylist() == []
    made = await store.query("SELECT count(*) AS n FROM pg_proc WHERE prosecdef")
    assert made["n"].to_pylist()[0] >= 5
