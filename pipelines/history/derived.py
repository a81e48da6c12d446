"""Signals and matrices, computed again from stored rows where they are missing or differ."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.clock import Clock
from engine.history.queries import chain_dates, read_chain
from engine.store import Store
from engine.store.identifiers import literal, literals
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from pipelines.history.signal_inputs import computed_signals
from strategies.base import signal_batch
from strategies.registry import STRATEGIES


async def recompute_signals(store: Store, clock: Clock, sessions: pl.DataFrame) -> None:
    """Store the signals of sessions (symbol, session) that have some already.

    The merge keeps what it replaces in `signal_corrections`.
    """
    if sessions.is_empty():
        return
    for strategy in STRATEGIES.values():
        rows = await computed_signals(store, strategy, sessions)
        batch = signal_batch(rows, strategy.schema, clock.now())
        await store.merge(strategy.table, batch)


async def recompute_chains(store: Store, sessions: pl.DataFrame) -> None:
    """Store the matrices, surfaces and summaries of option chains' sessions (symbol, session)."""
    for symbol, day in sessions.iter_rows():
        await _store_matrices(store, await read_chain(store, symbol, day, day))
    for day in sessions["session"].unique().sort():
        await _store_surfaces(store, day, "true")


async def complete_snapshots(store: Store, symbol: str, day: date) -> int:
    """Store what follows from a chain's snapshots where it lacks; return how many lacked it.

    A collector that is killed between its commits leaves such a snapshot.
    """
    matrices, surfaces, summaries = [
        await _minutes_without(store, table, symbol, day)
        for table in ("option_matrices", "option_surface", "option_summary")
    ]
    lacking = sorted(matrices | summaries)
    if lacking:
        found = await store.query(
            f"SELECT {', '.join(schemas.OPTION_CHAIN.names)} FROM option_chain_raw"  # noqa: S608
            f" WHERE {_chain_on(symbol, day)} AND timestamp IN ({literals(lacking)})"
        )
        await _store_matrices(store, pl.DataFrame(found))
    if read_off := sorted(surfaces | summaries):
        await _store_surfaces(store, day, f"timestamp IN ({literals(read_off)})")
    return len(lacking)


async def _minutes_without(store: Store, table: str, symbol: str, day: date) -> set[datetime]:
    """Return the minutes of a chain's snapshots that lack their row in a table.

    They are asked for by themselves: as a part of the query for the snapshots, Postgres computed
    them anew for each row, which took minutes.
    """
    condition = _chain_on(symbol, day)
    found = await store.query(
        f"SELECT timestamp FROM option_chain_raw WHERE {condition}"  # noqa: S608
        f" EXCEPT SELECT timestamp FROM {table} WHERE {condition}"
    )
    return set(pl.DataFrame(found)["timestamp"])


def _chain_on(symbol: str, day: date) -> str:
    return f"underlying_symbol = {literal(symbol)} AND {chain_dates(day, day)}"


async def _store_surfaces(store: Store, day: date, condition: str) -> None:
    """Store surfaces and summaries of all chains stored in the day's minutes of the condition."""
    minutes = f"{chain_dates(day, day)} AND {condition}"
    hours = (
        f"SELECT DISTINCT extract(hour FROM timestamp)::int FROM option_chain_raw WHERE {minutes}"  # noqa: S608
    )
    for hour in pl.DataFrame(await store.query(hours)).to_series():
        found = await store.query(
            f"SELECT {', '.join(schemas.OPTION_CHAIN.names)} FROM option_chain_raw"  # noqa: S608
            f" WHERE {minutes} AND extract(hour FROM timestamp) = {literal(hour)}"
        )
        with_greeks = chain_with_greeks(pl.DataFrame(found))
        surface = chain_surface(with_greeks)
        summary = chain_summary(chain_figures(with_greeks), surface)
        for table, frame, schema in (
            ("option_surface", surface, schemas.OPTION_SURFACE),
            ("option_summary", summary, schemas.OPTION_SUMMARY),
        ):
            await store.merge(table, schemas.conform(frame, schema))


async def _store_matrices(store: Store, chain: pl.DataFrame) -> None:
    """Store the matrices of a stored chain."""
    matrix = chain_matrix(chain_with_greeks(chain))
    await store.merge("option_matrices", schemas.conform(matrix, schemas.OPTION_MATRIX))
