"""Signals and matrices, computed again from stored rows where they are missing or differ."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine import schemas
from engine.clock import Clock
from engine.history.queries import between_dates, read_chain
from engine.store import Store
from engine.store.identifiers import literal
from pipelines.chains import chain_matrix, chain_summary, chain_with_greeks
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
    """Store the matrices and summaries of option chains' sessions (symbol, session)."""
    for symbol, day in sessions.iter_rows():
        await _store_derived(store, await read_chain(store, symbol, day, day))


async def complete_snapshots(store: Store, symbol: str, day: date) -> int:
    """Store the matrix and summary of a chain's snapshots that lack them; return how many did.

    A collector that is killed between its commits leaves such a snapshot.
    """
    condition = f"underlying_symbol = {literal(symbol)} AND {between_dates(day, day)}"
    found = await store.query(
        f"SELECT {', '.join(schemas.OPTION_CHAIN.names)} FROM option_chain_raw WHERE {condition}"  # noqa: S608
        f" AND timestamp NOT IN (SELECT timestamp FROM option_summary WHERE {condition})"
    )
    chain = pl.DataFrame(found)
    if chain.height:
        await _store_derived(store, chain)
    return chain["timestamp"].n_unique()


async def _store_derived(store: Store, chain: pl.DataFrame) -> None:
    """Store what follows from a stored chain."""
    with_greeks = chain_with_greeks(chain)
    for table, frame, schema in (
        ("option_matrices", chain_matrix(with_greeks), schemas.OPTION_MATRIX),
        ("option_summary", chain_summary(with_greeks), schemas.OPTION_SUMMARY),
    ):
        await store.merge(table, schemas.conform(frame, schema))
