"""The tables of a fresh database have the columns of the streams' Arrow schemas."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from engine.schemas import POSTGRES_TYPES, level_columns
from engine.store import Store
from engine.store.connection import Connection, fetch_frame
from engine.store.table_setup import stored_columns
from engine.store.tables import TABLES, Table, signal_table
from strategies.dolpha1.strategy import DOLPHA1_SIGNAL


@pytest.fixture(scope="module")
def connection(unchanged_database_url: str) -> Iterator[Connection]:
    connection = Connection(unchanged_database_url, "test")
    yield connection
    connection.close()


# The migrations make dolpha1's table; another strategy's is made from its schema.
EVERY_TABLE = [*TABLES.values(), signal_table("dolpha1_signal", DOLPHA1_SIGNAL)]
every_table = pytest.mark.parametrize("table", EVERY_TABLE, ids=[t.name for t in EVERY_TABLE])


@every_table
def test_table_has_exactly_the_columns_and_types_of_its_stream(
    connection: Connection, table: Table
) -> None:
    with connection.transaction() as cursor:
        stored = stored_columns(cursor, table.name)
    arrow = {field.name: POSTGRES_TYPES[field.type] for field in table.schema}
    added = (
        (set(table.columns) - arrow.keys())
        | set(table.key_hashes.values())
        | ({table.counter} if table.counter else set())
    )
    assert {name: kind for name, kind in stored.items() if name in arrow} == arrow
    assert stored.keys() - arrow.keys() == added


@every_table
def test_merge_knows_the_primary_key(connection: Connection, table: Table) -> None:
    with connection.transaction() as cursor:
        key = fetch_frame(
            cursor,
            "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
            f" WHERE i.indisprimary AND i.indrelid = '{table.name}'::regclass",
        )
    assert set(key.to_series()) == set(table.primary_key)


def test_matrix_columns_stand_from_in_to_out_of_the_money(connection: Connection) -> None:
    with connection.transaction() as cursor:
        columns = list(stored_columns(cursor, "option_matrices"))
    assert columns[3:45] == level_columns()


def test_every_table_view_and_column_has_a_comment(connection: Connection) -> None:
    with connection.transaction() as cursor:
        bare = fetch_frame(
            cursor,
            """SELECT c.relname::text, a.attname::text FROM pg_class c
               JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                 AND c.relname <> 'schema_migrations'
                 AND (col_description(c.oid, a.attnum) IS NULL
                      OR obj_description(c.oid, 'pg_class') IS NULL)""",
        )
    assert bare.rows() == []


async def test_partitions_carry_the_names_of_the_spec_and_the_comments(store: Store) -> None:
    for parent, piece in [
        ("futures_1m", "a01"),
        ("option_matrices", "202612_KOSPI200"),
        ("option_summary", "202612_KOSPI200"),
        ("stocks_1m", "202612"),
        ("option_chain_raw", "202612"),
    ]:
        await store.query(f"SELECT make_partition('{parent}', '{piece}')::text", read_only=False)
    found = await store.query(
        """SELECT relname::text, count(col_description(c.oid, attnum)) = count(*) AS commented
           FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0
           WHERE relispartition AND relkind = 'r' GROUP BY relname ORDER BY relname"""
    )
    assert pl.from_arrow(found).rows() == [
        ("futures_a01", True),
        ("option_chain_raw_202612", True),
        ("option_matrices_202612_kospi200", True),
        ("option_summary_202612_kospi200", True),
        ("stocks_1m_202612", True),
    ]
