"""Repairs of tables: wrong rows are removed, and bars among them kept in `removed_bars`.

Only the owner of the tables can: a writer has no right to delete (`sql/roles.sql`).
"""

from __future__ import annotations

import polars as pl

from engine.columns import PRICES
from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.merge import precedence
from engine.store.store import Store
from engine.store.tables import Table

_KEPT = ["timestamp", "symbol", *PRICES, "volume", "fetched_at", "committed_at"]


async def remove_bars(store: Store, table: str, runs: pl.DataFrame, reason: str) -> int:
    """Move rows from a table of bars to `removed_bars`; return how many.

    `runs`: symbol, first_stamp, last_stamp; every row between the two stamps is moved.
    """
    if runs.is_empty():
        return 0
    return await _move(store, table, _within(runs, "symbol"), reason)


async def remove_duplicates(store: Store, table: Table, runs: pl.DataFrame) -> int:
    """Keep one row a key in a table that has lost its key, that which a merge would leave.

    Returns how many go. `runs` as in `remove_bars`; their symbol is the underlying_symbol if the
    table's key has one. Removed bars are kept in `removed_bars`.
    """
    if runs.is_empty():
        return 0
    name = "underlying_symbol" if "underlying_symbol" in table.key else "symbol"
    within = _within(runs, name)
    copies = (
        f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM (SELECT tableoid, ctid, row_number() OVER"
        f" (PARTITION BY {identifiers(table.key)} ORDER BY ROW({precedence(table, 't')}) DESC,"
        f" committed_at DESC) AS copy FROM {identifier(table.name)} AS t WHERE {within}) AS rows"
        " WHERE copy > 1)"
    )
    if {"open", "volume"} <= set(table.schema.names):
        return await _move(store, table.name, copies, "a copy of another row")
    gone = f"WITH gone AS (DELETE FROM {identifier(table.name)} WHERE {copies} RETURNING 1)"
    return await _count(store, f"{gone} SELECT count(*) AS moved FROM gone")


async def restore_primary_key(store: Store, table: Table) -> bool:
    """Restore the primary key of a table that has lost it; return whether it had lost it."""
    found = await store.query(
        "SELECT 1 AS key FROM pg_constraint WHERE contype = 'p'"
        f" AND conrelid = {literal('public.' + table.name)}::regclass"
    )
    if found.num_rows:
        return False
    key = identifiers(table.primary_key)
    await store.execute(f"ALTER TABLE {identifier(table.name)} ADD PRIMARY KEY ({key})")
    return True


def _within(runs: pl.DataFrame, name: str) -> str:
    """Return the condition for rows within runs; its bounds keep other partitions closed."""
    kinds = {"symbol": "text", "first_stamp": "timestamp", "last_stamp": "timestamp"}
    arrays = ", ".join(f"ARRAY[{literals(runs[n])}]::{kind}[]" for n, kind in kinds.items())
    begin = runs["first_stamp"].sort().to_list()[0]
    end = runs["last_stamp"].sort().to_list()[-1]
    return (
        f"timestamp BETWEEN {literal(begin)} AND {literal(end)} AND EXISTS ("
        f"SELECT FROM unnest({arrays}) AS run (code, first, last) WHERE code = {identifier(name)}"
        " AND timestamp BETWEEN first AND last)"
    )


async def _move(store: Store, table: str, condition: str, reason: str) -> int:
    columns = identifiers(_KEPT)
    now = literal(store.now())
    return await _count(
        store,
        f"""WITH gone AS (DELETE FROM {identifier(table)} WHERE {condition} RETURNING *), kept AS (
            INSERT INTO removed_bars (table_name, {columns}, reason, removed_at)
            SELECT {literal(table)}, {columns}, {literal(reason)}, {now} FROM gone)
        SELECT count(*) AS moved FROM gone""",
    )


async def _count(store: Store, statement: str) -> int:
    found = await store.query(statement, read_only=False)
    return int(found["moved"][0].as_py())
