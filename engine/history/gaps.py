"""The quick look: which stamps of which sessions are missing, over years at once, exactly.

Postgres joins each symbol's stamps into one byte string: half the bytes of one row a bar and a
third of the time (an array takes a quarter more). DuckDB compares sessions as bits
(`sql/checks/missing.sql`). Ten million bars take two seconds; from the Parquet export, one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.columns import SESSION
from engine.history.archived import months_query
from engine.history.checks import FINDINGS, Relation, all_checks, run_checks
from engine.history.queries import between_dates, symbols_by_table
from engine.market.expected import with_grids
from engine.store import Store
from engine.store.archive import ARCHIVED, archived_files
from engine.store.identifiers import literals

GAPS = pl.Schema(
    {name: FINDINGS[name] for name in (*SESSION, "first_stamp", "last_stamp", "bars")}
)  # runs of missing stamps
PART = 12_000  # targets read at once: some five million stamps, 40 MB
_UNNESTED = "SELECT symbol, unnest(stamps) AS timestamp FROM lists"
_SAMPLE = 0.1  # per cent of a table's pages
_NEARLY_ALL = 0.5  # of the stored rows; for a smaller share the index on the symbol is faster
_EPOCH = np.datetime64("2000-01-01", "us").astype(np.int64)  # Postgres counts from there


async def find_gaps(store: Store, targets: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return GAPS: every run of missing stamps in the targets' sessions.

    Only those of codes; option chains are left out, and what the ledger explains is not. While one
    part is compared, the next one is read.
    """
    gaps = [GAPS.to_frame()]
    comparing = None
    for table, of_table in _by_table(targets):
        condition = await _symbol_condition(store, table, of_table)
        for part in _parts(of_table):
            lists = _stamp_lists(await store.query(_stamps_query(table, condition, part)))
            files = await _archived_files(store, table, part)
            if comparing:
                gaps.append(await comparing)
            comparing = asyncio.create_task(clock.thread(_gaps_in_lists, part, lists, files))
    return pl.concat([*gaps, await comparing] if comparing else gaps)


async def _symbol_condition(store: Store, table: str, of_table: pl.DataFrame) -> str:
    """Return the SQL condition on symbols; `true` if a sample shows that nearly all are wanted.

    Comparing each row's symbol with sixty others costs the server a fifth of its time, more than
    sending a few rows that were not wanted; these are ignored here.
    """
    condition = f"symbol IN ({literals(of_table['symbol'].unique().sort())})"
    sample = await store.query(
        f"SELECT avg(({condition})::int::float8) AS share"  # noqa: S608 - quoted
        f" FROM {table} TABLESAMPLE SYSTEM ({_SAMPLE}) WHERE {_span(table, of_table)}"
    )
    share = sample["share"][0].as_py()  # None for a small table: its sample may be empty
    return "true" if share is not None and share >= _NEARLY_ALL else condition


def _stamps_query(table: str, condition: str, part: pl.DataFrame) -> str:
    return (
        "SELECT symbol, string_agg(timestamp_send(timestamp), '') AS stamps"  # noqa: S608 - quoted
        f" FROM {table} WHERE {condition} AND {_span(table, part)} GROUP BY symbol"
    )


def _span(table: str, part: pl.DataFrame) -> str:
    days = part["session"].sort()
    return between_dates(days[0], days[-1], table)


def _stamp_lists(strings: pa.Table) -> pa.Table:
    """Turn symbol and bytes into symbol and stamps: eight bytes each, microseconds, big-endian."""
    texts = strings["stamps"].to_pylist()
    ends = np.cumsum([0, *map(len, texts)]) // 8
    stamps = np.frombuffer(b"".join(texts), ">i8") + _EPOCH
    lists = pa.LargeListArray.from_arrays(ends, pa.array(stamps, pa.timestamp("us")))
    return pa.table({"symbol": strings["symbol"], "stamps": lists})


async def _archived_files(store: Store, table: str, part: pl.DataFrame) -> list[Path]:
    """Return the files that have bars of the part, of months that have left the database."""
    if table != ARCHIVED.name:
        return []
    days = part["session"].sort()
    months = pl.DataFrame(await store.query(months_query(days[0], days[-1])))
    return list(archived_files(months).values())


def _gaps_in_lists(part: pl.DataFrame, lists: pa.Table, files: Sequence[Path]) -> pl.DataFrame:
    if not files:
        return gaps_in(part, _UNNESTED, lists=lists)
    days = part["session"].sort()
    in_files = (
        f"SELECT symbol, timestamp FROM read_parquet([{literals(map(str, files))}])"  # noqa: S608
        f" WHERE {between_dates(days[0], days[-1])}"
    )
    return gaps_in(part, f"{_UNNESTED} UNION ALL {in_files}", lists=lists)


def gaps_in(targets: pl.DataFrame, bars: Relation, **sources: Relation) -> pl.DataFrame:
    """Return GAPS: the runs of stamps that must exist but that `bars` (symbol, timestamp) lack.

    `bars` may be a query, also over `sources`: `SELECT * FROM read_parquet('…')`.
    """
    numbered, grids = with_grids(targets)
    check = [check for check in all_checks() if check.name == "missing"]
    found = run_checks(check, {"targets": numbered, "grids": grids, "bars": bars, **sources})
    return found.select(list(GAPS))


def _by_table(targets: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for table, codes in symbols_by_table(targets["symbol"].unique().to_list()).items():
        yield table, targets.filter(pl.col("symbol").is_in(codes))


def _parts(of_table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield targets that fit in memory: some sessions of all symbols.

    Tables are laid out by time, so each of their pages is read for one part alone.
    """
    days = of_table.group_by("session").len().sort("session")
    number = (days["len"].cum_sum() - 1) // PART
    for part in days.with_columns(number.alias("part")).partition_by("part", maintain_order=True):
        yield of_table.join(part, on="session", how="semi")
