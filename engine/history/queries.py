"""Reading history as Arrow, a bounded part at a time: from Postgres through ADBC.

Times go in as `first` and `last` session, both included; all rows of those dates come back, also
those that no session owes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import polars as pl

from engine.columns import BARS
from engine.market.expected import is_chain
from engine.market.instruments import is_stock
from engine.schemas import OPTION_CHAIN, level_columns
from engine.store import Store
from engine.store.identifiers import identifier, literal, literals

SPANS = pl.Schema([("symbol", pl.String()), ("first", pl.Date()), ("last", pl.Date())])


def bar_table(symbol: str) -> str:
    """Return the stream that a code's bars belong to."""
    return "stocks_1m" if is_stock(symbol) else "futures_1m"


def between_dates(first: date, last: date) -> str:
    """Return the SQL condition for stamps on the dates from first to last."""
    begin, end = datetime.combine(first, time()), datetime.combine(last, time()) + timedelta(1)
    return f"timestamp >= {literal(begin)} AND timestamp < {literal(end)}"


def symbols_by_table(symbols: Sequence[str]) -> dict[str, list[str]]:
    """Return the codes of each table that has bars of some; option chains are none."""
    tables: dict[str, list[str]] = {}
    for symbol in symbols:
        if not is_chain(symbol):
            tables.setdefault(bar_table(symbol), []).append(symbol)
    return tables


async def read_bars(
    store: Store,
    symbols: Sequence[str],
    first: date,
    last: date,
    copies: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return the symbols' rows in BARS, whatever they hold, in no order.

    Given `copies` (engine.store.export), they are read from the Parquet files of a table where all
    that the span needs are current.
    """
    columns, frames = ", ".join(BARS), [BARS.to_frame()]
    for table, codes in symbols_by_table(symbols).items():
        if (files := _current(copies, table, codes, first, last)) is not None:
            frames.append(_from_parquet(files, codes, first, last))
            continue
        query = (
            f"SELECT {columns} FROM {table}"  # noqa: S608 - quoted
            f" WHERE symbol IN ({literals(codes)}) AND {between_dates(first, last)}"
        )
        frames.append(await _read(store, BARS, [query]))
    return pl.concat(frames)


def _current(
    copies: pl.DataFrame | None, table: str, codes: Sequence[str], first: date, last: date
) -> list[str] | None:
    """Return the files that hold the span of a table; None unless all of them are current."""
    if copies is None:
        return None
    products = ["stocks"] if table == "stocks_1m" else sorted({code[:3].lower() for code in codes})
    needed = copies.filter(
        pl.col("table") == table,
        pl.col("product").is_in(products),
        pl.col("month").is_between(pl.lit(f"{first:%Y-%m}"), pl.lit(f"{last:%Y-%m}")),
    )
    return needed["path"].to_list() if needed["current"].all() else None


def _from_parquet(
    files: Sequence[str], codes: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    if not files:
        return BARS.to_frame()
    found = pl.scan_parquet(list(files), hive_partitioning=False).filter(
        pl.col("symbol").is_in(list(codes)), pl.col("timestamp").dt.date().is_between(first, last)
    )
    return found.select(pl.col(name).cast(kind) for name, kind in BARS.items()).collect()


async def read_stamps(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    """Return symbol, session, stamp of the bars stored, and of the snapshots of option chains."""
    schema = pl.Schema([("symbol", pl.String()), ("stamp", pl.Datetime("us"))])
    span, chains = between_dates(first, last), [symbol for symbol in symbols if is_chain(symbol)]
    queries = [
        f"SELECT symbol, timestamp AS stamp FROM {table}"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(codes)}) AND {span}"
        for table, codes in symbols_by_table(symbols).items()
    ]
    if chains:
        queries.append(
            "SELECT underlying_symbol AS symbol, timestamp AS stamp FROM option_matrices"  # noqa: S608
            f" WHERE underlying_symbol IN ({literals(chains)}) AND {span}"
            " AND metric_type = 'price'"
        )
    found = await _read(store, schema, queries)
    return found.select("symbol", pl.col("stamp").dt.date().alias("session"), "stamp")


async def read_collected_symbols(store: Store, day: date) -> list[str]:
    """Return the codes and option chains of which anything is stored on a day."""
    parts = [
        f"SELECT DISTINCT {name} AS symbol FROM {table} WHERE {between_dates(day, day)}"  # noqa: S608
        for table, name in (
            ("futures_1m", "symbol"),
            ("stocks_1m", "symbol"),
            ("option_chain_raw", "underlying_symbol"),
        )
    ]
    found = await _read(store, pl.Schema({"symbol": pl.String()}), [" UNION ".join(parts)])
    return found["symbol"].sort().to_list()


async def read_confirmed_bars(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    """Return in BARS those that KIS gave again when asked again."""
    codes = [symbol for symbol in symbols if not is_chain(symbol)]
    query = (
        f"SELECT {', '.join(BARS)} FROM confirmed_bars"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(codes)}) AND {between_dates(first, last)}"
    )
    return await _read(store, BARS, [query] if codes else [])


async def read_chain(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return the rows of an option chain in OPTION_CHAIN."""
    schema = pl.DataFrame(OPTION_CHAIN.empty_table()).schema
    return await _read(store, schema, [_of_chain("option_chain_raw", schema, symbol, first, last)])


async def read_matrices(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return the rows of an option chain's matrix: timestamp, metric_type, values by level."""
    head = [("underlying_symbol", pl.String()), ("timestamp", pl.Datetime("us"))]
    values = [(level, pl.Float64()) for level in level_columns()]
    schema = pl.Schema([*head, ("metric_type", pl.String()), *values])
    return await _read(store, schema, [_of_chain("option_matrices", schema, symbol, first, last)])


def _of_chain(table: str, schema: pl.Schema, symbol: str, first: date, last: date) -> str:
    return (
        f"SELECT {', '.join(map(identifier, schema))} FROM {identifier(table)}"  # noqa: S608 - quoted
        f" WHERE underlying_symbol = {literal(symbol)} AND {between_dates(first, last)}"
    )


async def read_spans(store: Store) -> pl.DataFrame:
    """Return SPANS: from when to when anything is known of each symbol and option chain.

    A single row, or one far from any session's hours, is no sign that a day was meant to be kept.
    """
    known = "SELECT symbol, min(session) AS first, max(session) AS last FROM {} GROUP BY 1"
    stored = (
        "SELECT symbol, min(day) AS first, max(day) AS last FROM ("
        "SELECT {0} AS symbol, timestamp::date AS day FROM {1}"
        " WHERE timestamp::time BETWEEN '08:46' AND '16:45' GROUP BY 1, 2 HAVING count(*) > 1"
        ") AS days GROUP BY 1"
    )
    found = await _read(
        store,
        SPANS,
        [
            known.format("gaps"),
            known.format("kept_sessions"),
            stored.format("symbol", "futures_1m"),
            stored.format("symbol", "stocks_1m"),
            stored.format("underlying_symbol", "option_chain_raw"),
            stored.format("underlying_symbol", "option_matrices"),
        ],
    )
    return found.group_by("symbol").agg(pl.col("first").min(), pl.col("last").max()).sort("symbol")


async def read_date_range(store: Store) -> tuple[date, date] | None:
    """Return the first and the last date on which any bar stands, rightly or not."""
    ends = pl.Schema([("first", pl.Date()), ("last", pl.Date())])
    question = "SELECT min(timestamp)::date AS first, max(timestamp)::date AS last FROM {}"
    tables = ("futures_1m", "stocks_1m")
    found = await _read(store, ends, [question.format(table) for table in tables])
    first, last = found.select(pl.min("first"), pl.max("last")).row(0)
    return (first, last) if first else None


async def _read(store: Store, schema: pl.Schema, queries: Sequence[str]) -> pl.DataFrame:
    found = [pl.DataFrame(await store.query(query)) for query in queries]
    return pl.concat([schema.to_frame(), *(f.select(list(schema)).cast(schema) for f in found)])
