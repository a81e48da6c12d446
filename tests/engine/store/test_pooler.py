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
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from engine.clock import WallClock
from engine.store import Store, migrate
from engine.store.embedded.programs import find_programs
from engine.store.pooler import behind_transaction_pooler
from tests.engine.store.data import futures_bars

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"
)


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    parts = urlsplit(database_url)
    sockets = parse_qs(parts.query)["host"][0]
    folder = Path("/tmp") / f"krt-bouncer-{uuid.uuid4().hex[:8]}"  # noqa: S108
    programs = find_programs(Path(sockets).owner() if os.geteuid() == 0 else None)
    programs.make_private_folder(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "bouncer.ini").write_text(
        f"""
        [databases]
        * = host={sockets} user=postgres
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
    url = f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    _wait_for(port)
    yield url
    bouncer.terminate()
    bouncer.wait(10)
    shutil.rmtree(folder)


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
