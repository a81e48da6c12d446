"""Sealed sessions as Parquet: a copy for any engine to read; Postgres stays the record.

    DIR/{table}/product={product}/month={YYYY-MM}/{table}.parquet

A file holds the fingerprint of its rows in the database; while that stays the same, the file is not
written again. Files appear whole or not at all.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.files import atomic_writer, remove_unfinished
from engine.market.codes import code_prefix
from engine.market.nights import chain_session_sql, session_sql
from engine.market.symbol_types import NIGHT_TABLE
from engine.market.symbols import Contract, OptionChain, Stock, parse
from engine.market.told_once import STREAMS, ToldOnce
from engine.market.venues import VENUE_TABLE, VenueStock
from engine.schemas import ALL_MATURITIES
from engine.store.archive import ARCHIVED, MONTHS, MONTHS_QUERY, archived_files
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.store import Store
from engine.store.table_setup import stored_columns
from engine.store.tables import SIGNAL_KEY, TABLES

log = logging.getLogger(__name__)

_FINGERPRINT = b"krt.fingerprint"
_STAMPS = {  # what a reader of the file has to know of its times (`engine.history.bar_file`)
    b"krt.stamps": b"end of minute",
    b"krt.timezone": b"Asia/Seoul",
}
# table → the column of the symbols whose sessions are sealed; of signals it is symbol
_EXPORTED = {
    "futures_1m": "symbol",
    NIGHT_TABLE: "symbol",
    "stocks_1m": "symbol",
    VENUE_TABLE: "symbol",
    "option_chain_raw": "underlying_symbol",
    "option_matrices": "underlying_symbol",
    "option_summary": "underlying_symbol",
    **dict.fromkeys((stream.table for stream in STREAMS.values()), "symbol"),
    "option_surface": "underlying_symbol",
}
# What is told once is sealed under the name that the ledger has for it: FLOWS_KOSPI.
_PREFIXES = {stream.table: stream.prefix for stream in STREAMS.values()}
_SIGNAL_TABLES = r"""
    SELECT relname::text AS name FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname LIKE '%\_signal' AND attname = 'committed_at'
    ORDER BY relname"""


@dataclass(frozen=True)
class _MonthFile:
    table: str
    product: str
    month: str  # YYYY-MM
    rows: int
    fingerprint: str

    def path(self, folder: Path) -> Path:
        month = folder / self.table / f"product={self.product}" / f"month={self.month}"
        return month / f"{self.table}.parquet"


def product_name(text: str) -> str:
    """Return what the files of a symbol are named by: a01, 101, stocks, nx, kospi200.

    Rows over all maturities have a name of their own: all_kospi200. What is not a symbol is
    `unknown`: its sessions are never sealed, so it never has a current file.
    """
    if text.startswith(ALL_MATURITIES):
        return text.lower()
    try:
        symbol = parse(text)
    except InputError:
        return "unknown"
    if isinstance(symbol, OptionChain):
        return symbol.series.name.lower()
    if isinstance(symbol, ToldOnce):
        return symbol.stream.name
    if isinstance(symbol, VenueStock):
        return symbol.venue.name.lower()
    return "stocks" if isinstance(symbol, Stock) else code_prefix(symbol.code)


def export(url: str, folder: Path, sealed: pl.DataFrame) -> pl.DataFrame:
    """Write the sealed sessions below the folder, where a file is not up to date.

    `sealed` has the columns symbol (of chains the underlying_symbol) and session (date). Returns
    table, product, month, rows, written. Raises StoreUnreachable, and OSError if the disk is full.
    """
    connection = Connection(url, "export")
    sealed = _with_states(
        sealed.select(pl.col("symbol").cast(pl.String), pl.col("session").cast(pl.Date))
    )
    parts: list[tuple[str, str, str, int, bool]] = []
    try:
        with connection.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            whole = pl.concat([sealed.select("symbol", "session"), _sealed_sums(cursor, sealed)])
            _ingest_sealed(cursor, whole)
            products = _products(whole["symbol"])
            archived = _archived_parts(cursor)
            for part, file in archived.items():
                written = _copy(file, part.path(folder))
                parts.append((part.table, part.product, part.month, part.rows, written))
            months = {part.month for part in archived}
            for table in [*_EXPORTED, *fetch_frame(cursor, _SIGNAL_TABLES)["name"]]:
                for part in _parts(cursor, table, _sealed_rows(table), products):
                    if part.table == ARCHIVED.name and part.month in months:
                        continue  # what came late is in the file once it has been joined
                    written = _write(cursor, part, folder, products)
                    parts.append((part.table, part.product, part.month, part.rows, written))
    finally:
        connection.close()
    names = {"table": pl.String, "product": pl.String, "month": pl.String, "rows": pl.Int64}
    return pl.DataFrame(parts, schema={**names, "written": pl.Boolean}, orient="row")


def _with_states(sealed: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions, and those of the states of contracts: they came with the bars."""
    state = STREAMS["state"].prefix
    contracts = [code for code in sealed["symbol"].unique() if _is_contract(code)]
    beside = sealed.filter(pl.col("symbol").is_in(contracts)).with_columns(
        symbol=pl.lit(state) + pl.col("symbol")
    )
    return pl.concat([sealed, beside]).unique()


def _is_contract(text: str) -> bool:
    try:
        return isinstance(parse(text), Contract)
    except InputError:
        return False


def _sealed_sums(cursor: Cursor, sealed: pl.DataFrame) -> pl.DataFrame:
    """Return all_KOSPI200 … and session, where every chain with a surface then is sealed."""
    session = chain_session_sql()
    stored = fetch_frame(
        cursor,
        f"SELECT DISTINCT underlying_symbol AS symbol, {session} AS session FROM option_surface"
        f" WHERE NOT starts_with(underlying_symbol, {literal(ALL_MATURITIES)})",
    )
    done = sealed.select("symbol", "session").with_columns(done=True)
    name = pl.col("symbol").map_elements(_sum_name, return_dtype=pl.String)
    return (
        stored.join(done, on=["symbol", "session"], how="left")
        .group_by(name, "session")
        .agg(pl.col("done").fill_null(value=False).all())
        .filter("done")
        .select(pl.col("symbol").cast(sealed.schema["symbol"]), "session")
    )


def _sum_name(chain: str) -> str:
    """Return the name of the rows over all maturities to which a chain belongs."""
    try:
        symbol = parse(chain)
    except InputError:
        return chain
    return (
        ALL_MATURITIES + symbol.series.call.underlying if isinstance(symbol, OptionChain) else chain
    )


def _ingest_sealed(cursor: Cursor, sealed: pl.DataFrame) -> None:
    cursor.execute("CREATE TEMP TABLE sealed (symbol text, session date) ON COMMIT DROP")
    arrow = sealed.to_arrow(compat_level=pl.CompatLevel.oldest())
    cursor.adbc_ingest("sealed", arrow, mode="append", temporary=True)
    cursor.execute("ANALYZE sealed")


def _products(symbols: pl.Series) -> pl.DataFrame:
    """Return symbol, product: what the files of each symbol are named by."""
    texts = sorted(symbols.cast(pl.String).drop_nulls().unique())
    schema = {"symbol": pl.String, "product": pl.String}
    return pl.DataFrame({"symbol": texts, "product": list(map(product_name, texts))}, schema)


async def copies(store: Store, folder: Path) -> pl.DataFrame:
    """Return every table, product and month of the database with its file below the folder.

    Columns table, product, month, path (text), current: whether the file holds exactly the rows
    that the database has now. Raises StoreUnreachable.
    """
    rows = []
    strategies = pl.DataFrame(await store.query(_SIGNAL_TABLES))["name"]
    for table in [*_EXPORTED, *strategies]:
        known = f"SELECT DISTINCT {_symbol_sql(table)} AS symbol FROM {identifier(table)}"
        symbols = pl.DataFrame(await store.query(known))["symbol"]
        if symbols.is_empty():
            continue
        all_rows = f"SELECT * FROM {identifier(table)}"
        query = _fingerprints(table, all_rows, _products(symbols))
        for row in pl.DataFrame(await store.query(query)).iter_rows():
            part = _MonthFile(table, *row)
            path = part.path(folder)
            current = _fingerprint(path) == part.fingerprint.encode()
            rows.append((table, part.product, part.month, str(path), current))
    names = ["table", "product", "month", "path"]
    schema = {**dict.fromkeys(names, pl.String), "current": pl.Boolean}
    return pl.DataFrame(rows, schema, orient="row")


def _symbol_column(table: str) -> str:
    return _EXPORTED.get(table, "symbol")


def _symbol_sql(table: str, alias: str = "") -> str:
    """Return SQL for the symbol under which a row's session is sealed."""
    column = f"{alias}{identifier(_symbol_column(table))}"
    return f"{literal(_PREFIXES[table])} || {column}" if table in _PREFIXES else column


def _parts(cursor: Cursor, table: str, rows: str, products: pl.DataFrame) -> list[_MonthFile]:
    if products.is_empty():
        return []
    found = fetch_frame(cursor, _fingerprints(table, rows, products))
    return [_MonthFile(table, *row) for row in found.iter_rows()]


def _fingerprints(table: str, rows: str, products: pl.DataFrame) -> str:
    """Return the SQL for product, month, count and fingerprint of a query's rows."""
    pairs = ", ".join(f"({literals(pair)})" for pair in products.iter_rows())
    two_sources = table in TABLES and TABLES[table].two_sources
    confirmed = ", 'confirmed', count(confirmed_at)" if two_sources else ""
    figures = f"count(*), max(committed_at), sum(extract(epoch FROM committed_at)){confirmed}"
    return (
        "SELECT products.product, to_char(timestamp, 'YYYY-MM') AS month, count(*) AS rows,"
        f" md5(concat({figures}))"
        f" AS fingerprint FROM ({rows}) AS rows JOIN (VALUES {pairs}) AS products (code, product)"
        f" ON products.code = {_symbol_sql(table, 'rows.')}"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )


def _sealed_rows(table: str, condition: str = "true") -> str:
    session = session_sql(table, "t.timestamp")
    if _symbol_column(table) == "underlying_symbol":
        session = chain_session_sql("t.timestamp", "t.underlying_symbol")
    return (
        f"SELECT t.* FROM {identifier(table)} AS t JOIN sealed"
        f" ON sealed.symbol = {_symbol_sql(table, 't.')} AND sealed.session = {session}"
        f" WHERE {condition}"
    )


def _write(cursor: Cursor, part: _MonthFile, folder: Path, products: pl.DataFrame) -> bool:
    """Write the file unless it is there with the same rows; return whether it was written."""
    path = part.path(folder)
    if _fingerprint(path) == part.fingerprint.encode():
        return False
    symbols = products.filter(pl.col("product") == part.product)["symbol"]
    key, columns = _key_and_columns(cursor, part.table)
    first = f"{literal(part.month + '-01')}::timestamp"
    month = f"t.timestamp >= {first} AND t.timestamp < {first} + interval '1 month'"
    cursor.execute(
        f"SELECT {identifiers(columns)} FROM ({_sealed_rows(part.table, month)}) AS rows"
        f" WHERE {_symbol_sql(part.table)} IN ({literals(symbols)})"
        f" ORDER BY {identifiers(key)}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)  # of an export that was killed
    with cursor.fetch_record_batch() as reader, atomic_writer(path) as file:
        own = {_FINGERPRINT: part.fingerprint.encode(), **_STAMPS}
        schema = reader.schema.with_metadata(own)
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
    return True


def _archived_parts(cursor: Cursor) -> dict[_MonthFile, Path]:
    """Return the months of bars that are in files alone, each with its file."""
    rows = fetch_frame(cursor, "SELECT month, rows, sha256 FROM archived_months ORDER BY month")
    files = archived_files(fetch_frame(cursor, MONTHS_QUERY).cast(MONTHS))
    return {
        _MonthFile(ARCHIVED.name, "stocks", f"{month:%Y-%m}", count, digest): files[month]
        for month, count, digest in rows.iter_rows()
    }


def _copy(file: Path, target: Path) -> bool:
    """Copy a file of the archive unless it is there already, by size and time."""
    known, there = file.stat(), target.stat() if target.exists() else None
    if there and (there.st_size, there.st_mtime_ns) == (known.st_size, known.st_mtime_ns):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(target.parent)
    with atomic_writer(target) as copy, file.open("rb") as source:
        shutil.copyfileobj(source, copy)
    os.utime(target, ns=(known.st_atime_ns, known.st_mtime_ns))
    return True


def _key_and_columns(cursor: Cursor, name: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns that order a table's rows, and those that are exported."""
    if name in TABLES:
        table = TABLES[name]
        return table.key, [column for column in table.columns if column not in table.derived]
    return SIGNAL_KEY, list(stored_columns(cursor, name))  # features differ by strategy


def _fingerprint(path: Path) -> bytes | None:
    if not path.exists():
        return None
    try:
        return (pq.read_schema(path).metadata or {}).get(_FINGERPRINT)
    except (OSError, pa.ArrowException):  # damaged: it is written anew
        return None
