"""What follows from stored rows, computed again where it is missing or no longer follows."""

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
from strategies.registry import STRATEGIES


async def compute_signals(store: Store, clock: Clock, sessions: pl.DataFrame) -> None:
    """Add signals of sessions (symbol, session) that have some; the merge records corrections."""
    for of in STRATEGIES.values() if sessions.height else ():
        rows = await computed_signals(store, of, sessions)
        rows = rows.with_columns(created_at=pl.lit(clock.now()))
        await store.merge(of.table, schemas.conform(rows, of.schema))


async def compute_matrices(store: Store, sessions: pl.DataFrame) -> None:
    """Compute the matrices of option chains' sessions (symbol, session) again."""
    for symbol, day in sessions.iter_rows():
        chain = chain_with_greeks(await read_chain(store, symbol, day, day))
        cells = chain_matrix(chain)
        await store.merge("option_matrices", schemas.conform(cells, schemas.OPTION_MATRIX))


async def complete_chain(store: Store, symbol: str, day: date) -> int:
    """Give matrix and summary to snapshots that lack them; return to how many.

    A collector that is killed between its commits leaves such a snapshot.
    """
    of = f"underlying_symbol = {literal(symbol)} AND {between_dates(day, day)}"
    found = await store.query(
        f"SELECT {', '.join(schemas.OPTION_CHAIN.names)} FROM option_chain_raw WHERE {of}"  # noqa: S608
        f" AND timestamp NOT IN (SELECT timestamp FROM option_summary WHERE {of})"
    )
    chain = pl.DataFrame(found)
    if chain.height:
        chain = chain_with_greeks(chain)
        cells, figures = chain_matrix(chain), chain_summary(chain)
        await store.merge("option_matrices", schemas.conform(cells, schemas.OPTION_MATRIX))
        await store.merge("option_summary", schemas.conform(figures, schemas.OPTION_SUMMARY))
    return chain["timestamp"].n_unique()
