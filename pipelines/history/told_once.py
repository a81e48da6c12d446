"""What KIS tells only once, after the fact: the ledger at the close, relations of the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal

import polars as pl

from engine.clock import Clock
from engine.columns import STAMP
from engine.history.checks import RELATIONS
from engine.history.completeness import why_lost
from engine.history.queries import between_dates
from engine.market.expected import SESSIONS
from engine.market.symbols import parse
from engine.market.told_once import ToldOnce
from engine.store import Store, ledger
from engine.store.identifiers import identifier, identifiers, literals
from pipelines.history.survey import store_marks, survey

Day = Literal["running", "ended early", "over"]
_REASONS = {"symbol": pl.String(), "stamp": pl.Datetime("us"), "noted": pl.String()}


async def settle_streams(
    store: Store,
    clock: Clock,
    streams: Sequence[tuple[str, date]],
    reasons: Mapping[tuple[str, datetime], str],
    *,
    day: Day = "over",
) -> None:
    """Write the minutes that streams (code, session) lack into the ledger, with what was noted.

    If the day is over all of them are unavailable, since nothing will ask KIS again; else only
    those that no answer can bring any more. The others stay open: those with a noted reason are
    written, or all if the day ended early. A later run may still fetch them, and one that comes too
    late has the reasons of this one.
    """
    if not streams:
        return
    found = await survey(store, pl.DataFrame(streams, SESSIONS, orient="row"), clock)
    noted = [(*key, why) for key, why in reasons.items()]
    known = pl.DataFrame(noted, _REASONS, orient="row")
    marks, is_open = found.marks, pl.col("state") == "open"
    if day == "over":
        lost = marks.filter(is_open).select(*STAMP, why=why_lost())
        marks = ledger.apply_reasons(marks, lost, "unavailable")
    generic = pl.col("reason").is_in([ledger.TOLD_ONCE, ledger.NOT_FED, ledger.NOT_COLLECTED])
    # What is on its way while the day is running is not missing yet.
    on_its_way = is_open & pl.col("noted").is_null() & pl.lit(day == "running")
    marks = (
        marks.join(known, on=["symbol", "stamp"], how="left", maintain_order="left")
        .filter(~on_its_way)
        .with_columns(
            reason=pl.when(generic & pl.col("noted").is_not_null())
            .then("noted")
            .otherwise("reason")
        )
        .drop("noted")
    )
    await store_marks(store, found, marks, clock)


async def told_once_relations(
    store: Store, symbols: Sequence[str], first: date, last: date
) -> dict[str, pl.DataFrame]:
    """Return the relations of the checks that hold the streams' rows, by the table's name."""
    told = [found for code in symbols if isinstance(found := parse(code), ToldOnce)]
    relations = {}
    for stream in dict.fromkeys(found.stream for found in told):
        subjects = [found.subject for found in told if found.stream is stream]
        wanted = RELATIONS[stream.table]
        names = [name for name in wanted if name != "session"]
        rows = await store.query(
            f"SELECT {identifiers(names)} FROM {identifier(stream.table)}"  # noqa: S608 - quoted
            f" WHERE symbol IN ({literals(subjects)}) AND {between_dates(first, last)}"
        )
        relations[stream.table] = (
            pl.DataFrame(rows)
            .with_columns(
                symbol=pl.lit(stream.prefix) + pl.col("symbol"),
                session=pl.col("timestamp").dt.date(),
            )
            .select(pl.col(name).cast(kind) for name, kind in wanted.items())
        )
    return relations
