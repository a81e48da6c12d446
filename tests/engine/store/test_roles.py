"""The reader reads, the writer merges, and neither can do more."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest

from engine.clock import WallClock
from engine.errors import KrtError
from engine.store import MergeCounts, Store, migrate
from engine.store.connection import Connection, fetch_frame
from engine.store.embedded.programs import find_programs
from engine.store.merge import complete_rows, merge_tables
from engine.store.metadata import roles_sql, store_strategy_symbols, system_status
from engine.store.table_setup import check_table, make_partitions
from engine.store.tables import TABLES, table_of
from tests.databases import command, fresh_database
from tests.engine.store.data import FETCHED, MINUTE, futures_bars, signals

FUTURES = TABLES["futures_1m"]


@pytest.fixture(scope="module")
def roles_url(server_url: str) -> Iterator[str]:
    """A database with the roles, for tests of what they may not do: nothing changes it."""
    with fresh_database(server_url) as url:
        _psql(url, roles_sql())
        _psql(url, roles_sql())  # again after each migration: it must not mind
        yield url


@pytest.fixture
async def refused_writer(roles_url: str) -> AsyncIterator[Store]:
    async with _store(roles_url, "krt_writer") as store:
        yield store


@pytest.fixture
async def refused_reader(roles_url: str) -> AsyncIterator[Store]:
    async with _store(roles_url, "krt_reader") as store:
        yield store


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[Store]:
    _psql(database_url, roles_sql())
    async with _store(database_url, "krt_writer") as store:
        yield store


@pytest.fixture
async def reader(writer: Store, database_url: str) -> AsyncIterator[Store]:
    async with _store(database_url, "krt_reader") as store:
        yield store


@asynccontextmanager
async def _store(url: str, role: str) -> AsyncIterator[Store]:
    store = Store(url.replace("postgres@", f"{role}@"), WallClock())
    try:
        yield store
    finally:
        await store.close()


def _psql(url: str, script: str) -> str:
    """Run the script; return its notices."""
    psql = find_programs().folder / "bin" / "psql"
    done = subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url],
        input=script,
        text=True,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


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
async def test_the_writer_cannot_destroy_or_rewrite_history(
    refused_writer: Store, sql: str
) -> None:
    await refused_writer.merge("futures_1m", futures_bars([1.0]))
    await refused_writer.execute("CREATE TEMP TABLE mine (LIKE futures_1m)")
    with pytest.raises(KrtError, match=r"permission denied|must be owner|no partition|no signal"):
        await refused_writer.execute(sql)


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
    refused_writer: Store, refused_reader: Store, sql: str
) -> None:
    await refused_writer.merge("futures_1m", futures_bars([1.0]))
    await refused_writer.merge("other_signal", signals([1]))  # made after the roles
    assert (await refused_reader.query("SELECT * FROM futures_101")).num_rows == 1
    assert (await refused_reader.query("SELECT * FROM other_signal")).num_rows == 1
    assert (await system_status(refused_reader))["Last bar of each symbol"].height == 1
    with pytest.raises(KrtError, match="permission denied"):
        await refused_reader.execute(sql)


LARGE_OBJECTS = (
    "lo_create(0)",
    "lo_creat(-1)",
    "lo_from_bytea(0, 'x')",
    "lo_put(1, 0, 'x')",
    "lo_unlink(1)",
    "lo_open(1, 131072)",
    "lowrite(1, 'x')",
)


@pytest.mark.parametrize("call", LARGE_OBJECTS)
async def test_nobody_but_the_owner_makes_large_objects(
    refused_writer: Store, refused_reader: Store, call: str
) -> None:
    for store in (refused_reader, refused_writer):
        with pytest.raises(KrtError, match="permission denied for function lo"):
            await store.execute(f"SELECT {call}")


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM merge_locks FOR UPDATE",
        "SELECT FROM merge_locks",
        "LOCK TABLE merge_locks",
        "LOCK TABLE futures_1m IN SHARE MODE",
        "LOCK TABLE futures_1m IN SHARE UPDATE EXCLUSIVE MODE",
        "SELECT FROM futures_1m FOR KEY SHARE",
        "SELECT restrict_roles()",
    ],
)
async def test_a_reader_holds_no_lock_that_a_merge_waits_for(
    refused_writer: Store, refused_reader: Store, lock: str
) -> None:
    await refused_writer.merge("futures_1m", futures_bars([1.0]))
    with pytest.raises(KrtError, match="permission denied"):
        await refused_reader.execute(lock)


def test_no_advisory_lock_of_a_reader_blocks_a_merge_or_a_new_table(database_url: str) -> None:
    """Every lock that merges and the functions that make tables took before, and a look as well."""
    _psql(database_url, roles_sql())
    held = ("futures_1m", "make_partition:futures_101", "make_signal_table:other_signal")
    reader = Connection(database_url.replace("postgres@", "krt_reader@"), "reader")
    owner = Connection(database_url, "test")
    with closing(reader), closing(owner), reader.transaction() as cursor:
        for name in held:
            fetch_frame(cursor, f"SELECT pg_advisory_lock(hashtextextended('{name}', 0))::text")
        fetch_frame(cursor, "SELECT count(*) AS n FROM futures_1m")
        rows = complete_rows(FUTURES, [futures_bars([1.0])], FETCHED)
        with owner.transaction() as merging:
            merging.execute("SET LOCAL lock_timeout = '5s'")
            make_partitions(merging, FUTURES, FUTURES.partitions(rows))
            check_table(merging, table_of("other_signal", signals([1]).schema))
        assert merge_tables(owner, [(FUTURES, rows)])[0]["inserted"].to_list() == [1]


async def test_nothing_in_the_schema_takes_an_advisory_lock(store: Store) -> None:
    found = await store.query(
        "SELECT proname::text AS name FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prosrc LIKE '%advisory%'"
    )
    assert found["name"].to_pylist() == []


@pytest.mark.parametrize(
    ("table", "column", "first", "other"),
    [
        ("data_origin", "kind", "live", "simulation"),
        ("simulated_market", "market", "seed 1", "seed 2"),
    ],
)
async def test_the_first_to_collect_says_what_the_data_are_and_nobody_changes_it(
    writer: Store, table: str, column: str, first: str, other: str
) -> None:
    await writer.execute(f"INSERT INTO {table} ({column}) VALUES ('{first}')")
    for change in (
        f"UPDATE {table} SET {column} = '{other}'",
        f"INSERT INTO {table} ({column}) VALUES ('{other}')",
        f"INSERT INTO {table} ({column}) VALUES ('{other}')"
        f" ON CONFLICT (only_row) DO UPDATE SET {column} = '{other}'",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"INSERT INTO {table} VALUES (NULL, '{other}')",
        f"INSERT INTO {table} VALUES (false, '{other}')",
    ):
        with pytest.raises(KrtError, match=r"permission denied|violates"):
            await writer.execute(change)
    assert (await writer.query(f"SELECT {column} FROM {table}"))[column].to_pylist() == [first]


async def test_a_reader_cannot_take_all_connections_nor_hold_one_for_ever(
    writer: Store,
) -> None:
    found = await writer.query(
        "SELECT rolconnlimit::bigint AS connections, rolconfig AS settings FROM pg_roles"
        " WHERE rolname = 'krt_reader'"
    )
    assert found["connections"].to_pylist() == [20]
    assert sorted(found["settings"][0].as_py()) == [
        "idle_in_transaction_session_timeout=5min",
        "statement_timeout=5min",
    ]


def test_an_ordinary_owner_of_a_database_can_migrate_and_make_the_roles(
    database_url: str,
) -> None:
    """What needs a superuser is left, with a notice; what the owner can do is done."""
    name = f"owner_{uuid.uuid4().hex[:8]}"
    command(database_url, f"CREATE ROLE {name} LOGIN CREATEROLE CREATEDB")
    command(database_url, f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    start, _, end = database_url.replace("postgres@", f"{name}@").rpartition("/")
    url = f"{start}/{name}?{end.partition('?')[2]}"
    try:
        migrate(url)
        said = _psql(url, roles_sql())
        assert "have a superuser run `just db-roles`" in said
        writer = Connection(url.replace(f"{name}@", "krt_writer@"), "test")
        with closing(writer), writer.transaction() as cursor:
            make_partitions(cursor, FUTURES, ["101"])
        with closing(writer):
            rows = complete_rows(FUTURES, [futures_bars([1.0])], FETCHED)
            assert merge_tables(writer, [(FUTURES, rows)])[0]["inserted"].to_list() == [1]
        reader = Connection(url.replace(f"{name}@", "krt_reader@"), "test")
        with closing(reader), pytest.raises(KrtError, match="permission denied"):
            reader.query("SELECT FROM merge_locks FOR UPDATE", read_only=False)
        _psql(
            start.replace(f"{name}@", "postgres@") + f"/{name}?{end.partition('?')[2]}", roles_sql()
        )
        with closing(reader), pytest.raises(KrtError, match="permission denied for function"):
            reader.query("SELECT lo_create(0)::text", read_only=False)
    finally:
        command(database_url, f"DROP DATABASE {name} WITH (FORCE)")
        command(database_url, f"DROP OWNED BY {name}")
        command(database_url, f"DROP ROLE {name}")


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
