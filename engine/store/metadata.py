"""Rows about the system: front months, strategies' symbols, heartbeats, status, roles."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from datetime import date, datetime

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import Clock
from engine.market.products import PRODUCTS
from engine.market.symbols import front_month
from engine.market.trading_days import rules
from engine.store.identifiers import literal
from engine.store.merge import MergeCounts
from engine.store.store import Store


async def store_front_months(store: Store, clock: Clock) -> None:
    """Bring `front_months` up to date, which the views of rolls and front-month series read."""
    first, last = rules()["first_day"], rules()["last_day"]
    fronts = [
        front_month(product).contracts(first, last).with_columns(product=pl.lit(product.prefix))
        for product in PRODUCTS
        if product.kind == "future"
    ]
    rows = pl.concat(fronts).with_columns(updated_at=pl.lit(clock.now()))
    await store.merge("front_months", schemas.conform(rows, schemas.FRONT_MONTHS))


async def store_strategy_symbols(
    store: Store, strategy: str, symbols: Iterable[str]
) -> MergeCounts:
    """Record that the strategy runs on the symbols; the view `dolpha1` shows their bars."""
    rows = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String}).select(
        pl.lit(strategy).alias("strategy"), "symbol", pl.lit(store.now()).alias("since")
    )
    arrow = rows.to_arrow().cast(schemas.STRATEGY_SYMBOLS).combine_chunks()
    return await store.merge("strategy_symbols", arrow.to_batches()[0])


async def store_collected_symbols(
    store: Store, session: date, symbols: Iterable[str], since: datetime
) -> datetime:
    """Record what a collector sets out to collect in a session: codes and option chains.

    `since` is when it set out, KST. Returns when the first collector of the session did.
    """
    rows = [(session, symbol, since) for symbol in dict.fromkeys(symbols)]
    frame = pl.DataFrame(rows, schemas.COLLECTED_SYMBOLS.names, orient="row")
    await store.merge("collected_symbols", schemas.conform(frame, schemas.COLLECTED_SYMBOLS))
    query = f"SELECT min(since) AS since FROM collected_symbols WHERE session = {literal(session)}"
    first: datetime | None = (await store.query(query))["since"][0].as_py()
    return first or since


def heartbeat(
    now: datetime,
    component: str,
    status: str,
    message: str,
    data_count: int,
    last_data_time: datetime | None,
) -> pa.RecordBatch:
    """Return the row of `system_status` that says what a component does.

    `just status` shows each one's last.
    """
    values = (component, now, status, message, data_count, last_data_time)
    row = dict(zip(schemas.SYSTEM_STATUS.names, values, strict=True))
    return pa.RecordBatch.from_pylist([row], schema=schemas.SYSTEM_STATUS)


async def system_status(store: Store) -> dict[str, pl.DataFrame]:
    """Return what `just status` shows: the answer to each question in `sql/status`, by its title.

    Heartbeats, the last bar of each symbol, open gaps, corrected sessions, corrected signals,
    rejected rows, trades, sizes.
    """
    folder = importlib.resources.files("sql").joinpath("status")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    questions = [file.read_text("utf-8") for file in files if file.name.endswith(".sql")]
    return {
        question.split("\n", 1)[0].removeprefix("-- "): pl.DataFrame(await store.query(question))
        for question in questions
    }


def roles_sql() -> str:
    """Return the SQL that makes the roles `krt_reader` and `krt_writer`; for psql, by the owner."""
    return importlib.resources.files("sql").joinpath("roles.sql").read_text("utf-8")
