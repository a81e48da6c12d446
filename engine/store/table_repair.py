"""Repairs of tables: rows that cannot be right are taken out, and what they were is kept.

For the owner of the tables alone: a writer has no right to delete (`sql/roles.sql`).
"""

from __future__ import annotations

import polars as pl

from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.store import Store
from engine.store.tables import Table

_KEPT = [
    "timestamp",
    "symbol",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "fetched_at",
    "committed_at",
]


async def remove_bars(store: Store, table: str, runs: pl.DataFrame, reason: str) -> int:
    """Move rows from a table of bars to `removed_bars`, and count them.

    `runs`: symbol, first_stamp, last_stamp; all that stands from the one to the other is meant.
    """
    if runs.is_empty():
        return 0
    return await _move(store, table, _at(runs, "symbol"), reason)


async def remove_duplicates(store: Store, of: Table, runs: pl.DataFrame) -> int:
    """Leave one row a key, the latest, in a table that has lost its key.

    `runs` as in `remove_bars`; their symbol is the underlying_symbol where the table's key has
    that. Copies of bars are kept in `removed_bars`.
    """
    if runs.is_empty():
        return 0
    table = of.name
    name = "underlying_symbol" if "underlying_symbol" in of.key else "symbol"
    copies = (
        f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM (SELECT tableoid, ctid, row_number() OVER"
        f" (PARTITION BY {identifiers(of.key)} ORDER BY {identifier(of.version)} DESC,"
        f" committed_at DESC) AS copy FROM {identifier(table)} WHERE {_at(runs, name)}) AS rows"
        " WHERE copy > 1)"
    )
    if {"open", "volume"} <= set(of.schema.names):
        return await _move(store, table, copies, "a copy of another row")
    gone = f"WITH gone AS (DELETE FROM {identifier(table)} WHERE {copies} RETURNING 1)"
    return await _counted(store, f"{gone} SELECT count(*) AS moved FROM gone")


async def restore_primary_key(store: Store, of: Table) -> bool:
    """Give a table its primary key back if it has lost it; say whether it had."""
    found = await store.query(
        "SELECT 1 AS key FROM pg_constraint WHERE contype = 'p'"
        f" AND conrelid = {literal('public.' + of.name)}::regclass"
    )
    if found.num_rows:
        return False
    key = identifiers(of.primary_key)
    await store.execute(f"ALTER TABLE {identifier(of.name)} ADD PRIMARY KEY ({key})")
    return True


def _at(runs: pl.DataFrame, name: str) -> str:
    """Return the condition for rows within runs; the bounds keep other partitions shut."""
    kinds = {"symbol": "text", "first_stamp": "timestamp", "last_stamp": "timestamp"}
    arrays = ", ".join(f"ARRAY[{literals(runs[n])}]::{kind}[]" for n, kind in kinds.items())
    begin, end = runs["first_stamp"].sort().to_list()[0], runs["last_stamp"].sort().to_list()[-1]
    return (
        f"timestamp BETWEEN {literal(begin)} AND {literal(end)} AND EXISTS ("
        f"SELECT FROM unnest({arrays}) AS run (code, first, last) WHERE code = {identifier(name)}"
        " AND timestamp BETWEEN first AND last)"
    )


async def _move(store: Store, table: str, condition: str, reason: str) -> int:
    columns, now = identifiers(_KEPT), literal(store.now())
    return await _counted(
        store,
        f"""WITH gone AS (DELETE FROM {identifier(table)} WHERE {condition} RETURNING *), kept AS (
            INSERT INTO removed_bars (table_name, {columns}, reason, removed_at)
            SELECT {literal(table)}, {columns}, {literal(reason)}, {now} FROM gone)
        SELECT count(*) AS moved FROM gone""",
    )


async def _counted(store: Store, statement: str) -> int:
    found = await store.query(statement, read_only=False)
    return int(found["moved"][0].as_py())
