"""How things stand: the questions of `krt status`, one SQL file each in `sql/status`."""

from __future__ import annotations

import importlib.resources
from datetime import datetime

import polars as pl

from engine import schemas
from engine.store.merge import MergeCounts
from engine.store.store import Store


async def everything(store: Store) -> dict[str, pl.DataFrame]:
    """Answer every question; keys are titles for people.

    Heartbeats, the last bar of each symbol, open gaps, corrected sessions, rejected rows.
    """
    folder = importlib.resources.files("sql").joinpath("status")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    questions = [file.read_text("utf-8") for file in files if file.name.endswith(".sql")]
    return {
        question.split("\n", 1)[0].removeprefix("-- "): await frame(store, question)
        for question in questions
    }


async def frame(store: Store, query: str) -> pl.DataFrame:
    """Return what a query gives, as a frame."""
    return pl.DataFrame(await store.query(query))


async def heartbeat(
    store: Store,
    component: str,
    status: str,
    message: str,
    data_count: int,
    last_data_time: datetime | None,
) -> MergeCounts:
    """Say that the component lives and what it does; `krt status` shows the last word of each."""
    columns = [component, store.now(), status, message, data_count, last_data_time]
    beat = pl.DataFrame([columns], schema=schemas.SYSTEM_STATUS.names, orient="row")
    arrow = beat.to_arrow().cast(schemas.SYSTEM_STATUS)
    return await store.merge("system_status", arrow.to_batches()[0])
