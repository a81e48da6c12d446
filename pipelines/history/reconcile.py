"""What a collecting day does for the history: before the open, after a restart, at the close.

Symbols are those that the day collects: codes, and option chains by their underlying_symbol.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl

from engine.columns import STAMPS
from engine.history.queries import read_collected_symbols
from engine.market.expected import expected_sessions
from engine.market.sessions import Market, previous_sessions
from engine.market.symbols import OptionChain, parse
from engine.store import MergeCounts
from engine.store.identifiers import literals
from pipelines.history.backfill import Report, fill
from pipelines.history.derived import complete_snapshots, recompute_signals
from pipelines.history.request import BackfillContext
from pipelines.history.survey import survey, target_parts

log = logging.getLogger(__name__)

TRIES = 4  # a fault seldom spoils two answers in a row, and hardly ever four
MOST_EARLIER = 20  # sessions that a start finishes at most; `just backfill` has no such limit
EARLIER = 1  # sessions before the day that are filled even if no strategy needs them


def bar_symbols(symbols: Iterable[str]) -> list[str]:
    """Return the symbols that have bars: all but option chains."""
    return [symbol for symbol in symbols if not isinstance(parse(symbol), OptionChain)]


async def fill_before_open(
    context: BackfillContext, symbols: Sequence[str], day: date, warm_up: int
) -> Report:
    """Fill the holes of the session before the day, and `warm_up` sessions of futures.

    Of that session also what is open of other symbols: at its close KIS was asked once about
    minutes that nothing surrounds, and hours later it can be settled. Raises KisKeyRefused,
    StoreError.
    """
    codes = bar_symbols(symbols)
    futures = [code for code in codes if parse(code).market is Market.DERIVATIVES]
    earlier = previous_sessions(Market.DERIVATIVES, day, max(EARLIER, warm_up))
    last = earlier[-EARLIER:]
    others = await _open_symbols(context, last)
    wanted = expected_sessions([*codes, *others], last[0], last[-1])
    if warm_up:
        wanted = wanted.vstack(expected_sessions(futures, earlier[0], earlier[-1])).unique()
    return await fill(context, wanted)


async def _open_symbols(context: BackfillContext, sessions: Sequence[date]) -> list[str]:
    """Return the symbols of which the ledger has minutes of the sessions that are open."""
    days = literals([str(session) for session in sessions])
    found = await context.store.query(
        f"SELECT DISTINCT symbol FROM gaps WHERE state = 'open' AND session IN ({days}) ORDER BY 1"  # noqa: S608
    )
    return bar_symbols(str(symbol) for symbol in found["symbol"])


async def finish_earlier(
    context: BackfillContext, symbols: Sequence[str], day: date
) -> MergeCounts:
    """Compare earlier sessions with KIS that no collector has brought to their close.

    The last status of a collector says which they are: all from its day on, unless it is `done`.
    Beside `symbols`, the symbols collected on them are compared: since then the settings or the
    front month may have changed. Their signals are computed again from the bars that come.

    Raises KisKeyRefused, StoreError.
    """
    rows = MergeCounts()
    for session in await _unfinished(context, day):
        collected = await read_collected_symbols(context.store, session)
        names = [*dict.fromkeys([*collected, *bar_symbols(symbols)])]
        log.info("🔄 %s was not finished; comparing it with KIS", session)
        rows += (await reconcile(context, names, session)).rows
        await recompute_signals(
            context.store, context.clock, expected_sessions(names, session, session)
        )
    return rows


async def _unfinished(context: BackfillContext, day: date) -> list[date]:
    """Return the sessions before the day that no collector has compared with KIS."""
    status = await context.store.query(
        "SELECT status, timestamp FROM system_status WHERE component = 'collector'"
    )
    if not status.num_rows or status["status"][0].as_py() == "done":
        return []
    since = status["timestamp"][0].as_py().date()
    earlier = previous_sessions(Market.DERIVATIVES, day, MOST_EARLIER)
    return [session for session in earlier if session >= since]


async def fill_today(context: BackfillContext, symbols: Sequence[str], day: date) -> Report:
    """Fill the day's minutes so far, after a restart. Raises KisKeyRefused, StoreError."""
    codes = bar_symbols(symbols)
    return await fill(context, expected_sessions(codes, day, day))


async def reconcile(context: BackfillContext, symbols: Sequence[str], day: date) -> Report:
    """Fetch the whole day again after its close: bars that came late or were corrected since.

    Every stored bar has to stand in one answer about the sealed day; one that a faulty answer left
    out is asked for again. Missing minutes are settled. KIS keeps no history of option chains, so
    their missed snapshots become unavailable. Raises KisKeyRefused, StoreError.
    """
    for symbol in symbols:
        if isinstance(parse(symbol), OptionChain):
            await complete_snapshots(context.store, symbol, day)
    wanted = expected_sessions(symbols, day, day, sealed_by=context.clock.now())
    unseen = await _stored_stamps(context, wanted)
    total = await fill(context, wanted, again=unseen)
    for _ in range(TRIES - 1):
        unseen = unseen.join(_final_stamps(total), on=["symbol", "stamp"], how="anti")
        if unseen.is_empty():
            return total
        total += await fill(context, wanted, again=unseen, repeats=True)
    log.warning(
        "⚠️ %d bars of %s could not be compared with KIS after the close", unseen.height, day
    )
    return total


async def _stored_stamps(context: BackfillContext, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, stamp of the stored bars of the targets."""
    codes = bar_symbols(wanted["symbol"].unique())
    bars = wanted.filter(pl.col("symbol").is_in(codes))
    surveys = [await survey(context.store, part, context.clock) for part in target_parts(bars)]
    return pl.concat([pl.DataFrame(schema=STAMPS), *(found.stored for found in surveys)])


def _final_stamps(report: Report) -> pl.DataFrame:
    """Return symbol and stamp of the bars in the answers about sealed sessions."""
    stamps = [
        result.bars.select("symbol", stamp="timestamp")
        for result in report.results or []
        if result.sealed and result.bars.height
    ]
    empty = pl.DataFrame(schema=STAMPS).select("symbol", "stamp")
    return pl.concat([empty, *stamps])
