"""Whatever only looks reads as a role that can change nothing, and sends only what reads."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import InputError, StoreError
from engine.history.scan import query
from engine.settings import Settings
from engine.store.connection import Connection
from pipelines.commands.main import main
from pipelines.databases import open_database, open_reader
from pipelines.read_only import check_reads, reader_url
from tests.databases import command, fresh_database
from tests.paths import SERVERS_FOLDER

Address = Callable[[str], str]
WAYS = {
    "the role, after connecting as the owner": reader_url,
    "a connection as the reader": lambda url: reader_url(url, embedded=True),
}


@pytest.fixture(scope="module")
def target(server_url: str) -> Iterator[str]:
    """The URL of one database for all: nothing may change it, and each test looks."""
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def url(request: pytest.FixtureRequest, target: str) -> str:
    way: Address = request.param
    return way(target)


def test_the_reader_reads_everything(url: str) -> None:
    assert query(url, "SELECT current_user::text AS me")["me"].to_list() == ["krt_reader"]
    assert query(url, "SELECT * FROM futures_1m").is_empty()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO strategy_symbols VALUES ('a', 'b', now(), now())",
        "DELETE FROM futures_1m",
        "CREATE TABLE mine (a int)",
        "TRUNCATE gaps",
    ],
)
def test_the_reader_changes_nothing(url: str, statement: str) -> None:
    for way, said in ((url, "read-only"), (url.replace("only%3Don", "only%3Doff"), "permission")):
        connection = Connection(way, "test")
        with pytest.raises(StoreError, match=said):
            execute(connection, statement)
        connection.close()


def execute(connection: Connection, statement: str) -> None:
    with connection.transaction() as cursor:
        cursor.execute(statement)
        cursor.fetch_arrow_table()


def test_a_url_of_the_reader_stays_as_it_is(database_url: str) -> None:
    reader_url(database_url)
    own = database_url.replace("postgres@", "krt_reader@")
    assert reader_url(own) == own


EVERYTHING = """
SELECT (SELECT count(*) FROM gaps) AS gaps,
       (SELECT count(*) FROM pg_class) AS relations,
       (SELECT count(*) FROM pg_proc) AS functions,
       (SELECT count(*) FROM pg_largeobject_metadata) AS objects"""
ATTACKS = [
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "COPY gaps FROM PROGRAM 'touch {file}; true'",
    "COPY (SELECT 1) TO '{file}'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_terminate_backend({pid})",
    "SELECT pg_cancel_backend({pid})",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '{file}')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT dblink_exec('', 'DROP TABLE gaps')",
    "SET ROLE postgres",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET TRANSACTION READ WRITE",
    "SELECT set_config('role', 'postgres', false), query_to_xml('SELECT pg_read_file(''x'')', true,"
    " true, '')",
    "SELECT SeT_CoNfIg('role', 'none', true)",
    "SELECT \"set_config\"('role', 'none', true)",
    "SELECT set_config/**/('role', 'none', true)",
    "SELECT U&\"set\\005fconfig\"('role', 'none', true)",
    "SELECT U&\"set!005fconfig\" UESCAPE '!' ('role', 'none', true)",
    "SELECT U&\"set\\005fconfig\" /* /* */ */ ('role', 'none', true)",
    "SELECT query_to_xml('SELECT set_' || 'config(''role'', ''none'', true)', 1, 1, '')",
    "/* look */ -- only\n DROP TABLE gaps",
    "(COPY gaps TO STDOUT)",
    "SELECT 1; DROP TABLE gaps",
    "SELECT 1; COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "WITH gone AS (DELETE FROM gaps RETURNING 1) SELECT * FROM gone",
    "SELECT * INTO mine FROM gaps",
    "SELECT * FROM gaps FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM gaps",
    "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
    "SELECT forget_gaps('{{}}', '{{}}', '{{}}')",
    "SELECT make_partition('futures_1m', 'a05')",
    "DO $$ BEGIN DELETE FROM gaps; END $$",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "PREPARE mine AS SELECT 1",
    "LISTEN signals",
    "NOTIFY signals, 'sell'",
    "SELECT pg_notify('signals', 'sell')",
    "LOCK TABLE gaps",
    "VACUUM",
    "CHECKPOINT",
    "ALTER SYSTEM SET fsync = off",
    "SELECT pg_reload_conf()",
]


@pytest.fixture(scope="module")
def watching(target: str) -> Iterator[Connection]:
    connection = Connection(target, "bystander")
    yield connection
    connection.close()


@pytest.fixture
def bystander(watching: Connection) -> Iterator[int]:
    """A connection that an attack must not end, and that sees no change; yields its process."""
    process = watching.query("SELECT pg_backend_pid() AS pid")["pid"][0].as_py()
    before = watching.query(EVERYTHING)
    yield process
    assert watching.query("SELECT pg_backend_pid() AS pid")["pid"][0].as_py() == process
    assert watching.query(EVERYTHING) == before


@pytest.mark.parametrize("attack", ATTACKS)
def test_just_sql_runs_nothing_but_what_reads(
    attack: str,
    target: str,
    bystander: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On a server of the user's own, as its superuser: the strongest account there is."""
    monkeypatch.setenv("KRT_DATABASE_URL", target)
    monkeypatch.setattr("pipelines.databases.migrate", lambda _, keep: None)
    tmp_path.chmod(0o777)
    file = tmp_path / "made"
    assert main(["sql", attack.format(file=file, pid=bystander)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not file.exists()


@pytest.mark.parametrize(
    "reads",
    [
        "pg_log_backend_memory_contexts({pid})",
        "pg_get_process_memory_contexts({pid}, false, 1)",
        "pg_backup_start('x')",
        "pg_stat_reset()",
        "pg_stat_statements_reset()",
        "pg_wal_replay_pause()",
        "pg_copy_physical_replication_slot('a', 'b')",
        "pg_current_logfile()",
        "* FROM pg_hba_file_rules",
        "* FROM pg_file_settings",
    ],
)
def test_what_a_role_would_refuse_is_refused_by_its_name_where_there_is_none(reads: str) -> None:
    """Behind a pooler a superuser's address stays a superuser's."""
    with pytest.raises(InputError, match="queries are read-only"):
        check_reads(f"SELECT {reads}")


# A session's own settings and messages are everybody's, and a reader who logged in gains nothing.
_HARMLESS = ("LISTEN", "NOTIFY", "PREPARE", "pg_notify", "RESET", "DEFAULT", "'none'", "READ WRITE")


@pytest.mark.parametrize("attack", [a for a in ATTACKS if not any(w in a for w in _HARMLESS)])
def test_the_embedded_servers_reader_may_do_none_of_it(
    attack: str, target: str, bystander: int, tmp_path: Path
) -> None:
    """The rights alone, without our look at the statement."""
    tmp_path.chmod(0o777)
    file = tmp_path / "made"
    connection = Connection(reader_url(target, embedded=True), "test")
    with pytest.raises((StoreError, InputError)):
        connection.query(attack.format(file=file, pid=bystander))
    connection.close()
    assert not file.exists()


def test_whoever_logged_in_as_the_reader_stays_the_reader(database_url: str) -> None:
    connection = Connection(reader_url(database_url, embedded=True), "test")
    for escape in ("RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT"):
        with connection.transaction() as cursor:
            cursor.execute(escape)
            cursor.execute("SELECT current_user::text AS me")
            assert cursor.fetch_arrow_table()["me"].to_pylist() == ["krt_reader"]
    connection.close()


def test_a_user_who_may_not_take_the_role_reads_with_a_warning(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The statement and the transaction hold it back; one line says that the role does not."""
    name = f"plain_{uuid.uuid4().hex[:8]}"
    command(database_url, f"CREATE ROLE {name} LOGIN")
    try:
        command(database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        monkeypatch.setenv("KRT_DATABASE_URL", database_url.replace("postgres@", f"{name}@"))
        assert main(["sql", "SELECT count(*) AS n FROM gaps"]) == 0
        out, err = capfd.readouterr()
        assert ("0" in out, err.count("\n"), f"reading as {name}" in err) == (True, 1, True)
        for attack in ("DELETE FROM gaps", "WITH d AS (DELETE FROM gaps RETURNING 1) TABLE d"):
            assert main(["sql", attack]) == 2
            assert "read-only" in capfd.readouterr().err
    finally:
        command(database_url, f"DROP OWNED BY {name}")
        command(database_url, f"DROP ROLE {name}")


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A folder that the server's own account may enter, also where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="krt-reader-", dir=SERVERS_FOLDER))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_embedded_database_is_looked_at_as_the_reader(data_folder: Path) -> None:
    settings = Settings(data_folder=data_folder)
    user = "SELECT session_user::text AS me"
    with open_database("simulation", settings=settings) as opened:
        assert query(opened.url, user)["me"].to_list() == ["postgres"]
        with open_reader("simulation", settings=settings) as looking:
            assert query(looking.url, user)["me"].to_list() == ["krt_reader"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        " ( (select 1) ) ",
        "-- the newest\nWITH a AS (SELECT 1) TABLE a",
        "/* a */ VALUES (1)",
        "explain select 1",
        "SHOW timezone",
        "SELECT 'COPY', 'set config'",
        "SELECT lower('X'), logs FROM gaps",
        "",
        "1",
    ],
)
def test_what_reads_is_let_through(sql: str) -> None:
    check_reads(sql)
