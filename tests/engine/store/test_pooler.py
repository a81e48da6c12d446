"""Behind a transaction pooler: each transaction may run on another server connection."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.clock import WallClock
from engine.history.scan import scan
from engine.store import Store, migrate
from engine.store.archive import BarArchive
from engine.store.embedded.programs import find_programs
from engine.store.export import export
from engine.store.pooler import behind_transaction_pooler
from pipelines.history.backfill import backfill
from pipelines.history.repair import validate_and_fix
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import validate
from tests.databases import command
from tests.engine.store.data import futures_bars
from tests.pipelines.day.playing import STOCK, play, stored
from tests.pipelines.simulated import desk

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"
)


@contextmanager
def pooled(database_url: str, user: str, path: str) -> Iterator[str]:
    """Put a pooler of two connections in front of the server, each transaction on the other one."""
    sockets = parse_qs(urlsplit(database_url).query)["host"][0]
    folder = Path("/tmp") / f"krt-bouncer-{uuid.uuid4().hex[:8]}"  # noqa: S108
    programs = find_programs(Path(sockets).owner() if os.geteuid() == 0 else None)
    programs.make_private_folder(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "bouncer.ini").write_text(
        f"""
        [databases]
        * = host={sockets} user={user}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 2
        server_round_robin = 1
        logfile = {folder}/bouncer.log
    """.replace("        ", "")
    )
    account = {"user": programs.account, "group": 0, "extra_groups": []} if programs.account else {}
    bouncer = subprocess.Popen(
        ["pgbouncer", "-q", folder / "bouncer.ini"], stderr=subprocess.DEVNULL, **account
    )
    _wait_for(port)
    yield f"postgresql://{user}@127.0.0.1:{port}{path}"
    bouncer.terminate()
    bouncer.wait(10)
    shutil.rmtree(folder)


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    with pooled(database_url, "postgres", urlsplit(database_url).path) as url:
        yield url


@pytest.fixture
def owned_url(database_url: str) -> Iterator[str]:
    """An empty database, behind the pooler, of an ordinary user who has nothing but it."""
    name = f"owner_{uuid.uuid4().hex[:8]}"
    command(database_url, f"CREATE ROLE {name} LOGIN")
    command(database_url, f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    try:
        with pooled(database_url, name, f"/{name}") as url:
            yield url
    finally:
        command(database_url, f"DROP DATABASE {name} WITH (FORCE)")
        command(database_url, f"DROP ROLE {name}")


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("PgBouncer does not answer")


async def test_merges_and_queries_do_not_rely_on_session_state(pooled_url: str) -> None:
    stores = [Store(pooled_url, WallClock(), component=f"pooled{n}") for n in range(4)]
    batches = [futures_bars([float(n)] * 30, symbol=f"A0160{n}") for n in range(4)]
    for _ in range(5):
        merged = await asyncio.gather(
            *(
                store.merge("futures_1m", batch)
                for store, batch in zip(stores, batches, strict=True)
            )
        )
        answers = await asyncio.gather(
            *(store.query("SELECT symbol, close FROM futures_1m") for store in stores)
        )
    assert [(m.inserted, m.unchanged) for m in merged] == [(0, 30)] * 4
    stored = pl.from_arrow(answers[0])
    assert stored.group_by("symbol").agg(pl.col("close").sum()).sort("symbol").rows() == [
        (f"A0160{n}", 30.0 * n) for n in range(4)
    ]
    for store in stores:
        await store.close()


def test_migrations_run_through_it(pooled_url: str) -> None:
    migrate(pooled_url)


def test_it_is_detected(pooled_url: str, database_url: str) -> None:
    assert behind_transaction_pooler(pooled_url)
    assert not behind_transaction_pooler(database_url)


async def test_all_goes_through_it_for_an_ordinary_owner(owned_url: str, tmp_path: Path) -> None:
    """From an empty database to an archive: no right of a superuser, no state of a session."""
    migrate(owned_url)
    opens, day = datetime(2025, 11, 4, 8, 59, 30), date(2025, 11, 4)
    week, symbols = (date(2025, 11, 3), date(2025, 11, 7)), [STOCK, "101W12"]
    async with desk(owned_url, tmp_path, opens) as at:
        rights = await at.frame(
            "SELECT rolsuper OR rolcreatedb AS any FROM pg_roles WHERE rolname = current_user"
        )
        assert not rights.item()
        played = await play(at, owned_url, tmp_path, until=opens.replace(hour=9, minute=4))
        assert played.error is None
        assert (await stored(at, STOCK, "stocks_1m"))[:3] == ["09:01", "09:02", "09:03"]
        await at.clock.sleep_until(datetime(2025, 11, 7, 18))
        report = await backfill(at.context, symbols, *week)
        assert report.stored == 5 * (381 + 411)
        await at.store.execute("DELETE FROM stocks_1m WHERE timestamp = '2025-11-05 10:00'")
        mended = await validate_and_fix(await at.next_run(), symbols, *week)
        assert (mended.before.exit_code, mended.exit_code) == (1, 0)
        bars = await at.bars("stocks_1m")
        assert_frame_equal(
            bars, pl.concat(at.served(STOCK, day + timedelta(n)) for n in range(-1, 4))
        )
        moved = BarArchive(tmp_path / "archive", 1).move(
            owned_url, date(2026, 1, 5), at.clock.now()
        )
        assert moved == {date(2025, 11, 1): 5 * 381}
        assert_frame_equal(scan("stocks_1m", owned_url).select(bars.columns).collect(), bars)
        assert (await validate(at.store, at.clock, symbols)).exit_code == 0
        assert export(owned_url, tmp_path / "lake", await validated_sessions(at.store)).height
