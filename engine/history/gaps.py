"""The quick look: how many stamps of which sessions are missing, over years at once, exactly.

Postgres hands over one list of stamps a symbol instead of a row a bar (half the bytes and a third
of the time), DuckDB compares sessions as bits (`sql/checks/missing.sql`). Ten million bars take two
seconds; from the Parquet export less than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.history import reading
from engine.history.checks import FINDINGS, Relation, all_checks, run_checks
from engine.history.owed import with_grids
from engine.store import Store
from engine.store.identifiers import literals

_RUN = ("symbol", "session", "first_stamp", "last_stamp", "bars")
AT_ONCE = 12_000  # targets: some five million stamps, 40 MB
_UNNESTED = "SELECT symbol, unnest(stamps) AS timestamp FROM lists"
NOTHING = pl.Schema({name: FINDINGS[name] for name in _RUN})


async def missing(store: Store, targets: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return symbol, session, first_stamp, last_stamp, bars of every run of missing stamps.

    Of codes alone; option chains are left out. The ledger is not asked. While one part is looked
    at, the next one is read.
    """
    runs, looking = [NOTHING.to_frame()], None
    for table, part in _parts(targets):
        lists = await store.query(_question(table, part))
        if looking:
            runs.append(await looking)
        looking = asyncio.create_task(clock.thread(_look, part, lists))
    return pl.concat([*runs, await looking] if looking else runs)


def _question(table: str, part: pl.DataFrame) -> str:
    days = part["session"].sort().to_list()
    return (
        f"SELECT symbol, array_agg(timestamp) AS stamps FROM {table}"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(part['symbol'].unique())})"
        f" AND {reading.in_span(days[0], days[-1])} GROUP BY symbol"
    )


def _look(part: pl.DataFrame, lists: pa.Table) -> pl.DataFrame:
    return find_missing(part, _UNNESTED, lists=lists)


def find_missing(targets: pl.DataFrame, bars: Relation, **sources: Relation) -> pl.DataFrame:
    """Return the runs of stamps that targets owe and `bars` (symbol, timestamp) lack.

    `bars` may be a query, also over `sources`: `SELECT * FROM read_parquet('…')`.
    """
    of, grids = with_grids(targets)
    check = [check for check in all_checks() if check.name == "missing"]
    found = run_checks(check, {"targets": of, "grids": grids, "bars": bars, **sources})
    return found.select(list(NOTHING))


def _parts(targets: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield table and targets that fit in memory: some sessions of all symbols.

    Tables are laid out by time, so each of their pages is read for one part alone.
    """
    for table, codes in reading.by_table(targets["symbol"].unique().to_list()).items():
        of_table = targets.filter(pl.col("symbol").is_in(codes))
        days = of_table.group_by("session").len().sort("session")
        number = (days["len"].cum_sum() - 1) // AT_ONCE
        for part in days.with_columns(number.alias("part")).partition_by("part"):
            yield table, of_table.join(part, on="session", how="semi")
