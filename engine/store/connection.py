"""One ADBC connection: opened when needed, closed when it fails, everything in transactions.

Nothing relies on session state: a transaction pooler (PgBouncer, Supabase) may run each transaction
on another server connection. Settings are SET LOCAL, temporary tables live in their transaction,
and a query runs inside one too (all its messages must reach the same server).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeAlias

import adbc_driver_manager
import adbc_driver_manager.dbapi
import polars as pl
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions

from engine.clock import KST
from engine.environment import without_libpq_variables
from engine.errors import InputError, KrtError, StoreError, StoreLoginRefused, StoreUnreachable
from engine.store.driver import forget_types, open_connection
from engine.store.reachability import is_refusal, why_unreachable

Cursor: TypeAlias = adbc_driver_manager.dbapi.Cursor

STATEMENT_TIMEOUT = "300s"
LOCK_TIMEOUT = "60s"
# Of each transaction: what the server, its database or the role may have set otherwise. Our tables
# are in public, whatever schema comes first elsewhere.
_PINNED = {
    "statement_timeout": STATEMENT_TIMEOUT,
    "lock_timeout": LOCK_TIMEOUT,
    "search_path": "public",
    "timezone": KST.key,
    "datestyle": "ISO, YMD",
}
USE_COPY = StatementOptions.USE_COPY.value
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table|insert|update|delete|merge)\b",
    re.IGNORECASE | re.DOTALL,
)
# Where a statement really ends: comments and semicolons after it would break the COPY around it.
_PART = re.compile(
    r"(?P<idle>--[^\n]*|/\*.*?\*/|[\s;]+)"
    r"|e'(?:[^'\\]|''|\\.)*'|'[^']*'|\"[^\"]*\"|[$](?P<tag>\w*)[$].*?[$](?P=tag)[$]"
    r"|[^-/\s;e'\"$]+|.",
    re.IGNORECASE | re.DOTALL,
)
# A server that the network lost is noticed within a minute (milliseconds, seconds, times).
_KEEPALIVE = {
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# Classes of SQLSTATE that blame the data or the statement: the same would fail again. All others
# (connection, privileges taken away, disk full, shutting down, deadlock) may pass.
_FINAL = ("21", "22", "23", "42", "0A", "25", "P0", "3F")
# Exceptions: a revoked right, a standby that cannot write, a machine that slept in a transaction.
_READ_ONLY = "25006"
_NO_SUCH_TABLE = "42P01"
_PASSING = ("42501", _READ_ONLY, "25P03", "25P04")


class Connection:
    """A connection to be used by one thread at a time."""

    def __init__(self, url: str, component: str) -> None:
        self._url = url
        self._component = component
        self._open: Any = None
        self._failed = False  # the last try to connect

    @contextmanager
    def transaction(self, *, read_only: bool = False, snapshot: bool = False) -> Iterator[Cursor]:
        """Run the block in a transaction: committed at its end, rolled back on an error.

        In a `snapshot`, which only reads, every statement sees the database as it is at the first.
        Raises StoreUnreachable if the same may succeed later, StoreError if the server refuses.
        """
        with self.transaction_selecting(read_only=read_only, snapshot=snapshot) as (cursor, _):
            yield cursor

    @contextmanager
    def transaction_selecting(
        self,
        *columns: str,
        read_only: bool = False,
        snapshot: bool = False,
        lock_timeout: str = "",
    ) -> Iterator[tuple[Cursor, dict[str, Any]]]:
        """Run the block in a transaction as `transaction` does, and yield what `columns` give.

        They are SQL expressions, selected in one statement, after the one that sets the timeouts:
        a statement waits for the locks of its tables before any of its functions runs, so that in
        the same one no timeout would hold yet. `lock_timeout` stands instead of LOCK_TIMEOUT.
        """
        connection = self._connect()
        cursor = connection.cursor()
        try:
            # The driver's own BEGIN and COMMIT are one message each; as statements they would be
            # prepared and run separately, and a pooler might pick a server for each.
            connection.adbc_connection.set_autocommit(False)  # BEGIN
            if snapshot:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            elif read_only:
                cursor.execute("SET TRANSACTION READ ONLY")
            yield cursor, self._select_first(cursor, columns, lock_timeout or LOCK_TIMEOUT)
            connection.adbc_connection.set_autocommit(True)  # COMMIT
        except adbc_driver_manager.Error as error:
            self._roll_back()
            if not read_only:
                self._leave_standby(error)
            raise store_error(error, read_only=read_only) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            cursor.close()

    def _select_first(
        self, cursor: Cursor, columns: Sequence[str], lock_timeout: str
    ) -> dict[str, Any]:
        """Run the first statements of a transaction: its timeouts, and the columns asked for."""
        pinned = _PINNED | {"lock_timeout": lock_timeout}
        settings = fetch_values(
            cursor, *(f"set_config('{name}', '{v}', true) AS {name}" for name, v in pinned.items())
        )
        return fetch_values(cursor, *columns) if columns else settings

    def query(self, sql: str, *, read_only: bool = True) -> pa.Table:
        """Return the result of one statement, run in a transaction.

        Types without an equal in Arrow become the nearest: NUMERIC double precision, intervals
        durations; times with a zone are in Seoul's. Raises InputError if there is no statement.
        """
        statement = _without_end(sql)
        if not statement:
            raise InputError("there is no SQL to run")
        result = self._query(statement, read_only=read_only)
        if read_only and any(map(_is_unknown, result.schema.types)):
            self.close()
            forget_types(connection_url(self._url, self._component))
            result = self._query(statement, read_only=read_only)
        return _with_plain_types(result)

    def _query(self, statement: str, *, read_only: bool) -> pa.Table:
        try:
            with self.transaction(read_only=read_only) as cursor:
                # Results come by COPY, which takes queries only.
                copies = "true" if _QUERY.match(statement) else "false"
                cursor.adbc_statement.set_options(**{USE_COPY: copies})
                cursor.execute(statement)
                result = cursor.fetch_arrow_table()
                cursor.adbc_statement.set_options(**{USE_COPY: "true"})
                return result
        except StoreUnreachable as error:
            cause = error.__cause__
            if self._open is None or not isinstance(cause, adbc_driver_manager.Error):
                raise
            if cause.sqlstate:
                raise
            # The server said nothing and is still there: the driver cannot read what it gave.
            why = _server_message(cause)
            raise StoreError(
                f"a column has a type that cannot be read, cast it to text: {why}"
            ) from cause

    def execute_alone(self, statement: str, parameters: Sequence[object] | None = None) -> None:
        """Run a statement as a transaction of its own, as CREATE DATABASE requires."""
        try:
            with self._connect().cursor() as cursor:
                cursor.execute(statement, parameters)
        except adbc_driver_manager.Error as error:
            self._leave_standby(error)
            raise store_error(error) from error

    def cancel(self) -> None:
        """End the statement that another thread runs on the connection, if it runs one."""
        if (connection := self._open) is not None:
            with suppress(adbc_driver_manager.Error):
                connection.adbc_cancel()

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(adbc_driver_manager.Error):
                connection.close()

    def _connect(self) -> Any:
        if self._open is None:
            if self._failed and (why := why_unreachable(self._url)):
                raise StoreUnreachable(f"no connection to the database: {why}")
            self._failed = True
            try:
                self._open = connect(self._url, self._component)
            except adbc_driver_manager.Error as error:
                message = _server_message(error)
                kind = StoreLoginRefused if is_refusal(message) else StoreUnreachable
                raise kind(f"no connection to the database: {message}") from error
            self._failed = False
        return self._open

    def _roll_back(self) -> None:
        """Leave the transaction. A connection that cannot even do that is closed."""
        if self._open is None:
            return
        try:
            self._open.adbc_connection.rollback()
            self._open.adbc_connection.set_autocommit(True)
        except adbc_driver_manager.Error:
            self.close()

    def _leave_standby(self, error: adbc_driver_manager.Error) -> None:
        """Close the connection if it cannot write.

        After a failover it may lead to a standby, and a default of read-only transactions that has
        been taken back still holds for it: only another connection writes again.
        """
        if error.sqlstate == _READ_ONLY:
            self.close()


def _without_end(sql: str) -> str:
    """Return the SQL up to its last word: without comments and semicolons after it."""
    ends = (part.end() for part in _PART.finditer(sql) if part["idle"] is None)
    return sql[: max(ends, default=0)]


def _with_plain_types(table: pa.Table) -> pa.Table:
    """Return the table with columns of types that every reader of Arrow knows."""
    return pa.table([_with_plain_type(c) for c in table.columns], names=table.column_names)


def _is_unknown(kind: pa.DataType) -> bool:
    """Return whether the driver has not read what type it is: it may have been made since."""
    return isinstance(kind, pa.OpaqueType) and kind.type_name.startswith("unnamed<")


def _with_plain_type(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        return pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string()).cast(
            pa.float64()
        )
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp(kind.unit, KST.key))
    if pa.types.is_interval(kind):
        return _durations(column.to_pylist())
    return column


def _durations(intervals: list[pa.MonthDayNano | None]) -> pa.ChunkedArray:
    """Return durations; texts if any interval has months, whose length varies."""
    if any(interval and interval.months for interval in intervals):
        return pa.chunked_array([[_interval_text(interval) for interval in intervals]], pa.string())
    durations = [i and timedelta(i.days, 0, i.nanoseconds // 1000) for i in intervals]
    return pa.chunked_array([durations], pa.duration("us"))


def _interval_text(interval: pa.MonthDayNano | None) -> str | None:
    if interval is None:
        return None
    time = timedelta(microseconds=interval.nanoseconds // 1000)
    return f"{interval.months} months {interval.days} days {time}"


def fetch_values(cursor: Cursor, *columns: str) -> dict[str, Any]:
    """Select SQL expressions; return their values by name.

    Not by COPY, for which the driver has a statement prepared and described first: for one row that
    takes longer than the rest.
    """
    cursor.adbc_statement.set_options(**{USE_COPY: "false"})
    cursor.execute(f"SELECT {', '.join(columns)}")
    (values,) = cursor.fetch_arrow_table().to_pylist()
    cursor.adbc_statement.set_options(**{USE_COPY: "true"})
    return dict(values)


def fetch_frame(cursor: Cursor, statement: str) -> pl.DataFrame:
    """Run the statement; return its result."""
    cursor.execute(statement)
    return pl.DataFrame(cursor.fetch_arrow_table())


def connect(url: str, component: str) -> Any:
    """Open a connection of the driver, by the address alone. Raises the driver's errors."""
    with without_libpq_variables():
        return open_connection(connection_url(url, component))


def connection_url(url: str, component: str) -> str:
    """Return the URL with the component's name and its timeouts, where it does not set them.

    Text is always UTF-8 on the way, whatever the role, the database or the URL says.
    """
    wanted = {"application_name": component, "connect_timeout": "10"} | _KEEPALIVE
    for name, value in wanted.items():
        if f"{name}=" not in url:
            url = with_parameter(url, name, value)
    return with_parameter(url, "client_encoding", "utf8")


def with_parameter(url: str, name: str, value: str) -> str:
    """Return the URL with one more parameter; of two with one name the last counts."""
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


def store_error(error: adbc_driver_manager.Error, *, read_only: bool = False) -> KrtError:
    """Translate the driver's error: StoreError if it is final, StoreUnreachable if it may pass."""
    state = error.sqlstate or ""
    passing = state in _PASSING and not read_only
    if state.startswith(_FINAL) and not passing:
        message = _server_message(error)
        if state == _NO_SUCH_TABLE:
            message += "; `just sql --tables` lists what there is"
        return StoreError(f"the database refused: {message}")
    return StoreUnreachable(f"the database is away: {_server_message(error)}")


def _server_message(error: adbc_driver_manager.Error) -> str:
    """Return the server's message in one line, without the statement, which holds data."""
    for name, said in error.details:  # names are bytes, whatever their type says
        if "MESSAGE_PRIMARY" in str(name):
            return said.decode(errors="replace").partition("\n")[0]
    text = str(error)
    if found := re.search(r"(?:ERROR|FATAL|PANIC):\s+(.*)", text):
        return found.group(1)
    return text.split("\n", 1)[0].removeprefix("IO: ").removeprefix("[libpq] ")
