"""Sealed months of stock bars leave the database for Parquet files, and never get lost.

    FOLDER/stocks_1m/product=stocks/month={YYYY-MM}/stocks_1m.parquet

The layout and the columns are those of the export (`engine.store.export`), by symbol and time. A
month leaves once it is so many months old and all of its sessions are validated. Its file is
written and fsync'd, read back and compared by count, hash and sums; then the partition is compared
once more and dropped, in the transaction that notes the month in `archived_months`. A kill at any
point leaves the partition (a file beside it counts for nothing) or the file alone.

A merge that touches a month in a file brings the rows that it touches back first (`recall`), so
that it finds what was stored. So a bar may stand in both; then the database's is the later one, and
the next time joins it to the file.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from engine import schemas
from engine.columns import PRICES
from engine.errors import StoreError
from engine.files import atomic_writer, private_folder, remove_unfinished, replacement
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.merge import lock_of
from engine.store.tables import TABLES

log = logging.getLogger(__name__)

FOLDER = "archive"  # in the folder of everything that belongs to a kind of data
ARCHIVED = TABLES["stocks_1m"]
FILE_SCHEMA = pa.schema(
    [
        *schemas.STOCK_BARS,
        *(pa.field(name, schemas.TIME) for name in ARCHIVED.columns[len(schemas.STOCK_BARS) :]),
    ]
)
FRAME = pl.Schema(pl.DataFrame(FILE_SCHEMA.empty_table()).schema)
KEY = list(ARCHIVED.key)
MONTHS = pl.Schema([("month", pl.Date()), ("folder", pl.String())])
MONTHS_QUERY = f"SELECT month, folder FROM archived_months WHERE table_name = '{ARCHIVED.name}'"
_METADATA = {b"krt.stamps": b"end of minute", b"krt.timezone": b"Asia/Seoul"}
_GROUP = 50_000  # rows that are compressed together: six symbols of a month; a reader skips groups
_AT_ONCE = 500_000  # rows in memory
_LOCK_TIMEOUT = "5s"  # a merge waits no longer for the drop, nor the drop for readers
_NAME = re.compile(rf"{ARCHIVED.name}_([0-9]{{4}})([0-9]{{2}})", re.ASCII)
_STORED = f"""
    SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = to_regclass('public.{ARCHIVED.name}') ORDER BY relname"""
# What is compared beside the hash: SQL, and the expression that gives the same whole number.
_SUMS = {
    "rows": ("count(*)", pl.len()),
    "volume": ("sum(volume)", pl.col("volume").sum()),
    "sources": ("sum(length(source))", pl.col("source").str.len_bytes().sum()),
    "confirmed": ("count(confirmed_at)", pl.col("confirmed_at").count()),
    **{
        name: (
            f"sum(floor({name} * 100 + 0.5)::bigint)",
            (pl.col(name) * 100 + 0.5).floor().cast(pl.Int64).sum(),
        )
        for name in PRICES
    },
    **{
        name: (
            f"sum(extract(microseconds FROM {name})::bigint)",
            (pl.col(name).dt.epoch("us") % 60_000_000).sum(),
        )
        for name in ("fetched_at", "committed_at")
    },
}
_IN_SQL = ", ".join(f"coalesce({sql}, 0)::bigint AS {name}" for name, (sql, _) in _SUMS.items())
_IN_POLARS = [expression.cast(pl.Int64).alias(name) for name, (_, expression) in _SUMS.items()]
Sums = dict[str, int]


@dataclass(frozen=True)
class BarArchive:
    """Where the files are, and how many whole months stay in the database; None: all of them."""

    folder: Path
    keep_months: int | None

    def move(self, url: str, today: date, now: datetime) -> dict[date, int]:
        """Move the sealed months that are older; return how many bars each file has now.

        A month that is not sealed, that somebody else is moving, or whose bars still change is left
        for the next time, and so is what was begun when it raises StoreUnreachable, StoreError or
        OSError.
        """
        if self.keep_months is None:
            return {}
        private_folder(self.folder)
        connection = Connection(url, "archive")
        try:
            with FileLock(self.folder / ".moving.lock", timeout=0, mode=0o600):
                with connection.transaction(read_only=True) as cursor:
                    months = stored_months(cursor)
                old = [month for month in months if _age(month, today) > self.keep_months]
                moved = {month: _move(connection, self.folder, month, now) for month in old}
        except Timeout:
            return {}
        finally:
            connection.close()
        return {month: rows for month, rows in moved.items() if rows is not None}


def file_of(folder: Path, month: date) -> Path:
    """Return the path of a month's file."""
    inside = folder / ARCHIVED.name / "product=stocks" / f"month={month:%Y-%m}"
    return inside / f"{ARCHIVED.name}.parquet"


def archived_files(months: pl.DataFrame) -> dict[date, Path]:
    """Return the file of each month of MONTHS. Raises StoreError if one is not here."""
    files = {month: file_of(Path(folder), month) for month, folder in months.sort("month").rows()}
    for month, file in files.items():
        if not file.exists():
            raise StoreError(
                f"the stock bars of {month:%Y-%m} have left the database for {file}, which is not"
                " here: read them on the machine that collects, or bring its archive here"
            )
    return files


def stored_months(cursor: Cursor) -> list[date]:
    """Return the months that have a partition, in order."""
    names = (_NAME.fullmatch(name) for name in fetch_frame(cursor, _STORED)["name"])
    return [date(int(name[1]), int(name[2]), 1) for name in names if name]


def archived_pieces(cursor: Cursor) -> set[str]:
    """Return the months that are in files, as `make_partition` calls them: 202610."""
    return {f"{month:%Y%m}" for month in fetch_frame(cursor, MONTHS_QUERY)["month"]}


def recall(connection: Connection, rows: pl.DataFrame) -> None:
    """Bring back from files the bars that a merge of these rows would find, were they stored."""
    with connection.transaction() as cursor:
        months = fetch_frame(cursor, MONTHS_QUERY).cast(MONTHS)
        wanted = rows.select(month=pl.col("timestamp").dt.date().dt.truncate("1mo")).unique()
        for file in archived_files(months.join(wanted, on="month", how="semi")).values():
            known = pl.scan_parquet(file, glob=False, hive_partitioning=False)
            found = known.join(rows.lazy().select(KEY), on=KEY, how="semi").collect()
            if found.is_empty():
                continue
            name, columns = identifier(ARCHIVED.name), identifiers(FILE_SCHEMA.names)
            cursor.execute(f"CREATE TEMP TABLE recalled (LIKE {name}) ON COMMIT DROP")
            arrow = schemas.conform(found, FILE_SCHEMA)
            cursor.adbc_ingest("recalled", arrow, mode="append", temporary=True)
            cursor.execute(
                f"INSERT INTO {name} ({columns}) SELECT {columns} FROM recalled"
                " ON CONFLICT DO NOTHING"
            )
            cursor.execute("DROP TABLE pg_temp.recalled")


def with_stored(in_file: pl.LazyFrame, stored: pl.DataFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of a file and the database's, which stand where both have one."""
    if stored.is_empty():
        return in_file
    columns = in_file.collect_schema().names()
    rest = in_file.join(stored.lazy().select(key), on=list(key), how="anti")
    return pl.concat([rest, stored.lazy().select(columns)])


def rehome(url: str, folder: Path) -> None:
    """Note that the files of all months are below another folder now, after a restore."""
    connection = Connection(url, "archive")
    try:
        connection.execute_alone(f"UPDATE archived_months SET folder = {literal(str(folder))}")
    finally:
        connection.close()


def _age(month: date, today: date) -> int:
    return 12 * (today.year - month.year) + today.month - month.month


def _move(connection: Connection, folder: Path, month: date, now: datetime) -> int | None:
    """Write a month's file and drop its partition; return the file's bars, None if not."""
    path = file_of(folder, month)
    with connection.transaction(snapshot=True) as cursor:
        fetch_frame(cursor, "SELECT set_config('statement_timeout', '0', true)")
        unsealed = fetch_frame(cursor, _unsealed_query(month))["sessions"].item()
        if unsealed:
            log.info(
                "⏱️ %s stays in the database: %d sessions are not validated; see just validate",
                f"{month:%Y-%m}",
                unsealed,
            )
            return None
        stored = _sums_stored(cursor, month)
        months = fetch_frame(cursor, MONTHS_QUERY).cast(MONTHS)
        earlier = archived_files(months.filter(month=month)).get(month)
        with replacement(path) as making:  # of a file that alone has what has left before
            read, written, hashed = _write(cursor, making, month, earlier)
            if read != stored:
                raise StoreError(f"{month:%Y-%m} of {ARCHIVED.name} was not read as it is stored")
            if _figures_in_file(making) != (written, hashed):
                raise StoreError(f"{path} does not hold what was written into it: check the disk")
    if not _drop(connection, month, stored, _row(path, folder, month, written, now)):
        log.info("⏱️ bars of %s still change; they leave the database the next time", month)
        return None
    log.info("🔄 %s of %s is in %s alone now", f"{month:%Y-%m}", ARCHIVED.name, path)
    return written["rows"]


def _unsealed_query(month: date) -> str:
    return (
        "SELECT count(*) AS sessions FROM (SELECT DISTINCT symbol, timestamp::date AS session"
        f" {_from(month)}) AS stored LEFT JOIN kept_sessions AS k USING (symbol, session)"
        " WHERE (k.validated AND k.open = 0) IS NOT TRUE"
    )


def _write(cursor: Cursor, path: Path, month: date, earlier: Path | None) -> tuple[Sums, Sums, int]:
    """Write the bars of a month, and those that its file has.

    Returns the sums of what was read from the database, and sums and hash of what was written.
    """
    private_folder(path.parent)
    remove_unfinished(path.parent)
    schema = FILE_SCHEMA.with_metadata(_METADATA)
    read, sums, hashed = dict.fromkeys(_SUMS, 0), dict.fromkeys(_SUMS, 0), 0
    with (
        atomic_writer(path, private=True) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for symbols in _symbol_parts(cursor, month, earlier):
            rows = _rows(cursor, month, symbols)
            _add(read, rows)
            if earlier is not None:
                before = pl.scan_parquet(earlier, glob=False, hive_partitioning=False)
                part = before.filter(pl.col("symbol").is_in(symbols)).select(list(FRAME))
                rows = with_stored(part, rows, KEY).sort(KEY).collect()
            writer.write_batch(schemas.conform(rows, FILE_SCHEMA), row_group_size=_GROUP)
            _add(sums, rows)
            hashed ^= _hash(rows)
    return read, sums, hashed


def _symbol_parts(cursor: Cursor, month: date, earlier: Path | None) -> Iterator[list[str]]:
    """Yield all symbols, in their order, in parts whose bars fit into memory."""
    counts = [fetch_frame(cursor, f"SELECT symbol, count(*) AS bars {_from(month)} GROUP BY 1")]
    if earlier is not None:
        known = pl.scan_parquet(earlier, glob=False, hive_partitioning=False)
        bars = pl.len().cast(pl.Int64).alias("bars")
        counts.append(known.group_by("symbol").agg(bars).collect())
    found = pl.concat(counts).group_by("symbol").agg(pl.col("bars").sum()).sort("symbol")
    part = (found["bars"].cum_sum() - 1) // _AT_ONCE
    for one in found.with_columns(part=part).partition_by("part", maintain_order=True):
        yield one["symbol"].to_list()


def _rows(cursor: Cursor, month: date, symbols: list[str]) -> pl.DataFrame:
    found = fetch_frame(
        cursor,
        f"SELECT {identifiers(FILE_SCHEMA.names)} {_from(month)}"
        f" AND symbol IN ({literals(symbols)})",
    )
    return found.cast(FRAME).sort(KEY)


def _hash(rows: pl.DataFrame) -> int:
    """Return a hash of all values of rows, whatever their order."""
    hashed = rows.hash_rows(seed=0)
    return int(hashed.bitwise_xor() or 0)  # type: ignore[arg-type]


def _add(sums: Sums, rows: pl.DataFrame) -> None:
    for name, value in rows.select(_IN_POLARS).row(0, named=True).items():
        sums[name] += value


def _sums_stored(cursor: Cursor, month: date) -> Sums:
    return fetch_frame(cursor, f"SELECT {_IN_SQL} {_from(month)}").row(0, named=True)


def _figures_in_file(path: Path) -> tuple[Sums, int]:
    """Return sums and hash of what the file holds. Raises StoreError if it cannot be read."""
    sums, hashed = dict.fromkeys(_SUMS, 0), 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_AT_ONCE):
                rows = pl.DataFrame(batch).match_to_schema(FRAME)
                _add(sums, rows)
                hashed ^= _hash(rows)
    except (pa.ArrowException, OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"an archive of bars cannot be read: {path}: {error}") from error
    return sums, hashed


def _row(path: Path, folder: Path, month: date, written: Sums, now: datetime) -> str:
    """Return the row of `archived_months`, as SQL."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    day = pl.col("timestamp").dt.date()
    ends = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(
        day.min(), last=day.max()
    )
    first, last = ends.collect().row(0)
    size = path.stat().st_size
    values = [ARCHIVED.name, month, written["rows"], size, digest, first, last, str(folder), now]
    return f"ROW({', '.join(map(literal, values))})::archived_months"


def _drop(connection: Connection, month: date, known: Sums, row: str) -> bool:
    """Drop the partition if it still is what was read; no merge comes between."""
    with connection.transaction() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)}")
        cursor.execute("SET LOCAL statement_timeout = 0")
        fetch_frame(cursor, f"SELECT {lock_of(ARCHIVED)} AS locked")
        if month not in stored_months(cursor) or _sums_stored(cursor, month) != known:
            return False
        call = f"drop_archived_month({literal(month)}, {literal(known['rows'])}, {row})"
        fetch_frame(cursor, f"SELECT {call}::text")
    return True


def _from(month: date) -> str:
    first = literal(month)
    return (
        f"FROM {identifier(ARCHIVED.name)} WHERE timestamp >= {first}::date"
        f" AND timestamp < {first}::date + interval '1 month'"
    )
