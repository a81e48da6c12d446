"""The environment of benchmarks: one server, fresh databases, long histories that are made once."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from engine.market import sessions
from engine.market.expected import expected_sessions, expected_stamps
from engine.market.sessions import Market
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.export import export
from tests.databases import command, fresh_database

LAST = date(2026, 10, 30)
LOST = 1000  # one bar in so many
AT_ONCE = 2  # months


@dataclass(frozen=True)
class History:
    """Stocks 000001, 000002, … over the last sessions to LAST, one bar in LOST missing."""

    url: str
    targets: pl.DataFrame  # symbol, session
    rows: int


class BenchEnv:
    """`template_url` is a migrated database that is only copied; `folder` is for files."""

    def __init__(self, template_url: str, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._template = template_url
        self._stack = stack
        self._histories: dict[tuple[int, int], History] = {}
        self._exports: dict[str, Path] = {}

    def database(self) -> str:
        """Return the URL of a fresh database."""
        return self._stack.enter_context(fresh_database(self._template))

    def history(self, symbols: int, days: int) -> History:
        """Return so many stocks' bars of so many sessions; made once."""
        if (symbols, days) not in self._histories:
            self._histories[symbols, days] = fill(self.database(), symbols, days)
        return self._histories[symbols, days]

    def export_folder(self, history: History) -> Path:
        """Return the folder of the history's Parquet export; made once."""
        if history.url not in self._exports:
            folder = self.folder / f"export-{len(self._exports)}"
            export(history.url, folder, history.targets)
            self._exports[history.url] = folder
        return self._exports[history.url]


@contextmanager
def bench_env() -> Iterator[BenchEnv]:
    """Open an environment on a durable server of its own, and remove it afterwards."""
    server = Path(tempfile.gettempdir()) / f"krt-bench-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="krt-bench-")))
        url = stack.enter_context(embedded_server(server, temporary=True))
        command(url, "CREATE DATABASE bench_template")
        template = url.replace("/krt?", "/bench_template?")
        migrate(template)
        yield BenchEnv(template, folder, stack)


def fill(url: str, symbols: int, days: int) -> History:
    """Make the bars in the server, month by month, in the order in which they would come in."""
    start = min(sessions.previous_sessions(Market.STOCKS, LAST, days - 1), default=LAST)
    wanted = expected_sessions([f"{n:06}" for n in range(1, symbols + 1)], start, LAST)
    stamps = expected_stamps(wanted.filter(pl.col("symbol") == "000001")).select("stamp")
    months = stamps.with_columns(month=pl.col("stamp").dt.truncate("1mo")).partition_by(
        "month", maintain_order=True, include_key=False
    )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = sum(pool.map(partial(_fill_month, url, symbols), months))
    connection = Connection(url, "bench")
    for statement in ("VACUUM ANALYZE stocks_1m", "CHECKPOINT"):
        connection.execute_alone(statement)
    connection.close()
    return History(url, wanted, rows)


def _fill_month(url: str, symbols: int, stamps: pl.DataFrame) -> int:
    connection = Connection(url, "bench")
    month = f"{stamps['stamp'][0]:%Y%m}"
    try:
        connection.execute_alone(
            f"SELECT make_partition('stocks_1m', '{month}')"
        )  # others wait for it
        with connection.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("CREATE TEMP TABLE expected (stamp timestamp) ON COMMIT DROP")
            cursor.adbc_ingest("expected", stamps.to_arrow(), mode="append", temporary=True)
            cursor.execute(
                f"""INSERT INTO stocks_1m
                SELECT stamp, to_char(n, 'FM000000'), '1m', 50000 + wave, 50100 + wave,
                       49900 + wave, 50050 + wave, wave::bigint + n, stamp, stamp
                FROM expected, generate_series(1, {symbols}) AS n,
                     LATERAL (SELECT extract(epoch FROM stamp)::bigint / 60 AS minute) AS m,
                     LATERAL (SELECT 10.0 * (minute * 7919 % 101) AS wave) AS w
                WHERE abs(hashint8(minute * 100003 + n)::bigint) % {LOST} > 0
                ORDER BY stamp, n"""
            )
            cursor.execute(f"SELECT count(*) FROM stocks_1m_{month}")
            return int(cursor.fetchone()[0])
    finally:
        connection.close()
