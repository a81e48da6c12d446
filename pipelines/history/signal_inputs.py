"""The relations that the signal checks read: signals as stored, and as computed from the bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from engine.columns import SESSION
from engine.history.checks import RELATIONS
from engine.history.queries import chain_dates, read_bars
from engine.market.nights import chain_session_sql, session_of
from engine.store import Store
from engine.store.identifiers import identifier, identifiers, literal, literals
from strategies.base import Strategy, computed_columns
from strategies.by_session import evaluate_sessions, warm_up_begins
from strategies.registry import STRATEGIES


async def signal_relations(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> dict[str, pl.DataFrame]:
    """Return the relations `signals` and `expected_signals` of the sessions that have signals.

    Computed with the strategy's default parameters, as live does.
    """
    given = []
    expected = []
    for strategy in STRATEGIES.values():
        if not await has_table(store, strategy.table):
            continue
        stored = await _stored_signals(store, strategy, symbols, first, last)
        if stored.height:
            given.append(stored)
            computed = await computed_signals(store, strategy, stored.select(SESSION).unique())
            expected.append(_as_relation(computed, strategy))
    return {
        "signals": _relation("signals", given),
        "expected_signals": _relation("expected_signals", expected),
    }


def _relation(name: str, frames: list[pl.DataFrame]) -> pl.DataFrame:
    empty = RELATIONS[name].to_frame()
    return pl.concat([empty, *(frame.select(list(RELATIONS[name])) for frame in frames)])


async def has_table(store: Store, table: str) -> bool:
    """Say whether the table exists; that of a strategy is created with its first signal."""
    found = await store.query(f"SELECT to_regclass({literal('public.' + table)})::text AS name")
    return bool(found["name"][0].is_valid)


async def _stored_signals(
    store: Store, strategy: Strategy[Any], symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    rows = await store.query(
        f"SELECT {identifiers(computed_columns(strategy.schema))} FROM {identifier(strategy.table)}"  # noqa: S608
        f" WHERE symbol IN ({literals(symbols)}) AND {chain_dates(first, last, 'symbol')}"
    )
    return _as_relation(pl.DataFrame(rows), strategy)


async def computed_signals(
    store: Store, strategy: Strategy[Any], wanted: pl.DataFrame
) -> pl.DataFrame:
    """Return the strategy's signals, computed from stored bars, of sessions it has signals of.

    `wanted`: symbol, session. The columns are those of its schema without created_at.
    """
    given = await _sessions_with_signals(store, strategy, wanted)
    if given.is_empty():
        return pl.DataFrame(strategy.schema.empty_table()).drop("created_at")
    params = strategy.params()
    days = given["session"].unique().sort().to_list()
    first = warm_up_begins(strategy, params, days[0])
    bars = await read_bars(store, given["symbol"].unique().to_list(), first, days[-1])
    rows = evaluate_sessions(strategy, params, bars, days).with_columns(
        session=session_of(pl.col("symbol"), pl.col("timestamp"))
    )
    return rows.join(given, on=SESSION, how="semi").drop("session")


async def _sessions_with_signals(
    store: Store, strategy: Strategy[Any], wanted: pl.DataFrame
) -> pl.DataFrame:
    if wanted.is_empty() or not await has_table(store, strategy.table):
        return wanted.clear()
    days = wanted["session"].sort()
    rows = await store.query(
        f"SELECT DISTINCT symbol, {chain_session_sql(chain='symbol')} AS session"  # noqa: S608
        f" FROM {identifier(strategy.table)}"
        f" WHERE symbol IN ({literals(wanted['symbol'].unique())})"
        f" AND {chain_dates(days[0], days[-1], 'symbol')}"
    )
    return wanted.join(pl.DataFrame(rows), on=SESSION, how="semi")


def _as_relation(rows: pl.DataFrame, strategy: Strategy[Any]) -> pl.DataFrame:
    kinds = pl.DataFrame(strategy.schema.empty_table()).schema
    columns = computed_columns(strategy.schema)
    typed = rows.select(pl.col(name).cast(kinds[name]) for name in columns)
    content = pl.struct(pl.exclude("symbol", "timestamp")).struct.json_encode()
    return typed.select(
        "symbol",
        "timestamp",
        source=pl.lit(strategy.table),
        session=session_of(pl.col("symbol"), pl.col("timestamp")),
        content=content,
    )
