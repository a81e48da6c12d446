"""How each stream is kept: key, partitions, and which of two differing rows wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.errors import InputError, SchemaMismatch

COMMITTED_AT = "committed_at"


class Rule(Enum):
    """What happens to a row whose key is stored with other values."""

    LAST_WINS = auto()
    """The row fetched later wins; merged in whatever order."""
    FIRST_STANDS = auto()
    """The stored row stays; the differing one is recorded as a correction."""


@dataclass(frozen=True)
class Table:
    """A stream's table. Columns are the Arrow schema's, the derived ones and committed_at."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    version: str  # the column that tells which of two differing rows is the later one
    piece: pl.Expr | None = None  # the partition a row belongs to, as make_partition knows it
    derived: Mapping[str, pl.Expr] = field(default_factory=dict)
    compared: tuple[str, ...] = ()  # what makes a row differ; default: all but key and version
    kept: tuple[str, ...] = ()  # columns that an update leaves as they were first
    counter: str | None = None  # counts how often the row came
    generated: Mapping[str, str] = field(default_factory=dict)  # key column → made by server
    rule: Rule = Rule.LAST_WINS

    @property
    def columns(self) -> list[str]:
        """Every column that a merge writes."""
        return [*self.schema.names, *self.derived, COMMITTED_AT]

    @property
    def conflict(self) -> list[str]:
        """The columns of the table's primary key."""
        return [self.generated.get(name, name) for name in self.key]

    @property
    def differing(self) -> list[str]:
        """The columns that make two rows of one key differ."""
        if self.compared:
            return list(self.compared)
        settled = {*self.key, self.version, *self.kept}
        return [name for name in self.schema.names if name not in settled]

    @property
    def updated(self) -> list[str]:
        """The columns that a later row overwrites."""
        settled = {*self.key, *self.derived, *self.kept, COMMITTED_AT}
        return [name for name in self.columns if name not in settled] + [COMMITTED_AT]

    def rows(self, batch: pa.RecordBatch | pa.Table) -> pl.DataFrame:
        """Return the batch as a frame of exactly the stream's columns.

        Raises SchemaMismatch unless names and types are the schema's: ADBC does not look at the
        types of the table and would store garbage bits. The order of columns is free, and so is
        the Arrow layout of texts (Polars has its own).
        """
        given = {name: _plain(kind) for name, kind in _columns(batch.schema)}
        wanted = dict(_columns(self.schema))
        if given != wanted:
            wrong = sorted(
                f"{name} {given.get(name, 'missing')}, not {wanted.get(name, 'known')}"
                for name in given.keys() | wanted.keys()
                if given.get(name) != wanted.get(name)
            )
            raise SchemaMismatch(f"a batch does not fit {self.name}: {'; '.join(wrong)}")
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for the type checker
        return frame.select(self.schema.names)


def _columns(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return list(zip(schema.names, schema.types, strict=True))


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or _is_view(kind) else kind


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind))


_MONTH = pl.col("timestamp").dt.strftime("%Y%m")
_PRODUCT = pl.col("symbol").str.slice(0, 3).str.to_lowercase()
_UNDERLYING = pl.col("underlying_symbol")

_FIXED = (
    Table(
        "futures_1m", schemas.FUTURES_BARS, ("symbol", "timestamp"), "fetched_at",
        piece=_PRODUCT, derived={"product": _PRODUCT},
    ),
    Table(
        "stocks_1m", schemas.STOCK_BARS, ("symbol", "timestamp", "timeframe"), "fetched_at",
        piece=_MONTH,
    ),
    Table(
        "option_chain_raw", schemas.OPTION_CHAIN, ("underlying_symbol", "timestamp", "symbol"),
        "fetched_at", piece=_MONTH,
    ),
    Table(
        "option_matrices", schemas.OPTION_MATRIX,
        ("underlying_symbol", "timestamp", "metric_type"), "fetched_at", piece=_UNDERLYING,
    ),
    Table(
        "option_summary", schemas.OPTION_SUMMARY, ("underlying_symbol", "timestamp"),
        "fetched_at", piece=_UNDERLYING,
    ),
    Table(
        "system_status", schemas.SYSTEM_STATUS, ("component",), "timestamp",
        compared=("timestamp", "status", "message", "data_count", "last_data_time"),
    ),
    Table(
        "rejected_rows", schemas.REJECTED_ROWS, ("tr_id", "symbol", "reason", "raw"),
        "received_at", derived={"first_received_at": pl.col("received_at")},
        compared=("received_at",), counter="times", generated={"raw": "raw_md5"},
    ),
    Table(
        "gaps", schemas.GAPS, ("symbol", "session", "first_stamp"), "updated_at",
        kept=("opened_at",),
    ),
    Table(
        "strategy_symbols", schemas.STRATEGY_SYMBOLS, ("strategy", "symbol"), "since",
        kept=("since",), compared=("symbol",),
    ),
)  # fmt: skip


def signal_table(name: str, schema: pa.Schema) -> Table:
    """Return how a strategy's signals are kept: as first given, key (timestamp, symbol)."""
    return Table(
        name, schema, ("symbol", "timestamp"), "created_at", rule=Rule.FIRST_STANDS,
    )  # fmt: skip


TABLES: dict[str, Table] = {
    table.name: table for table in (*_FIXED, signal_table("dolpha1_signal", schemas.DOLPHA1_SIGNAL))
}


def table_of(name: str) -> Table:
    """Return how the stream is kept. Raises InputError for a stream that nobody declared."""
    try:
        return TABLES[name]
    except KeyError:
        raise InputError(f"{name!r} is no stream: {', '.join(sorted(TABLES))}") from None
