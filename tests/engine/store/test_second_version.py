"""The schema and the merge on another version of Postgres, owned by a user without any right more.

The embedded server is of one version and ours alone. What runs on a managed or distributed Postgres
must need no superuser; Debian's own server of another version shows it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from engine.clock import WallClock
from engine.history.scan import scan
from engine.schemas import KEPT_SESSIONS
from engine.store import MergeCounts, Store, migrate
from engine.store.archive import BarArchive
from engine.store.connection import Connection
from tests.engine.store.data import batch, futures_bars, signals, stock_bars

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
ACCOUNT = "postgres"  # of Debian's packages; a server does not run as root
needs_a_server = pytest.mark.skipif(
    not SERVERS or not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("runuser"),
    reason="no second version of Postgres is installed here",
)


def run(*command: object) -> None:
    subprocess.run(
        ["runuser", "-u", ACCOUNT, "--", *map(str, command)], check=True, stdout=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def own_url() -> Iterator[str]:
    """A database of an ordinary user on a server of the second version."""
    programs = SERVERS[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="krt-second-"))
    shutil.chown(folder, ACCOUNT)
    data = folder / "data"
    try:
        run(programs / "initdb", "-D", data, "-E", "UTF8", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        log = folder / "log"
        run(programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        host = f"?host={str(folder).replace('/', '%2F')}"
        with closing(Connection(f"postgresql://{ACCOUNT}@/postgres{host}", "test")) as server:
            server.execute_alone("CREATE ROLE owner LOGIN")
            server.execute_alone("CREATE DATABASE own OWNER owner")
        url = f"postgresql://owner@/own{host}"
        migrate(url)
        yield url
        run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@needs_a_server
async def test_an_ordinary_user_of_another_version_has_all_that_we_do(
    own_url: str, tmp_path: Path
) -> None:
    store = Store(own_url, WallClock(), component="test")
    try:
        rights = pl.DataFrame(
            await store.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        )
        assert not rights.item()
        bars = stock_bars([1.0, 2.0])
        assert await store.merge("stocks_1m", bars) == MergeCounts(inserted=2)
        assert await store.merge("stocks_1m", bars) == MergeCounts(unchanged=2)
        again = stock_bars([1.0, 3.0], fetched=datetime(2025, 9, 2))
        assert await store.merge("stocks_1m", again) == MergeCounts(0, 1, 1)
        assert await store.merge("futures_1m", futures_bars([1.0])) == MergeCounts(inserted=1)
        assert await store.merge("dolpha1_signal", signals([0, 1])) == MergeCounts(inserted=2)
        kept = await store.query("SELECT close, new_close FROM replaced_bars")
        assert pl.DataFrame(kept).rows() == [(2.0, 3.0)]
        before = scan("stocks_1m", own_url).collect()
        counts = dict.fromkeys(("owed", "stored", "no_trade", "unavailable", "refused", "open"), 0)
        sealed = {"symbol": "005930", "session": date(2025, 9, 1), "market": "stocks", **counts}
        sealed |= {"validated": True, "updated_at": datetime(2025, 9, 2)}
        await store.merge("kept_sessions", batch(pl.DataFrame([sealed]), KEPT_SESSIONS))
        archive = BarArchive(tmp_path, 1)
        moved = archive.move(own_url, date(2025, 12, 1), datetime(2025, 12, 1))
        assert moved == {date(2025, 9, 1): 2}
        assert scan("stocks_1m", own_url).collect().equals(before)
    finally:
        await store.close()
