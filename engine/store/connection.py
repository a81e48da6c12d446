"""One ADBC connection: opened when needed, given up when it fails, everything in transactions.

No session state is relied on: a transaction pooler (PgBouncer, Supabase) may put every transaction
on another server connection. Settings are SET LOCAL, temporary tables live in their transaction,
and also a query runs inside one (its parts must meet the same server).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeAlias

import adbc_driver_manager
import adbc_driver_manager.dbapi
import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions

from engine.clock import KST
from engine.errors import InputError, KrtError, StoreError, StoreUnreachable
from engine.store.reachability import why_unreachable

Cursor: TypeAlias = adbc_driver_manager.dbapi.Cursor

STATEMENT_TIMEOUT = "300s"
LOCK_TIMEOUT = "60s"
SETTINGS = (  # of a transaction; what a SELECT of it begins with
    f"set_config('statement_timeout', '{STATEMENT_TIMEOUT}', true) AS statement_timeout,"
    f" set_config('lock_timeout', '{LOCK_TIMEOUT}', true) AS lock_timeout"
)
USE_COPY = StatementOptions.USE_COPY.value
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table|insert|update|delete|merge)\b",
    re.IGNORECASE | re.DOTALL,
)
# A server that the network lost is noticed within a minute (milliseconds, seconds, times).
_KEEPALIVE = {
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# Classes of SQLSTATE that blame the data or the statement: the same would fail again. Whatever
# else (connection, privileges taken away, disk full, shutting down, deadlock) may pass.
_FINAL = ("21", "22", "23", "42", "0A", "25", "P0", "3F")
# … but a right revoked, a standby that does not write, a machine that slept through a transaction.
_PASSING = ("42501", "25006", "25P03", "25P04")


class Connection:
    """A connection to be used by one thread at a time."""

    def __init__(self, url: str, component: str) -> None:
        self._url, self._component = url, component
        self._open: Any = None
        self._failed = False  # the last try to connect

    @contextmanager
    def transaction(self, *, read_only: bool = False, bare: bool = False) -> Iterator[Cursor]:
        """Run the block in a transaction: committed at its end, rolled back on an error.

        A `bare` one leaves it to the block to select SETTINGS, together with what it asks first.
        Raises StoreUnreachable if the same may succeed later, StoreError if the server says no.
        """
        connection = self._connected()
        cursor = connection.cursor()
        try:
            # The driver's own BEGIN and COMMIT are one message each; as statements they would be
            # prepared and run apart, by whichever servers a pooler picks.
            connection.adbc_connection.set_autocommit(False)  # BEGIN
            if read_only:
                cursor.execute("SET TRANSACTION READ ONLY")
            if not bare:
                cursor.execute(f"SELECT {SETTINGS}")
                cursor.fetchall()
            yield cursor
            connection.adbc_connection.set_autocommit(True)  # COMMIT
        except adbc_driver_manager.Error as error:
            self._roll_back()
            raise store_error(error, read_only=read_only) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            cursor.close()

    def query(self, sql: str, *, read_only: bool = True) -> pa.Table:
        """Return what one statement gives, in one transaction.

        Types that Arrow has no equal for become what comes near: NUMERIC double precision,
        intervals durations; times with a zone are given in Seoul's.
        """
        if not sql.strip(" \t\r\n;"):
            raise InputError("there is no SQL to run")
        with self.transaction(read_only=read_only) as cursor:
            # Results come by COPY, which only takes what is a query.
            copies = "true" if _QUERY.match(sql) else "false"
            cursor.adbc_statement.set_options(**{USE_COPY: copies})
            cursor.execute(sql)
            result = cursor.fetch_arrow_table()
            cursor.adbc_statement.set_options(**{USE_COPY: "true"})
            return readable(result)

    def execute_alone(self, statement: str, parameters: Sequence[object] | None = None) -> None:
        """Run a statement as its own transaction (CREATE DATABASE may stand in no other)."""
        try:
            with self._connected().cursor() as cursor:
                cursor.execute(statement, parameters)
        except adbc_driver_manager.Error as error:
            raise store_error(error) from error

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(adbc_driver_manager.Error):
                connection.close()

    def _connected(self) -> Any:
        if self._open is None:
            if self._failed and (why := why_unreachable(self._url)):
                raise StoreUnreachable(f"no connection to the database: {why}")
            self._failed = True
            try:
                url = connection_url(self._url, self._component)
                self._open = adbc.connect(url, autocommit=True)
            except adbc_driver_manager.Error as error:
                raise StoreUnreachable(f"no connection to the database: {_said(error)}") from error
            self._failed = False
        return self._open

    def _roll_back(self) -> None:
        """Leave the transaction. A connection that cannot even do that is of no more use."""
        if self._open is None:
            return
        try:
            self._open.adbc_connection.rollback()
            self._open.adbc_connection.set_autocommit(True)
        except adbc_driver_manager.Error:
            self.close()


def readable(table: pa.Table) -> pa.Table:
    """Return the table with columns of types that everybody can read."""
    return pa.table([_readable(c) for c in table.columns], names=table.column_names)


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        return pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string()).cast(
            pa.float64()
        )
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp(kind.unit, KST.key))
    if pa.types.is_interval(kind):
        return _lengths(column.to_pylist())
    return column


def _lengths(intervals: list[pa.MonthDayNano | None]) -> pa.ChunkedArray:
    """Return durations; where one has months, which have no one length, texts."""
    if any(interval and interval.months for interval in intervals):
        return pa.chunked_array([[_in_words(interval) for interval in intervals]], pa.string())
    lengths = [i and timedelta(i.days, 0, i.nanoseconds // 1000) for i in intervals]
    return pa.chunked_array([lengths], pa.duration("us"))


def _in_words(interval: pa.MonthDayNano | None) -> str | None:
    if interval is None:
        return None
    time = timedelta(microseconds=interval.nanoseconds // 1000)
    return f"{interval.months} months {interval.days} days {time}"


def fetch_frame(cursor: Cursor, statement: str) -> pl.DataFrame:
    """Return what the statement gives."""
    cursor.execute(statement)
    return pl.DataFrame(cursor.fetch_arrow_table())


def connection_url(url: str, component: str) -> str:
    """Return the URL with the component's name and bounds on waiting, unless it has them."""
    wanted = {"application_name": component, "connect_timeout": "10"} | _KEEPALIVE
    extra = "&".join(f"{key}={value}" for key, value in wanted.items() if f"{key}=" not in url)
    return f"{url}{'&' if '?' in url else '?'}{extra}" if extra else url


def store_error(error: adbc_driver_manager.Error, *, read_only: bool = False) -> KrtError:
    """Translate the driver's error: is it final, or may the same succeed later?"""
    state = error.sqlstate or ""
    passing = state in _PASSING and not read_only
    if state.startswith(_FINAL) and not passing:
        return StoreError(f"the database refused: {_said(error)}")
    return StoreUnreachable(f"the database is away: {_said(error)}")


def _said(error: adbc_driver_manager.Error) -> str:
    """Return the server's own words in one line, without the statement (it holds data)."""
    text = str(error)
    if found := re.search(r"(?:ERROR|FATAL|PANIC):\s+(.*)", text):
        return found.group(1)
    return text.split("\n", 1)[0].removeprefix("IO: ").removeprefix("[libpq] ")
