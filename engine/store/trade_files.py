"""Old sessions of trades leave the database for Parquet files beside it, and never get lost.

    FOLDER/trades_{YYYYMMDD}.parquet

A file has the trades of a session by symbol and day_volume. It is written, read back and compared
by count and sums; then the partition is compared once more and dropped, in one transaction. A kill
at any point leaves the partition, or both with the same trades, or the file: the next time finishes
what was begun. Trades that come for a session after it has left (a spool that waited for long, a
restored dump) are joined to its file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from engine import schemas
from engine.columns import TIME
from engine.errors import StoreError
from engine.files import (
    atomic_writer,
    day_of_name,
    private_folder,
    remove_unfinished,
    replacement,
)
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal
from engine.store.merge import latest_rows, lock_of
from engine.store.tables import COMMITTED_AT, TABLES

log = logging.getLogger(__name__)

FOLDER = "trades"  # in the folder of everything that belongs to a kind of data
TRADES = TABLES["trades"]
FRAME = pl.Schema({**pl.Schema(schemas.TRADES), COMMITTED_AT: TIME})
FILE_SCHEMA = schemas.TRADES.append(pa.field(COMMITTED_AT, schemas.TIME))
_NAME = re.compile(r"trades_([0-9]{8})(?:\.parquet)?", re.ASCII)
_GROUP = 100_000  # rows that are compressed together; a reader skips a group as a whole
# A merge of trades waits for the drop, and the drop for readers of the partition, no longer than
# this: then it is left for the next time.
_LOCK_TIMEOUT = "5s"

_NUMBERS = ("size", "day_volume", "day_bought", "day_sold", "bid_size", "ask_size", "open_interest")
# What is compared: SQL, and the expression that gives the same whole number of the same rows.
_SUMS = {
    "rows": ("count(*)", pl.len()),
    "symbols": ("count(DISTINCT symbol)", pl.col("symbol").n_unique()),
    "sides": ("count(side)", pl.col("side").count()),
    "states": ("count(limit_state)", pl.col("limit_state").count()),
    "traded_at": (
        "sum(extract(epoch FROM traded_at)::bigint)",
        pl.col("traded_at").dt.epoch("s").sum(),
    ),
    "received_at": (
        "sum(extract(microseconds FROM received_at)::bigint)",
        (pl.col("received_at").dt.epoch("us") % 60_000_000).sum(),
    ),
    "price": (
        "sum(floor(price * 100 + 0.5)::bigint)",
        (pl.col("price") * 100 + 0.5).floor().cast(pl.Int64).sum(),
    ),
    "turnover": (
        "sum(floor(day_turnover / 1000000)::bigint)",
        (pl.col("day_turnover") / 1_000_000).floor().cast(pl.Int64).sum(),
    ),
    **{name: (f"sum({name})", pl.col(name).sum()) for name in _NUMBERS},
}
_IN_SQL = ", ".join(f"coalesce({sql}, 0)::bigint AS {name}" for name, (sql, _) in _SUMS.items())
_IN_POLARS = [expression.cast(pl.Int64).alias(name) for name, (_, expression) in _SUMS.items()]
_STORED = f"""
    SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = to_regclass('public.{TRADES.name}') ORDER BY relname"""


@dataclass(frozen=True)
class TradeFiles:
    """Where the files of old sessions are, and how many days a session stays in the database."""

    folder: Path
    keep_days: int

    def move(self, url: str, today: date, now: datetime) -> dict[date, int]:
        """Move the sessions that are older; return how many trades each file has now.

        A session that somebody else is moving, or whose trades still change, is left for the next
        time, and so is what was begun when it raises StoreUnreachable, StoreError or OSError.
        """
        private_folder(self.folder)
        connection = Connection(url, "files")
        try:
            with FileLock(self.folder / ".moving.lock", timeout=0, mode=0o600):
                remove_unfinished(self.folder)
                old = _stored(connection, today - timedelta(days=self.keep_days))
                moved = {day: _move(connection, self.folder, day, now) for day in old}
        except Timeout:
            return {}
        finally:
            connection.close()
        return {day: rows for day, rows in moved.items() if rows is not None}


def file_of(folder: Path, session: date) -> Path:
    """Return the path of a session's file."""
    return folder / f"{_partition(session)}.parquet"


def sessions_in_files(folder: Path) -> list[date]:
    """Return the sessions that have a file, in order."""
    return _sessions(path.name for path in folder.glob("trades_*.parquet") if path.is_file())


def remove_files(folder: Path) -> None:
    """Remove the files of all sessions: the database that they belong to is emptied."""
    for session in sessions_in_files(folder):
        file_of(folder, session).unlink(missing_ok=True)


def stored_sessions(cursor: Cursor) -> list[date]:
    """Return the sessions that have a partition, in order."""
    return _sessions(fetch_frame(cursor, _STORED)["name"])


def joined(in_file: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the trades of both, each once, as if all had been merged in this order."""
    key = list(TRADES.key)
    return latest_rows(TRADES, pl.concat([in_file, stored]).sort(key, maintain_order=True))


def _sessions(names: Iterable[str]) -> list[date]:
    found = (day_of_name(name[1]) for text in names if (name := _NAME.fullmatch(text)))
    return sorted(day for day in found if day)


def _partition(session: date) -> str:
    return f"{TRADES.name}_{session:%Y%m%d}"


def _stored(connection: Connection, before: date) -> list[date]:
    with connection.transaction(read_only=True) as cursor:
        return [session for session in stored_sessions(cursor) if session < before]


def _move(connection: Connection, folder: Path, session: date, now: datetime) -> int | None:
    """Write the session's file and drop its partition; return the file's trades, None if not."""
    path = file_of(folder, session)
    with connection.transaction(read_only=True) as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        stored = _sums_stored(cursor, session)
        if _sums_in_file(path) != stored:  # else it was written before a kill
            with replacement(path) as making:  # of a file that alone has what has left before
                written = _write(cursor, making, path, session)
                if _sums_in_file(making) != written:
                    raise StoreError(
                        f"{path} does not hold what was written into it: check the disk"
                    )
    in_file = _sums_in_file(path)
    if in_file is None or not _drop(connection, session, stored, in_file["rows"], path.parent, now):
        log.info("⏱️ trades of %s still change; they leave the database the next time", session)
        return None
    return in_file["rows"]


def _write(cursor: Cursor, making: Path, path: Path, session: date) -> dict[str, int]:
    """Write the trades of the session, and those that its file has; return the sums of all."""
    before = _collect(path) if path.exists() else pl.DataFrame(schema=FRAME)
    names = fetch_frame(cursor, f"SELECT DISTINCT symbol {_from(session)}")["symbol"]
    sums = dict.fromkeys(_SUMS, 0)
    with (
        atomic_writer(making, private=True) as file,
        pq.ParquetWriter(file, FILE_SCHEMA, compression="zstd") as writer,
    ):
        for symbol in sorted({*names, *before["symbol"]}):
            rows = joined(before.filter(symbol=symbol), _rows(cursor, session, symbol))
            writer.write_batch(schemas.conform(rows, FILE_SCHEMA), row_group_size=_GROUP)
            for name, value in rows.select(_IN_POLARS).row(0, named=True).items():
                sums[name] += value
    return sums


def _rows(cursor: Cursor, session: date, symbol: str) -> pl.DataFrame:
    return fetch_frame(
        cursor,
        f"SELECT {identifiers(FILE_SCHEMA.names)} {_from(session)}"
        f" AND symbol = {literal(symbol)} ORDER BY day_volume",
    )


def _sums_stored(cursor: Cursor, session: date) -> dict[str, int]:
    return fetch_frame(cursor, f"SELECT {_IN_SQL} {_from(session)}").row(0, named=True)


def _sums_in_file(path: Path) -> dict[str, int] | None:
    """Return the sums of what the file holds; None if it does not exist."""
    if not path.exists():
        return None
    return _collect(path, _IN_POLARS).row(0, named=True)


def _collect(path: Path, wanted: Sequence[pl.Expr] = (pl.all(),)) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path, glob=False).select(wanted).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise StoreError(f"a file of trades cannot be read: {path}: {error}") from error


def _drop(
    connection: Connection,
    session: date,
    known: dict[str, int],
    in_file: int,
    folder: Path,
    now: datetime,
) -> bool:
    """Drop the partition if it still is what was read; no merge comes between."""
    with connection.transaction() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)}")
        fetch_frame(cursor, f"SELECT {lock_of(TRADES)} AS locked")
        if session not in stored_sessions(cursor) or _sums_stored(cursor, session) != known:
            return False
        values = (literal(session), literal(known["rows"]), literal(in_file), literal(str(folder)))
        fetch_frame(cursor, f"SELECT drop_trades({', '.join(values)}, {literal(now)})::text")
    return True


def _from(session: date) -> str:
    return f"FROM {identifier(TRADES.name)} WHERE session = {literal(session)}"
