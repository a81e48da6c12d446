"""How each stream is stored: key, partitions, and which of two differing rows wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.columns import PRICES
from engine.errors import InputError, SchemaMismatch
from engine.market.codes import product_prefix
from engine.market.symbol_types import NIGHT_TABLE
from engine.market.venues import VENUE_TABLE
from engine.schemas import POSTGRES_TYPES

COMMITTED_AT = "committed_at"
BAR_TABLES = ("futures_1m", NIGHT_TABLE, "stocks_1m", VENUE_TABLE)
# Where a bar came from first, and when REST gave the values of a bar that came by the feed.
SOURCE, CONFIRMED_AT = "source", "confirmed_at"
_BAR_VALUES = (*PRICES, "volume")
SIGNAL_KEY = ("symbol", "timestamp")
# What make_signal_table in sql/migrations declares itself; the other columns are given to it.
# All that a strategy must have stands in strategies/base.py.
SIGNAL_TABLE_COLUMNS = {
    "timestamp",
    "symbol",
    "close",
    "monitor_signal",
    "trade_signal",
    "reason",
    "created_at",
}

_PARTITION_NAMES = {"timestamp": "%Y%m", "session": "%Y%m%d"}


@dataclass(frozen=True)
class Table:
    """A stream's table. Columns are the Arrow schema's, the derived ones and committed_at."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    version: str  # the column that says which of two differing rows is the later one
    partitioned_by: str | None = None  # timestamp: by month; session: by day; else by value
    derived: Mapping[str, pl.Expr] = field(default_factory=dict)
    compare_on: tuple[str, ...] = ()  # what makes a row differ; default: all but key and version
    immutable: tuple[str, ...] = ()  # columns that keep the values of the first row
    counter: str | None = None  # counts how often the row came
    key_hashes: Mapping[str, str] = field(default_factory=dict)  # key column → hash, by the server
    # columns that batches of an earlier release lack, in a spool say, and what they hold there
    added: Mapping[str, str | None] = field(default_factory=dict)
    # columns that not every source knows: what one row of a key has, all have
    filled: tuple[str, ...] = ()
    two_sources: bool = False  # columns source and confirmed_at: rows come by feed and by REST

    @property
    def holds_signals(self) -> bool:
        """Whether a strategy's signals are stored here; such a table is made when first needed."""
        return self.name.endswith("_signal")

    @property
    def columns(self) -> list[str]:
        """Every column that a merge writes."""
        confirmed = [CONFIRMED_AT] if self.two_sources else []
        return [*self.schema.names, *self.derived, *confirmed, COMMITTED_AT]

    @property
    def primary_key(self) -> list[str]:
        """The columns of the primary key as the table declares it."""
        key = [self.key_hashes.get(name, name) for name in self.key]
        missing = {self.partitioned_by} - {None, *key}  # Postgres requires it in the key
        return [*key, *map(str, missing)]

    @property
    def value_columns(self) -> list[str]:
        """The columns that make two rows of one key differ."""
        others = {*self.key, self.version, *self.immutable}
        return list(self.compare_on) or [n for n in self.schema.names if n not in others]

    @property
    def updated(self) -> list[str]:
        """The columns that a later row overwrites."""
        others = {*self.key, *self.derived, *self.immutable}
        return [name for name in self.columns if name not in others]

    def partitions(self, rows: pl.DataFrame) -> list[str]:
        """Return the partitions that the rows (with derived columns) fall into."""
        if self.partitioned_by is None:
            return []
        column = rows[self.partitioned_by]
        if named := _PARTITION_NAMES.get(self.partitioned_by):
            column = column.dt.strftime(named)
        return column.unique().drop_nulls().sort().to_list()

    def check_batch(self, given: pa.Schema) -> None:
        """Compare a batch's schema with the stream's. Raises SchemaMismatch unless they are alike.

        ADBC does not check the types of the table and would store garbage bits. The order of
        columns is free, and so is the Arrow layout of texts (Polars has its own). A column of
        `added` may be missing.
        """
        if given.equals(self.schema):  # nearly always, and in a hundredth of the time
            return
        has, wanted = _columns(given), _columns(self.schema)
        missing = self.added.keys() - has.keys()
        if has != {name: kind for name, kind in wanted.items() if name not in missing}:
            raise SchemaMismatch(f"a batch does not fit {self.name}: {_difference(has, wanted)}")

    def rows(self, batch: pa.RecordBatch | pa.Table) -> pl.DataFrame:
        """Return the batch as a frame of exactly the stream's columns. Raises SchemaMismatch."""
        self.check_batch(batch.schema)
        parts = batch.to_batches() if isinstance(batch, pa.Table) else [batch]
        # One batch becomes a frame in a thirtieth of the time that a table of one takes.
        frame = pl.DataFrame(parts[0] if len(parts) == 1 else batch)
        names: list[str] = self.schema.names
        if lacking := [name for name in self.added if name not in frame.columns]:
            types = pl.Schema(self.schema)
            frame = frame.with_columns(
                pl.lit(self.added[name], types[name]).alias(name) for name in lacking
            )
        return frame[names]

    def check_columns(self, stored: Mapping[str, str]) -> None:
        """Compare with the columns and types that the database has. Raises SchemaMismatch."""
        wanted = {name: POSTGRES_TYPES[kind] for name, kind in _columns(self.schema).items()}
        given = {name: kind for name, kind in stored.items() if name in wanted}
        if given != wanted:
            raise SchemaMismatch(
                f"the table {self.name} does not fit ({_difference(given, wanted)}):"
                " run `just migrate`"
            )


def _columns(schema: pa.Schema) -> dict[str, pa.DataType]:
    return dict(zip(schema.names, map(_plain, schema.types), strict=True))


def _plain(kind: pa.DataType) -> pa.DataType:
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if is_text else kind


def _difference(given: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    return "; ".join(
        f"{name} is {given.get(name, 'missing')}, not {wanted.get(name, 'known')}"
        for name in sorted(given.keys() | wanted.keys())
        if given.get(name) != wanted.get(name)
    )


def signal_table(name: str, schema: pa.Schema) -> Table:
    """Return how a strategy's signals are kept: key (symbol, timestamp), the newest row wins.

    The row that was given before is kept in `signal_corrections`, by a trigger.

    Raises InputError if the schema lacks one of SIGNAL_TABLE_COLUMNS or has a type that no column
    of a table can have.
    """
    if missing := SIGNAL_TABLE_COLUMNS - set(schema.names):
        raise InputError(f"the signals of {name} lack the columns {', '.join(sorted(missing))}")
    plain = pa.schema(list(_columns(schema).items()))
    if unknown := [
        f"{field.name} ({field.type})" for field in plain if field.type not in POSTGRES_TYPES
    ]:
        kinds = ", ".join(map(str, POSTGRES_TYPES))
        raise InputError(
            f"features of {name} that no column holds: {', '.join(unknown)}; {kinds} are held"
        )
    return Table(name, plain, SIGNAL_KEY, "created_at")


_SURFACE_ADDED = (  # since 2026-11-28
    *("risk_reversal_10d", "butterfly_10d", "swap_volatility", "expected_move_close"),
    *("expected_move_expiry", "atm_7d", "atm_30d", "atm_60d", "vkospi", "vkospi_weekly"),
)
_PROGRAMME_VOLUMES = tuple(
    name for name in schemas.PROGRAMME_TRADES.names if name.endswith("_volume")
)
_FIXED = (
    Table(
        "futures_1m",
        schemas.FUTURES_BARS,
        ("symbol", "timestamp"),
        "fetched_at",
        "product",
        derived={"product": product_prefix(pl.col("symbol"))},
        compare_on=_BAR_VALUES,
        added={SOURCE: schemas.REST},
        two_sources=True,
    ),
    Table(
        NIGHT_TABLE,
        schemas.FUTURES_BARS,
        ("symbol", "timestamp"),
        "fetched_at",
        "product",
        derived={"product": product_prefix(pl.col("symbol"))},
        compare_on=_BAR_VALUES,
        added={SOURCE: schemas.REST},
        two_sources=True,
    ),
    Table(
        "stocks_1m",
        schemas.STOCK_BARS,
        ("symbol", "timestamp", "timeframe"),
        "fetched_at",
        "timestamp",
        compare_on=_BAR_VALUES,
        added={SOURCE: schemas.REST},
        two_sources=True,
    ),
    Table(
        VENUE_TABLE,
        schemas.VENUE_BARS,
        ("symbol", "timestamp"),
        "fetched_at",
        "timestamp",
        compare_on=_BAR_VALUES,
        two_sources=True,
    ),
    # The volume of the session grows with every trade: it names a trade, also one that comes twice,
    # and orders those of one second. What comes again keeps its first row: after a reconnect the
    # side may not be known any more.
    Table(
        "trades",
        schemas.TRADES,
        ("symbol", "session", "day_volume"),
        "received_at",
        "session",
        compare_on=("traded_at", "price", "size"),
    ),
    Table(
        "option_chain_raw",
        schemas.OPTION_CHAIN,
        ("underlying_symbol", "timestamp", "symbol"),
        "fetched_at",
        "timestamp",
        immutable=("price_since",),  # whoever began to look earlier knows the age better
        added=dict.fromkeys(
            (
                *("price_since", "stale_price", "quote_source", "bid_size", "ask_size"),
                *("turnover", "bought", "sold", "index_price"),
            )
        ),
    ),
    Table(
        "option_matrices",
        schemas.OPTION_MATRIX,
        ("underlying_symbol", "timestamp", "metric_type"),
        "fetched_at",
        "underlying_symbol",
    ),
    Table(
        "option_summary",
        schemas.OPTION_SUMMARY,
        ("underlying_symbol", "timestamp"),
        "fetched_at",
        "underlying_symbol",
        added=dict.fromkeys(
            (
                *("forward_source", "forward_strikes", "implied_rate", "implied_rate_error"),
                *("implied_dividend", "future_gap", "put_call_turnover_ratio"),
            )
        ),
    ),
    Table(
        "futures_state",
        schemas.FUTURES_STATE,
        ("symbol", "timestamp"),
        "fetched_at",
        added={SOURCE: "FHKIF03020200"},
    ),
    Table(
        "investor_flows",
        schemas.INVESTOR_FLOWS,
        ("symbol", "timestamp", "investor"),
        "fetched_at",
    ),
    Table(
        "programme_trades",
        schemas.PROGRAMME_TRADES,
        ("symbol", "timestamp"),
        "fetched_at",
        filled=(*_PROGRAMME_VOLUMES, "index_price"),
        added={**dict.fromkeys(_PROGRAMME_VOLUMES), SOURCE: "FHPPG04600101"},
    ),
    Table("index_1m", schemas.INDEX_BARS, ("symbol", "timestamp"), "fetched_at"),
    Table(
        "expected_prices",
        schemas.EXPECTED_PRICES,
        ("symbol", "timestamp", "said_at"),
        "fetched_at",
    ),
    Table("book_minutes", schemas.BOOK_MINUTES, ("symbol", "timestamp"), "fetched_at"),
    Table(
        "option_surface",
        schemas.OPTION_SURFACE,
        ("underlying_symbol", "timestamp"),
        "fetched_at",
        added=dict.fromkeys(_SURFACE_ADDED),
    ),
    Table(
        "system_status",
        schemas.SYSTEM_STATUS,
        ("component",),
        "component",  # the one written last counts: a simulated day may be played again
        compare_on=("timestamp", "status", "message", "data_count", "last_data_time"),
    ),
    Table(
        "rejected_rows",
        schemas.REJECTED_ROWS,
        ("tr_id", "symbol", "reason", "raw"),
        "received_at",
        derived={"first_received_at": pl.col("received_at")},
        compare_on=("received_at",),
        counter="times",
        key_hashes={"raw": "raw_md5"},
    ),
    Table(
        "gaps",
        schemas.GAPS,
        ("symbol", "session", "first_stamp"),
        "updated_at",
        immutable=("opened_at",),
    ),
    Table(
        "strategy_symbols",
        schemas.STRATEGY_SYMBOLS,
        ("strategy", "symbol"),
        "since",
        compare_on=("symbol",),
    ),
    Table(
        "collected_symbols",
        schemas.COLLECTED_SYMBOLS,
        ("session", "symbol"),
        "since",
        compare_on=("symbol",),
    ),
    Table(
        "stock_listings",
        schemas.STOCK_LISTINGS,
        ("symbol", "seen_first"),
        "seen_last",
        compare_on=tuple(
            name
            for name in schemas.STOCK_LISTINGS.names
            if name not in ("symbol", "seen_first", "fetched_at")
        ),
    ),
    Table(
        "market_snapshot",
        schemas.MARKET_SNAPSHOT,
        ("timestamp", "symbol"),
        "fetched_at",
        "session",
        compare_on=("price", "volume"),
    ),
    Table(
        "feed_symbols",
        schemas.FEED_SYMBOLS,
        ("session", "symbol"),
        "symbol",  # the one written last counts: a simulated day may be played again
        compare_on=("by_feed", "since", "reason"),
    ),
    Table(
        "kept_sessions",
        schemas.KEPT_SESSIONS,
        ("symbol", "session"),
        "updated_at",
    ),
    Table("market_events", schemas.MARKET_EVENTS, ("symbol", "kind", "started_at"), "fetched_at"),
    Table("adjustments", schemas.ADJUSTMENTS, ("symbol", "effective"), "checked_at"),
    Table("front_months", schemas.FRONT_MONTHS, ("product", "symbol"), "updated_at"),
    Table(
        "confirmed_bars",
        schemas.CONFIRMED_BARS,
        ("symbol", "timestamp"),
        "confirmed_at",
    ),
    Table("doubted_bars", schemas.DOUBTED_BARS, ("symbol", "session", "stamp"), "answered_at"),
)

TABLES: dict[str, Table] = {table.name: table for table in _FIXED}


def table_of(name: str, schema: pa.Schema) -> Table:
    """Return how the stream is stored. `{strategy}_signal` is the stream of any strategy.

    Raises InputError for an unknown stream.
    """
    if name in TABLES:
        return TABLES[name]
    if name.endswith("_signal"):
        return signal_table(name, schema)
    raise InputError(f"{name!r} is not a stream: {', '.join(sorted(TABLES))}")
