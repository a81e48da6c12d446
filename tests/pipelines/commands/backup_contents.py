"""All that a database and the files beside it hold, to be compared."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from engine.store.connection import Connection

NOT_COMPARED = {"merge_locks"}
NOT_KEPT = {"columns", "schema_migrations"}


def run(url: str, *statements: str) -> None:
    connection = Connection(url, "test")
    with connection.transaction() as cursor:
        for statement in statements:
            cursor.execute(statement)
            cursor.fetch_arrow_table()
    connection.close()


def query(url: str, sql: str) -> pl.DataFrame:
    connection = Connection(url, "test")
    try:
        return pl.DataFrame(connection.query(sql))
    finally:
        connection.close()


def contents(url: str) -> dict[str, list[str]]:
    """Return every row of every table as text, and what Postgres knows of columns and rights."""
    connection = Connection(url, "test")
    try:
        return contents_by(lambda sql: pl.DataFrame(connection.query(sql)))
    finally:
        connection.close()


def contents_by(ask: Callable[[str], pl.DataFrame]) -> dict[str, list[str]]:
    names = ask(
        "SELECT relname::text AS name FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )["name"]
    tables = {
        name: ask(f'SELECT t::text AS row FROM "{name}" AS t ORDER BY 1')["row"].to_list()
        for name in names
        if name not in NOT_COMPARED
    }
    columns = ask(
        "SELECT concat_ws(' ', attrelid::regclass, attname, atttypid::regtype, attnotnull,"
        " attidentity, attgenerated, col_description(attrelid, attnum),"
        # Rights in any order: that in which they were granted says nothing.
        " (SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(relacl) AS acl),"
        " pg_get_expr(relpartbound, pg_class.oid)) AS line FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace"
        " AND attnum > 0 AND relname <> 'notes' ORDER BY 1",
    )
    return tables | {"columns": columns["line"].to_list()}
