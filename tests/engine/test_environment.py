"""What the environment holds for other programs changes nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from engine.clock import WallClock
from engine.environment import (
    child_environment,
    forget_libpq_variables,
    page_environment,
    without_libpq_variables,
)
from engine.history.scan import scan
from engine.store import Store, embedded_server, migrate
from engine.store.connection import Connection
from tests.engine.store.data import futures_bars

HOSTILE = {
    "PGCLIENTENCODING": "UHC",
    "PGSERVICE": "nowhere",
    "PGSERVICEFILE": "/nowhere",
    "PGOPTIONS": "-c search_path=pg_catalog -c default_transaction_read_only=on",
    "PGCHANNELBINDING": "require",
    "PGHOST": "203.0.113.1",
    "PGHOSTADDR": "203.0.113.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "nowhere",
    "PGPASSWORD": "x",
    "PGSSLMODE": "verify-full",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGSSENCMODE": "require",
    "PGREQUIREPEER": "somebody",
    "PGTZ": "America/New_York",
    "PGDATESTYLE": "SQL, DMY",
    "PGDATA": "/nowhere",
    "DBMATE_MIGRATIONS_TABLE": "another",
    "DBMATE_MIGRATIONS_DIR": "/nowhere",
    "DATABASE_URL": "postgresql://203.0.113.1/x",
    "LC_ALL": "tr_TR.UTF-8",
    "LC_MESSAGES": "ko_KR.EUC-KR",
    "LANG": "xx",
    "PYTHONPATH": "/nowhere",
    "PYTHONHOME": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "cp949",
    "LD_PRELOAD": "/nowhere.so",
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile")
async def test_hostile_variables_do_not_reach_a_connection(database_url: str) -> None:
    """PGCLIENTENCODING=UHC ended the day, PGHOSTADDR used another server."""
    store = Store(database_url, WallClock())
    await store.merge("futures_1m", futures_bars([1.0]))
    answer = await store.query("""
        SELECT '한글 ✅' AS text, current_setting('client_encoding') AS encoding,
               current_setting('timezone') AS zone, current_setting('datestyle') AS style,
               date '2026-11-02'::text AS day, current_setting('search_path') AS path
    """)
    await store.close()
    assert answer.to_pylist() == [
        {
            "text": "한글 ✅",
            "encoding": "UTF8",
            "zone": "Asia/Seoul",
            "style": "ISO, YMD",
            "day": "2026-11-02",
            "path": "public",
        }
    ]
    assert scan("futures_1m", database_url).select(pl.len()).collect().item() == 1
    assert os.environ["PGHOSTADDR"] == "203.0.113.1", "another library may need it"


@pytest.mark.usefixtures("hostile")
def test_hostile_variables_reach_neither_the_embedded_server_nor_dbmate() -> None:
    folder = Path(tempfile.gettempdir()) / f"krt-hostile-{uuid4().hex[:8]}"
    with embedded_server(folder, durable=False, temporary=True) as url:
        migrate(url)
        migrate(url)
        with closing(Connection(url, "test")) as database:
            tables = database.query("SELECT tablename::text AS t FROM pg_tables")["t"].to_pylist()
            server = database.query(
                "SELECT name::text, setting FROM pg_settings WHERE name IN"
                " ('TimeZone', 'lc_messages', 'server_encoding', 'lc_collate')"
            ).to_pylist()
    assert "schema_migrations" in tables
    assert "another" not in tables
    assert {(s["name"], s["setting"]) for s in server} >= {
        ("TimeZone", "Asia/Seoul"),
        ("lc_messages", "C"),
        ("server_encoding", "UTF8"),
    }


@pytest.mark.usefixtures("hostile")
def test_a_child_gets_named_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("KRT_DATA_FOLDER", "/here")
    monkeypatch.setenv("https_proxy", "http://proxy")
    strangers = {*HOSTILE, "AWS_SECRET_ACCESS_KEY"}
    assert not strangers & child_environment().keys()
    assert not strangers & page_environment().keys()
    assert "KRT_DATA_FOLDER" not in child_environment()
    assert page_environment(A="b").items() >= {
        ("KRT_DATA_FOLDER", "/here"),
        ("A", "b"),
        ("https_proxy", "http://proxy"),
    }
    code = "import sys; sys.stdout.write('한글 ✅' + sys.stdout.encoding)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=page_environment(), check=True, capture_output=True
    )
    assert done.stdout.decode() == "한글 ✅utf-8"


@pytest.mark.usefixtures("hostile")
def test_the_program_forgets_what_libpq_would_read() -> None:
    forget_libpq_variables()
    assert not [name for name in os.environ if name.startswith("PG")]


@pytest.mark.usefixtures("hostile")
def test_threads_that_connect_at_once_hide_the_variables_from_each_other() -> None:
    def connect(_: int) -> bool:
        with without_libpq_variables():
            return any(name.startswith("PG") for name in os.environ)

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(connect, range(200)))
    assert {n: os.environ.get(n) for n in HOSTILE} == HOSTILE


WRITES_BATCHES = """
import ctypes
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from pipelines.commands.main import main

main(["live", "--help"])
import psutil
import pyarrow as pa

numbers = pa.array(range(6_000))


def batch(rows):
    some = numbers.slice(0, rows)
    return pa.RecordBatch.from_pydict({"a": some.cast(pa.float64()), "b": some.cast(pa.string())})


def write(written):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, written.schema) as stream:
        stream.write_batch(written)


def heaps():
    if sys.platform != "linux":
        return 0
    libc, file = ctypes.CDLL(None), tempfile.NamedTemporaryFile()
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    return file.read().count(b"<heap nr=")


def memory():
    return psutil.Process().memory_info().rss / 2**20


write(batch(10))
before = memory()
with ThreadPoolExecutor(6) as threads:
    for minute in range(40):
        here = [batch(500 * (1 + minute % 7)) for _ in range(8)]
        list(threads.map(write, here))
        there = list(threads.map(batch, [500 * (1 + minute % 11)] * 8))
        for written in there:
            write(written)
        del here, there, written
most = pa.default_memory_pool().max_memory() / 2**20
print(pa.total_allocated_bytes(), most, memory() - before, heaps())
"""


def test_live_keeps_no_memory_of_batches_that_threads_have_written() -> None:
    """Of some 1 MB at a time, Arrow's own allocator kept 40 MB for good."""
    done = subprocess.run(
        [sys.executable, "-c", WRITES_BATCHES],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    held, most, grown, heaps = map(float, done.stdout.splitlines()[-1].split())
    assert held < 100_000
    assert 0.5 < most < 4
    assert grown < 20
    assert heaps <= 2  # of glibc: sixteen on two cores
