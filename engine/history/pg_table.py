"""What a table or view in Postgres looks like to Polars: columns, types, key."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from engine.errors import InputError
from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import identifier, literal

# Types whose values ADBC returns unchanged. All others are read as text, NUMERIC as a float: the
# driver would return it as text in an extension type, and four times as slowly.
_NATIVE: dict[str, pl.DataType] = {
    "text": pl.String(),
    "varchar": pl.String(),
    "bool": pl.Boolean(),
    "int2": pl.Int16(),
    "int4": pl.Int32(),
    "int8": pl.Int64(),
    "float4": pl.Float32(),
    "float8": pl.Float64(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
}

_DESCRIBE = """
SELECT a.attname AS name, t.typname::text AS kind, k.position,
       (SELECT coalesce(datlocprovider = 'b' OR datcollate IN ('C', 'POSIX'), false)
        FROM pg_database WHERE datname = current_database()) AS by_code_point
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
LEFT JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, position) ON k.attnum = a.attnum
WHERE a.attrelid = to_regclass({name}) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_TABLES = """
SELECT c.relname::text AS name FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p', 'v', 'm')
  AND NOT c.relispartition AND c.relname <> 'schema_migrations'
ORDER BY name
"""


@dataclass(frozen=True)
class TableInfo:
    """A table or view: columns, types, key. `native` columns are read without a cast.

    `key` is the primary key (empty for a view). `by_code_point` says whether the database compares
    texts as Polars does; if not, comparisons need COLLATE "C".
    """

    name: str
    schema: pl.Schema
    native: frozenset[str]
    key: tuple[str, ...]
    by_code_point: bool

    def select_list(self, columns: list[str]) -> str:
        """Return the SELECT list of the columns."""
        return ", ".join(map(self._select_item, columns))

    def order_list(self, columns: tuple[str, ...], *, descending: bool = False) -> str:
        """Return the ORDER BY list: Polars' order, in which nulls come first."""
        return ", ".join(self._order_item(column, descending) for column in columns)

    def _select_item(self, column: str) -> str:
        name = identifier(column)
        if column in self.native:
            return name
        kind = "double precision" if self.schema[column] == pl.Float64 else "text"
        return f"{name}::{kind} AS {name}"

    def _order_item(self, column: str, descending: bool) -> str:
        collation = self.collation if self.schema[column] == pl.String else ""
        # A key has no nulls, and its index serves the order only without NULLS FIRST or LAST.
        nulls = "" if column in self.key else " NULLS FIRST"
        return f"{identifier(column)}{collation}{' DESC' if descending else ''}{nulls}"

    def is_total(self, order: tuple[str, ...]) -> bool:
        """Say whether no two rows are equal in these columns, so that only one order fits."""
        return bool(self.key) and set(self.key) <= set(order)

    @property
    def collation(self) -> str:
        """What to write after a text whose order is compared."""
        return "" if self.by_code_point else ' COLLATE "C"'


def read_table_info(cursor: Cursor, name: str) -> TableInfo:
    """Read what the database says about a table or view. Raises InputError if it has none."""
    found = fetch_frame(cursor, _DESCRIBE.format(name=literal(identifier(name))))
    if found.is_empty():
        known = fetch_frame(cursor, _TABLES)["name"].to_list()
        raise InputError(
            f"the database has no table {name!r}; there are: {', '.join(known)}"
            if known
            else f"the database has no table {name!r}, nor any other: run `just migrate`, or is it"
            " the wrong database?"
        )
    kinds = dict(found.select("name", "kind").iter_rows())
    key = found.drop_nulls("position").sort("position")["name"]
    return TableInfo(
        name,
        pl.Schema({column: _type(kind) for column, kind in kinds.items()}),
        frozenset(column for column, kind in kinds.items() if kind in _NATIVE),
        tuple(key),
        bool(found["by_code_point"][0]),
    )


def _type(kind: str) -> pl.DataType:
    return pl.Float64() if kind == "numeric" else _NATIVE.get(kind, pl.String())
