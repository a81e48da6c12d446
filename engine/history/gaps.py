"""The quick look: how many stamps of which sessions are missing, over years at once, exactly.

Postgres strings each symbol's stamps together as it would send them: half the bytes of a row a bar
and a third of the time (an array takes a quarter more). DuckDB compares sessions as bits
(`sql/checks/missing.sql`). Ten million bars take two seconds; from the Parquet export, one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.history.checks import FINDINGS, Relation, all_checks, run_checks
from engine.history.queries import between_dates, symbols_by_table
from engine.market.expected import with_grids
from engine.store import Store
from engine.store.identifiers import literals

_RUN = ("symbol", "session", "first_stamp", "last_stamp", "bars")
AT_ONCE = 12_000  # targets: some five million stamps, 40 MB
_UNNESTED = "SELECT symbol, unnest(stamps) AS timestamp FROM lists"
NOTHING = pl.Schema({name: FINDINGS[name] for name in _RUN})
_SAMPLE = 0.1  # per cent of a table's pages
_NEARLY_ALL = 0.5  # of the rows stored; of fewer, the index finds those of the symbols asked for
_EPOCH = np.datetime64("2000-01-01", "us").astype(np.int64)  # Postgres counts from there


async def find_gaps(store: Store, targets: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return symbol, session, first_stamp, last_stamp, bars of every run of missing stamps.

    Of codes alone; option chains are left out. The ledger is not asked. While one part is looked
    at, the next one is read.
    """
    runs, looking = [NOTHING.to_frame()], None
    for table, of_table in _tables(targets):
        condition = await _of_symbols(store, table, of_table)
        for part in _parts(of_table):
            stamps = _unstrung(await store.query(_question(table, condition, part)))
            if looking:
                runs.append(await looking)
            looking = asyncio.create_task(clock.thread(_look, part, stamps))
    return pl.concat([*runs, await looking] if looking else runs)


async def _of_symbols(store: Store, table: str, of_table: pl.DataFrame) -> str:
    """Return the condition on symbols; none where a sample says that nearly all are asked for.

    Comparing each row's symbol with sixty others costs the server a fifth of its time, more than
    handing over a few rows that nobody asked for; those are not looked at either way.
    """
    condition = f"symbol IN ({literals(of_table['symbol'].unique().sort())})"
    sample = await store.query(
        f"SELECT avg(({condition})::int::float8) AS share"  # noqa: S608 - quoted
        f" FROM {table} TABLESAMPLE SYSTEM ({_SAMPLE}) WHERE {_span(of_table)}"
    )
    share = sample["share"][0].as_py()  # none of a small table
    return "true" if share is not None and share >= _NEARLY_ALL else condition


def _question(table: str, condition: str, part: pl.DataFrame) -> str:
    return (
        "SELECT symbol, string_agg(timestamp_send(timestamp), '') AS stamps"  # noqa: S608 - quoted
        f" FROM {table} WHERE {condition} AND {_span(part)} GROUP BY symbol"
    )


def _span(part: pl.DataFrame) -> str:
    days = part["session"].sort()
    return between_dates(days[0], days[-1])


def _unstrung(strings: pa.Table) -> pa.Table:
    """Return symbol and the list of stamps: microseconds in eight bytes each, big end first."""
    texts = strings["stamps"].to_pylist()
    ends = np.cumsum([0, *map(len, texts)]) // 8
    stamps = np.frombuffer(b"".join(texts), ">i8") + _EPOCH
    lists = pa.LargeListArray.from_arrays(ends, pa.array(stamps, pa.timestamp("us")))
    return pa.table({"symbol": strings["symbol"], "stamps": lists})


def _look(part: pl.DataFrame, lists: pa.Table) -> pl.DataFrame:
    return gaps_in(part, _UNNESTED, lists=lists)


def gaps_in(targets: pl.DataFrame, bars: Relation, **sources: Relation) -> pl.DataFrame:
    """Return the runs of stamps that targets owe and `bars` (symbol, timestamp) lack.

    `bars` may be a query, also over `sources`: `SELECT * FROM read_parquet('…')`.
    """
    of, grids = with_grids(targets)
    check = [check for check in all_checks() if check.name == "missing"]
    found = run_checks(check, {"targets": of, "grids": grids, "bars": bars, **sources})
    return found.select(list(NOTHING))


def _tables(targets: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for table, codes in symbols_by_table(targets["symbol"].unique().to_list()).items():
        yield table, targets.filter(pl.col("symbol").is_in(codes))


def _parts(of_table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield targets that fit in memory: some sessions of all symbols.

    Tables are laid out by time, so each of their pages is read for one part alone.
    """
    days = of_table.group_by("session").len().sort("session")
    number = (days["len"].cum_sum() - 1) // AT_ONCE
    for part in days.with_columns(number.alias("part")).partition_by("part", maintain_order=True):
        yield of_table.join(part, on="session", how="semi")
