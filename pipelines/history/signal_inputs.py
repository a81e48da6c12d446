"""Signals as they are stored, and as the strategies compute them from the stored bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from engine.history.checks import RELATIONS
from engine.history.queries import between_dates, read_bars
from engine.market import sessions
from engine.market.sessions import Market
from engine.store import Store
from engine.store.identifiers import identifier, identifiers, literal, literals
from strategies.base import Strategy
from strategies.registry import STRATEGIES

_SESSION = ["symbol", "session"]


async def signal_relations(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> dict[str, pl.DataFrame]:
    """Return the relations `signals` and `expected_signals` of the sessions that have signals.

    Computed with the strategy's default parameters, as live does.
    """
    given, expected = [], []
    for strategy in STRATEGIES.values():
        if not await has_table(store, strategy.table):
            continue
        stored = await _stored(store, strategy, symbols, first, last)
        if stored.height:
            given.append(stored)
            computed = await computed_signals(store, strategy, stored.select(_SESSION).unique())
            expected.append(_as_relation(computed, strategy))
    return {
        "signals": _joined("signals", given),
        "expected_signals": _joined("expected_signals", expected),
    }


def _joined(name: str, frames: list[pl.DataFrame]) -> pl.DataFrame:
    empty = RELATIONS[name].to_frame()
    return pl.concat([empty, *(frame.select(list(RELATIONS[name])) for frame in frames)])


async def has_table(store: Store, table: str) -> bool:
    """Say whether the table is there; a strategy's is made with its first signal."""
    found = await store.query(f"SELECT to_regclass({literal('public.' + table)})::text AS name")
    return bool(found["name"][0].is_valid)


async def _stored(
    store: Store, of: Strategy[Any], symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    rows = await store.query(
        f"SELECT {identifiers(_columns(of))} FROM {identifier(of.table)}"  # noqa: S608
        f" WHERE symbol IN ({literals(symbols)}) AND {between_dates(first, last)}"
    )
    return _as_relation(pl.DataFrame(rows), of)


async def computed_signals(store: Store, of: Strategy[Any], wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the strategy's rows, from stored bars, for sessions (symbol, session) it has run on.

    Columns of its schema without created_at.
    """
    given = await _sessions_with_signals(store, of, wanted)
    if given.is_empty():
        return pl.DataFrame(of.schema.empty_table()).drop("created_at")
    params = of.params()
    days = given["session"].sort()
    earlier = sessions.previous_sessions(Market.DERIVATIVES, days[0], of.warm_up_sessions(params))
    begin = [*earlier, days[0]][0]
    bars = await read_bars(store, given["symbol"].unique().to_list(), begin, days[-1])
    rows = of.evaluate(bars.lazy(), params).with_columns(session=pl.col("timestamp").dt.date())
    return rows.collect().join(given, on=_SESSION, how="semi").drop("session")


async def _sessions_with_signals(
    store: Store, of: Strategy[Any], wanted: pl.DataFrame
) -> pl.DataFrame:
    if wanted.is_empty() or not await has_table(store, of.table):
        return wanted.clear()
    days = wanted["session"].sort()
    rows = await store.query(
        f"SELECT DISTINCT symbol, timestamp::date AS session FROM {identifier(of.table)}"  # noqa: S608
        f" WHERE symbol IN ({literals(wanted['symbol'].unique())})"
        f" AND {between_dates(days[0], days[-1])}"
    )
    return wanted.join(pl.DataFrame(rows), on=_SESSION, how="semi")


def _columns(of: Strategy[Any]) -> list[str]:
    return [name for name in of.schema.names if name != "created_at"]


def _as_relation(rows: pl.DataFrame, of: Strategy[Any]) -> pl.DataFrame:
    kinds = pl.DataFrame(of.schema.empty_table()).schema
    typed = rows.select(pl.col(name).cast(kinds[name]) for name in _columns(of))
    content = pl.struct(pl.exclude("symbol", "timestamp")).struct.json_encode()
    return typed.select(
        "symbol",
        "timestamp",
        source=pl.lit(of.table),
        session=pl.col("timestamp").dt.date(),
        content=content,
    )
