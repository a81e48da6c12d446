"""What a collecting day does for the history: before the open, after a restart, at the close.

Symbols are those that the day collects: codes, and option chains by their underlying_symbol.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.history.queries import read_collected_symbols
from engine.market import sessions
from engine.market.expected import expected_sessions, is_chain
from engine.market.sessions import Market
from engine.store import MergeCounts
from pipelines.history.backfill import Report, fill
from pipelines.history.derived import complete_chain, compute_signals
from pipelines.history.request import BackfillContext
from pipelines.history.survey import STORED, in_parts, survey

log = logging.getLogger(__name__)

LOOKS = 4  # at the sealed day; a fault hits two answers in a row seldom, four hardly ever

REACH = 20  # sessions that a start finishes at most; `krt backfill` has no such bound
EARLIER = 1  # sessions before the day that are looked at even if no strategy needs them


async def fill_before_open(
    context: BackfillContext, symbols: Sequence[str], day: date, warm_up: int
) -> Report:
    """Fill the holes of the session before the day, and `warm_up` sessions of futures.

    Raises KisKeyRefused, StoreError.
    """
    before = [symbol for symbol in symbols if not is_chain(symbol)]
    futures = [s for s in before if sessions.market_of(s) is Market.DERIVATIVES]
    last = sessions.previous_sessions(Market.DERIVATIVES, day, max(EARLIER, warm_up))
    wanted = expected_sessions(before, last[-EARLIER], last[-1])
    if warm_up:
        wanted = wanted.vstack(expected_sessions(futures, last[0], last[-1])).unique()
    return await fill(context, wanted)


async def finish_earlier(
    context: BackfillContext, symbols: Sequence[str], day: date
) -> MergeCounts:
    """Do for earlier sessions that nobody brought to their end what is done at a close.

    The last word of a collector says which they are: all from its day on, unless it was `done`.
    What was collected on them counts with `symbols`: the settings or the front month may be others
    today. Signals given on them are made to follow from what comes.

    Raises KisKeyRefused, StoreError.
    """
    rows = MergeCounts()
    for session in await _unfinished(context, day):
        collected = await read_collected_symbols(context.store, session)
        names = [*dict.fromkeys([*collected, *(s for s in symbols if not is_chain(s))])]
        log.info("🔄 %s was not finished; comparing it with KIS", session)
        rows += (await reconcile(context, names, session)).rows
        await compute_signals(
            context.store, context.clock, expected_sessions(names, session, session)
        )
    return rows


async def _unfinished(context: BackfillContext, day: date) -> list[date]:
    """Return the sessions before the day that no collector has compared with KIS."""
    said = await context.store.query(
        "SELECT status, timestamp FROM system_status WHERE component = 'collector'"
    )
    if not said.num_rows or said["status"][0].as_py() == "done":
        return []
    reach = sessions.previous_sessions(Market.DERIVATIVES, day, REACH)
    return [session for session in reach if session >= said["timestamp"][0].as_py().date()]


async def fill_today(context: BackfillContext, symbols: Sequence[str], day: date) -> Report:
    """Fill the day's minutes so far, after a restart. Raises KisKeyRefused, StoreError."""
    codes = [symbol for symbol in symbols if not is_chain(symbol)]
    return await fill(context, expected_sessions(codes, day, day))


async def reconcile(context: BackfillContext, symbols: Sequence[str], day: date) -> Report:
    """Fetch the whole day again after its close: bars that came late or were corrected since.

    Every stored bar has to be seen once in an answer about the sealed day; one that an answer with
    a fault left out is asked for again. What is missing is settled. Of option chains, which KIS
    keeps no history of, the missed snapshots become unavailable. Raises KisKeyRefused, StoreError.
    """
    for symbol in filter(is_chain, symbols):
        await complete_chain(context.store, symbol, day)
    wanted = expected_sessions(symbols, day, day, sealed_by=context.clock.now())
    unseen = await _stored(context, wanted)
    total = await fill(context, wanted, again=unseen)
    for _ in range(LOOKS - 1):
        unseen = unseen.join(_shown(total), on=["symbol", "stamp"], how="anti")
        if unseen.is_empty():
            return total
        again = await fill(context, wanted, again=unseen)
        again.asked = (total.asked or []) + (again.asked or [])
        again.planned, again.calls = again.planned + total.planned, again.calls + total.calls
        again.rows += total.rows
        total = again
    log.warning(
        "⚠️ %d bars of %s could not be compared with KIS after the close", unseen.height, day
    )
    return total


async def _stored(context: BackfillContext, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, stamp of the bars that are stored of the targets."""
    codes = [symbol for symbol in wanted["symbol"].unique() if not is_chain(symbol)]
    bars = wanted.filter(pl.col("symbol").is_in(codes))
    seen = [await survey(context.store, part, context.clock) for part in in_parts(bars)]
    return pl.concat([pl.DataFrame(schema=STORED), *(part.stored for part in seen)])


def _shown(report: Report) -> pl.DataFrame:
    """Return symbol and stamp of the bars that answers about sealed sessions held."""
    asked = [one.bars for one in report.asked or [] if one.sealed and one.bars.height]
    shown = [bars.select("symbol", stamp="timestamp") for bars in asked]
    return pl.concat([pl.DataFrame(schema={k: STORED[k] for k in ("symbol", "stamp")}), *shown])
