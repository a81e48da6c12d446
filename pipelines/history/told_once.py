"""What KIS tells only once, after the fact: the ledger at the close, relations of the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from engine.clock import Clock
from engine.columns import STAMP
from engine.history.checks import RELATIONS
from engine.history.queries import between_dates
from engine.market.expected import SESSIONS
from engine.market.symbols import parse
from engine.market.told_once import ToldOnce
from engine.store import Store, ledger
from engine.store.identifiers import identifier, identifiers, literals
from pipelines.feed import StreamPlan
from pipelines.history.survey import store_marks, survey

_REASONS = {"symbol": pl.String(), "stamp": pl.Datetime("us"), "noted": pl.String()}


async def settle_streams(
    store: Store,
    clock: Clock,
    streams: Sequence[StreamPlan],
    reasons: Mapping[tuple[str, datetime], str],
    *,
    over: bool = True,
) -> None:
    """Write the minutes that the day's streams lack into the ledger, with what was noted of each.

    All of them are unavailable if the day is `over`, since nothing will ask KIS again; else those
    that no answer can bring any more.
    """
    if not streams:
        return
    pairs = [(stream.code, stream.session.date) for stream in streams]
    found = await survey(store, pl.DataFrame(pairs, SESSIONS, orient="row"), clock)
    noted = [(*key, why) for key, why in reasons.items()]
    known = pl.DataFrame(noted, _REASONS, orient="row")
    marks = found.marks
    if over:
        open_ones = marks.filter(pl.col("state") == "open")
        lost = open_ones.select(*STAMP, why=pl.lit(ledger.TOLD_ONCE))
        marks = ledger.apply_reasons(marks, lost, "unavailable")
    else:  # what may still come is not missing yet
        marks = marks.filter(pl.col("state") != "open")
    generic = pl.col("reason") == ledger.TOLD_ONCE
    marks = (
        marks.join(known, on=["symbol", "stamp"], how="left", maintain_order="left")
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
