"""Queries of the history: bars, chains and matrices of a few symbols and days, as frames.

`first` and `last` are dates, both included; all rows of those dates come back, also those at times
at which no bar is expected. What is read should fit in memory: `engine.history.scan` reads lazily.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta

import polars as pl

from engine.columns import BARS, STAMPS, TIME
from engine.history.archived import with_archived
from engine.market.nights import chain_session_sql, is_night_sql, session_of, session_sql
from engine.market.symbol_types import NIGHT_TABLE
from engine.market.symbols import OptionChain, parse
from engine.market.told_once import NAMES, STREAMS, ToldOnce
from engine.market.venues import VENUE_TABLE
from engine.schemas import OPTION_CHAIN, OPTION_SUMMARY, OPTION_SURFACE, level_columns
from engine.store import Store
from engine.store.archive import ARCHIVED
from engine.store.export import product_name
from engine.store.identifiers import identifier, literal, literals
from engine.store.tables import BAR_TABLES

SPANS = pl.Schema([("symbol", pl.String()), ("first", pl.Date()), ("last", pl.Date())])
_CHAIN = pl.DataFrame(OPTION_CHAIN.empty_table()).schema
_SUMMARY = pl.DataFrame(OPTION_SUMMARY.empty_table()).schema
_SURFACE = pl.DataFrame(OPTION_SURFACE.empty_table()).schema
_MATRICES = pl.Schema(
    [
        ("underlying_symbol", pl.String()),
        ("timestamp", TIME),
        ("metric_type", pl.String()),
        *((level, pl.Float64()) for level in level_columns()),
    ]
)


def between_dates(first: date, last: date, table: str = "") -> str:
    """Return the SQL condition for timestamps of the sessions from first to last, in a table.

    Sessions of the day lie within their dates, nights reach into the next one.
    """
    begins = time(12) if table == NIGHT_TABLE else time()
    begin = datetime.combine(first, begins)
    end = datetime.combine(last, begins) + timedelta(days=1)
    return f"timestamp >= {literal(begin)} AND timestamp < {literal(end)}"


def chain_dates(first: date, last: date, column: str = "underlying_symbol") -> str:
    """Return the SQL condition for rows of option chains of the sessions from first to last.

    Days and nights of a chain stand in one table, and a night reaches into the next date. Signals
    do so as well, by the `column` symbol.
    """
    span = f"{literal(first)} AND {literal(last)}"
    reach = between_dates(first, last + timedelta(days=1))  # keeps other partitions closed
    return f"{reach} AND {chain_session_sql(chain=column)} BETWEEN {span}"


def symbols_by_table(symbols: Sequence[str]) -> dict[str, list[str]]:
    """Return the tables that have bars of the symbols, each with its symbols."""
    tables: dict[str, list[str]] = {}
    for code in with_bars(symbols):
        tables.setdefault(parse(code).table, []).append(code)
    return tables


def with_bars(symbols: Iterable[str]) -> list[str]:
    """Return the symbols that have bars: neither option chains nor what KIS tells only once."""
    return [code for code in symbols if not isinstance(parse(code), OptionChain | ToldOnce)]


async def read_bars(
    store: Store,
    symbols: Sequence[str],
    first: date,
    last: date,
    copies: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return BARS of the symbols, unchecked and in no order.

    A table is read from its Parquet files instead if `copies` (engine.store.export) says that all
    files of the span are current.
    """
    frames = [BARS.to_frame()]
    for table, codes in symbols_by_table(symbols).items():
        if (files := _current_files(copies, table, codes, first, last)) is not None:
            found = _read_parquet(files, codes, first, last)
        else:
            query = (
                f"SELECT {', '.join(BARS)} FROM {table}"  # noqa: S608 - quoted
                f" WHERE symbol IN ({literals(codes)}) AND {between_dates(first, last, table)}"
            )
            found = await _read(store, BARS, [query])
        if table == ARCHIVED.name:
            found = await with_archived(store, found, codes, first, last)
        frames.append(found)
    return pl.concat(frames)


def _current_files(
    copies: pl.DataFrame | None, table: str, codes: Sequence[str], first: date, last: date
) -> list[str] | None:
    """Return the files that hold the span of a table; None unless all of them are current."""
    if copies is None:
        return None
    end = last + timedelta(days=1) if table == NIGHT_TABLE else last
    needed = copies.filter(
        pl.col("table") == table,
        pl.col("product").is_in({product_name(code) for code in codes}),
        pl.col("month").is_between(pl.lit(f"{first:%Y-%m}"), pl.lit(f"{end:%Y-%m}")),
    )
    return needed["path"].to_list() if needed["current"].all() else None


def _read_parquet(
    files: Sequence[str], codes: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    if not files:
        return BARS.to_frame()
    found = pl.scan_parquet(list(files), glob=False, hive_partitioning=False).filter(
        pl.col("symbol").is_in(list(codes)),
        session_of(pl.col("symbol"), pl.col("timestamp")).is_between(first, last),
    )
    return found.select(pl.col(name).cast(kind) for name, kind in BARS.items()).collect()


async def read_stamps(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    """Return STAMPS of what is stored: bars, snapshots of chains, rows of what is told once."""
    schema = pl.Schema({name: STAMPS[name] for name in ("symbol", "stamp")})
    found = await _read(store, schema, stamp_queries(first, last, symbols))
    if stocks := symbols_by_table(symbols).get(ARCHIVED.name):
        bars = found.rename({"stamp": "timestamp"})
        bars = await with_archived(store, bars, stocks, first, last)
        found = bars.rename({"timestamp": "stamp"})
    session = session_of(pl.col("symbol"), pl.col("stamp"))
    return found.with_columns(session=session).select(list(STAMPS))


def stamp_queries(first: date, last: date, symbols: Sequence[str] | None = None) -> list[str]:
    """Return the queries for symbol and stamp of what is stored of symbols; None means of all."""
    if symbols is None:
        wanted = dict.fromkeys(BAR_TABLES, "true")
        chains = "true"
    else:
        wanted = {
            table: f"symbol IN ({literals(codes)})"
            for table, codes in symbols_by_table(symbols).items()
        }
        named = [code for code in symbols if isinstance(parse(code), OptionChain)]
        chains = f"underlying_symbol IN ({literals(named)})" if named else ""
    span = between_dates(first, last)
    told = [found for code in symbols or () if isinstance(found := parse(code), ToldOnce)]
    queries = [
        f"SELECT symbol, timestamp AS stamp FROM {table} WHERE {condition}"  # noqa: S608
        f" AND {between_dates(first, last, table)}"
        for table, condition in wanted.items()
    ]
    if chains:
        queries.append(
            "SELECT underlying_symbol AS symbol, timestamp AS stamp FROM option_matrices"  # noqa: S608
            f" WHERE {chains} AND {chain_dates(first, last)} AND metric_type = 'price'"
        )
    for stream in STREAMS.values():
        subjects = [found.subject for found in told if found.stream is stream]
        condition = "true" if symbols is None else f"symbol IN ({literals(subjects)})"
        if symbols is None or subjects:
            queries.append(
                f"SELECT DISTINCT {literal(stream.prefix)} || symbol AS symbol, timestamp AS stamp"  # noqa: S608
                f" FROM {identifier(stream.table)} WHERE {condition} AND {span}"
            )
    return queries


async def read_collected_symbols(store: Store, day: date) -> list[str]:
    """Return the codes and option chains with any row on the day."""
    parts = [
        f"SELECT DISTINCT symbol FROM {table} WHERE {between_dates(day, day, table)}"  # noqa: S608
        for table in BAR_TABLES
    ]
    parts.append(
        "SELECT DISTINCT underlying_symbol FROM option_chain_raw"  # noqa: S608
        f" WHERE {chain_dates(day, day)}"
    )
    parts.append(  # of months in files, whose sessions are all validated
        "SELECT symbol FROM kept_sessions JOIN archived_months ON session BETWEEN"  # noqa: S608
        f" first_session AND last_session WHERE market = 'stocks' AND stored > 0"
        f" AND session = {literal(day)}"
    )
    found = await _read(store, pl.Schema({"symbol": pl.String()}), [" UNION ".join(parts)])
    return found["symbol"].sort().to_list()


async def read_planned_symbols(store: Store, day: date) -> list[str]:
    """Return what collectors set out to collect on the day, whether or not anything came of it."""
    query = f"SELECT symbol FROM collected_symbols WHERE session = {literal(day)}"  # noqa: S608
    found = await _read(store, pl.Schema({"symbol": pl.String()}), [query])
    return found["symbol"].sort().to_list()


async def read_confirmed_bars(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    """Return BARS that look wrong but that KIS gave again, so that they are right."""
    codes = with_bars(symbols)
    query = (
        f"SELECT {', '.join(BARS)} FROM confirmed_bars"  # noqa: S608 - quoted
        f" WHERE symbol IN ({literals(codes)})"
        f" AND {between_dates(first, last + timedelta(days=1))}"  # a night reaches into the next
    )
    found = await _read(store, BARS, [query] if codes else [])
    session = session_of(pl.col("symbol"), pl.col("timestamp"))
    return found.filter(session.is_between(first, last))


async def read_chain(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return OPTION_CHAIN of an option chain."""
    query = _chain_query("option_chain_raw", _CHAIN, symbol, first, last)
    return await _read(store, _CHAIN, [query])


async def read_last_snapshot(store: Store, symbol: str, day: date, until: datetime) -> pl.DataFrame:
    """Return OPTION_CHAIN of the last snapshot of a day until a time; empty without one."""
    span = f"underlying_symbol = {literal(symbol)} AND {chain_dates(day, day)}"
    last = f"SELECT max(timestamp) FROM option_chain_raw WHERE {span}"  # noqa: S608 - quoted
    query = _chain_query("option_chain_raw", _CHAIN, symbol, day, day)
    query += f" AND timestamp = ({last} AND timestamp <= {literal(until)})"
    return await _read(store, _CHAIN, [query])


async def read_matrices(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return the matrices of an option chain: timestamp, metric_type, values by level."""
    query = _chain_query("option_matrices", _MATRICES, symbol, first, last)
    return await _read(store, _MATRICES, [query])


async def read_summaries(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return OPTION_SUMMARY of an option chain."""
    query = _chain_query("option_summary", _SUMMARY, symbol, first, last)
    return await _read(store, _SUMMARY, [query])


async def read_surfaces(store: Store, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return OPTION_SURFACE of an option chain."""
    query = _chain_query("option_surface", _SURFACE, symbol, first, last)
    return await _read(store, _SURFACE, [query])


def _chain_query(table: str, schema: pl.Schema, symbol: str, first: date, last: date) -> str:
    return (
        f"SELECT {', '.join(map(identifier, schema))} FROM {identifier(table)}"  # noqa: S608 - quoted
        f" WHERE underlying_symbol = {literal(symbol)} AND {chain_dates(first, last)}"
    )


async def read_spans(store: Store) -> pl.DataFrame:
    """Return SPANS: the first and last day of which each symbol has rows, in tables or ledger.

    A day with a single row, or with rows far from any session's hours only, does not count: it does
    not show that the day was meant to be collected.
    """
    known = "SELECT symbol, min(session) AS first, max(session) AS last FROM {} GROUP BY 1"
    stored = (
        "SELECT symbol, min(day) AS first, max(day) AS last FROM ("
        "SELECT {0} AS symbol, {2} AS day FROM {1}"
        " WHERE {3} GROUP BY 1, 2 HAVING count(*) > 1"
        ") AS days GROUP BY 1"
    )
    by_day = "timestamp::time BETWEEN '08:46' AND '16:45'"
    day_hours = ("timestamp::date", by_day)
    venue_hours = ("timestamp::date", "timestamp::time BETWEEN '08:01' AND '20:00'")
    night_hours = (session_sql(NIGHT_TABLE), "timestamp::time NOT BETWEEN '06:01' AND '18:00'")
    chain_hours = (chain_session_sql(), f"({by_day}) <> {is_night_sql()}")
    # The state of futures is kept as it comes: only what was to be collected can be missing.
    told = "SELECT symbol, min(session) AS first, max(session) AS last FROM collected_symbols"
    found = await _read(
        store,
        SPANS,
        [
            known.format("gaps"),
            known.format("kept_sessions"),
            stored.format("symbol", "futures_1m", *day_hours),
            stored.format("symbol", NIGHT_TABLE, *night_hours),
            _stock_spans("stocks_1m", day_hours[1]),
            _stock_spans(VENUE_TABLE, venue_hours[1]),
            stored.format("underlying_symbol", "option_chain_raw", *chain_hours),
            stored.format("underlying_symbol", "option_matrices", *chain_hours),
            f"{told} WHERE symbol ~ {literal(NAMES)} GROUP BY 1",
        ],
    )
    return found.group_by("symbol").agg(pl.col("first").min(), pl.col("last").max()).sort("symbol")


def _stock_spans(table: str, hours: str) -> str:
    """Return the query for SPANS of a table of stocks, by its key: a year of a market is large."""
    of_day = (
        f"SELECT FROM {table} AS other WHERE other.symbol = bar.symbol AND {hours}"
        " AND timestamp >= bar.timestamp::date AND timestamp < bar.timestamp::date + 1 LIMIT 2"
    )
    end = (
        "LATERAL (SELECT timestamp::date AS day"  # noqa: S608
        f" FROM {table} AS bar WHERE bar.symbol = known.symbol AND {hours}"
        f" AND (SELECT count(*) FROM ({of_day}) AS two) > 1 ORDER BY timestamp {{}} LIMIT 1)"
    )
    return (
        f"{_known_symbols(table)} SELECT known.symbol, begin.day AS first, until.day AS last"  # noqa: S608
        f" FROM known, {end.format('')} AS begin, {end.format('DESC')} AS until"
    )


def _known_symbols(table: str) -> str:
    """Return the SQL for `known`, the symbols of a table, which asks its key for one at a time."""
    following = f"SELECT min(symbol) FROM {table} AS next WHERE next.symbol > known.symbol"  # noqa: S608
    return (
        f"WITH RECURSIVE known AS (SELECT min(symbol) AS symbol FROM {table} UNION ALL"  # noqa: S608
        f" SELECT ({following}) FROM known WHERE known.symbol IS NOT NULL)"
    )


async def read_date_range(store: Store) -> tuple[date, date] | None:
    """Return the first and the last date with any bar, expected or not; None without bars."""
    ends = pl.Schema([("first", pl.Date()), ("last", pl.Date())])
    of_symbol = (
        "(SELECT {}(timestamp) FROM {} AS bar WHERE bar.symbol = known.symbol)"  # by the key
    )
    queries = [
        f"{_known_symbols(table)} SELECT min({of_symbol.format('min', table)})::date AS first,"  # noqa: S608
        f" max({of_symbol.format('max', table)})::date AS last FROM known"
        for table in BAR_TABLES
    ]
    queries.append(
        "SELECT min(first_session) AS first, max(last_session) AS last FROM archived_months"
    )
    found = await _read(store, ends, queries)
    first, last = found.select(pl.min("first"), pl.max("last")).row(0)
    return (first, last) if first else None


async def _read(store: Store, schema: pl.Schema, queries: Sequence[str]) -> pl.DataFrame:
    """Return what the queries give, one below the other, in the columns and types of the schema."""
    found = [pl.DataFrame(await store.query(query)) for query in queries]
    return pl.concat([schema.to_frame(), *(f.select(list(schema)).cast(schema) for f in found)])
