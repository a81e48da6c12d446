"""What a collecting day does for the history: before the open, after a restart, at the close.

Symbols are those that the day collects: codes, and option chains by their underlying_symbol.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import polars as pl

from engine.columns import STAMPS
from engine.history.queries import read_collected_symbols, read_planned_symbols, with_bars
from engine.market.expected import SESSIONS, expected_sessions
from engine.market.nights import is_night_sql
from engine.market.sessions import Market, previous_sessions, session_dates
from engine.market.symbols import OptionChain, parse
from engine.market.told_once import ToldOnce
from engine.store import MergeCounts
from engine.store.identifiers import literals
from pipelines.day_plan import NIGHT_OF
from pipelines.history.backfill import Report, fill
from pipelines.history.derived import complete_snapshots, recompute_signals
from pipelines.history.request import BackfillContext
from pipelines.history.survey import survey, target_parts
from pipelines.history.told_once import settle_streams

log = logging.getLogger(__name__)

TRIES = 4  # a fault seldom spoils two answers in a row, and hardly ever four
MOST_EARLIER = 20  # sessions that a start finishes at most; `just backfill` has no such limit
LEFT_OPEN = 5  # sessions before the day of which a start asks for what is open
WITH_SIGNALS = (Market.DERIVATIVES, Market.NIGHT)
EARLIER = 1  # sessions before the day that are filled even if no strategy needs them


async def fill_before_open(
    context: BackfillContext, symbols: Sequence[str], day: date, warm_up: int
) -> Report:
    """Fill the holes of the session before the day, and `warm_up` sessions of futures.

    Also whatever the ledger has as open in the last sessions, of other symbols too: at its close
    KIS was asked once about minutes that nothing surrounds, and hours later they can be settled.
    Signals of these sessions follow the bars that have come, now or to a start that was cut off.
    Raises KisKeyRefused, StoreError.
    """
    codes = with_bars(symbols)
    futures = [code for code in codes if parse(code).market is Market.DERIVATIVES]
    earlier = previous_sessions(Market.DERIVATIVES, day, max(LEFT_OPEN, warm_up))
    parts = [
        expected_sessions(codes, earlier[-EARLIER], earlier[-1]),
        await _open_sessions(context, earlier[-LEFT_OPEN:]),
    ]
    if warm_up:
        parts.append(expected_sessions(futures, earlier[-warm_up], earlier[-1]))
    wanted = pl.concat(parts).unique().sort("symbol", "session")
    report = await fill(context, wanted)
    days = earlier if report.rows.inserted or report.rows.changed else earlier[-LEFT_OPEN:]
    followed = [code for code in wanted["symbol"].unique() if parse(code).market in WITH_SIGNALS]
    await recompute_signals(
        context.store, context.clock, expected_sessions(followed, days[0], days[-1])
    )
    return report


async def _open_sessions(context: BackfillContext, days: Sequence[date]) -> pl.DataFrame:
    """Return the sessions (symbol, session) of the days that have open minutes in the ledger."""
    named = literals([str(day) for day in days])
    found = await context.store.query(
        f"SELECT DISTINCT symbol, session FROM gaps WHERE state = 'open' AND session IN ({named})"  # noqa: S608
    )
    pairs = pl.DataFrame(found).select(pl.col(name).cast(kind) for name, kind in SESSIONS.items())
    return pairs.filter(pl.col("symbol").is_in(with_bars(pairs["symbol"])))


async def finish_earlier(
    context: BackfillContext, symbols: Sequence[str], day: date, *, missed: bool = False
) -> MergeCounts:
    """Compare earlier sessions with KIS that no collector has brought to their close.

    The last status of a collector says which they are: all from its day on, unless it is `done`.
    With `missed` also the sessions after one that is done: no collector ran, the machine was off.
    And those before it that were begun and never closed: a day that could only spool has the last
    status, and the one before it is forgotten.
    Beside `symbols`, what was collected on them, or meant to be, is compared: since then the
    settings or the front month may have changed. Their signals are computed again from the bars
    that come. What KIS tells only once is written down as lost.

    Raises KisKeyRefused, StoreError.
    """
    rows = MergeCounts()
    rows += await _finish_nights(context, symbols, day)
    for session in await _unfinished(context, day, missed=missed):
        collected = await read_collected_symbols(context.store, session)
        planned = await read_planned_symbols(context.store, session)
        told = [symbol for symbol in planned if isinstance(parse(symbol), ToldOnce)]
        of_day = [symbol for symbol in planned if symbol not in told and not _is_of_evening(symbol)]
        named = dict.fromkeys([*collected, *of_day, *with_bars(symbols)])
        names = [name for name in named if not _is_night(name)]
        log.info("🔄 %s was not finished; comparing it with KIS", session)
        rows += (await reconcile(context, names, session)).rows
        await settle_streams(context.store, context.clock, [(code, session) for code in told], {})
        await recompute_signals(
            context.store, context.clock, expected_sessions(names, session, session)
        )
    return rows


def _is_night(symbol: str) -> bool:
    return parse(symbol).market is Market.NIGHT


def _is_of_evening(symbol: str) -> bool:
    return parse(symbol).market not in (Market.STOCKS, Market.DERIVATIVES)


async def _finish_nights(
    context: BackfillContext, symbols: Iterable[str], day: date
) -> MergeCounts:
    """Compare with KIS the nights that ended since the collector's last session, or never closed.

    And the other venues of stocks, whose evening the run of a night collects.
    """
    rows = MergeCounts()
    evening = [symbol for symbol in with_bars(list(symbols)) if _is_of_evening(symbol)]
    if not any(map(_is_night, evening)):
        return rows
    since, was_night, done = await _last_session(context)
    if since is None:
        return rows
    first = since + timedelta(days=1) if was_night and done else since
    earlier = previous_sessions(Market.DERIVATIVES, day, MOST_EARLIER)  # a night begins on one
    begun = await _never_closed(context, earlier, nights=True)
    days = session_dates(Market.NIGHT, earlier[0], day - timedelta(days=1))
    for night in (night for night in days if night >= first or night in begun):
        collected = filter(_is_of_evening, await read_collected_symbols(context.store, night))
        names = [*evening, *collected]
        targets = expected_sessions(names, night, night, sealed_by=context.clock.now())
        if targets.height:
            log.info("🔄 the night of %s was not finished; comparing it with KIS", night)
            rows += (await reconcile(context, targets["symbol"].to_list(), night)).rows
            nights = list(filter(_is_night, targets["symbol"]))
            await recompute_signals(
                context.store, context.clock, targets.filter(pl.col("symbol").is_in(nights))
            )
    return rows


async def _last_session(context: BackfillContext) -> tuple[date | None, bool, bool]:
    """Return the date of the collector's last session, whether it was a night, and is done."""
    status = await context.store.query(
        "SELECT status, message, timestamp FROM system_status WHERE component = 'collector'"
    )
    if not status.num_rows:
        return None, False, False
    row = status.to_pylist()[0]
    told, done = row["message"] or "", row["status"] == "done"
    if told.startswith(NIGHT_OF):
        evening = told.removeprefix(NIGHT_OF).partition(":")[0]
        return date.fromisoformat(evening), True, done
    return row["timestamp"].date(), False, done


async def _unfinished(context: BackfillContext, day: date, *, missed: bool) -> list[date]:
    """Return the sessions before the day that no collector has compared with KIS."""
    since, was_night, done = await _last_session(context)
    if since is None or (done and not missed):
        return []
    if was_night or done:  # the day before a night was finished then
        since += timedelta(days=1)
    earlier = previous_sessions(Market.DERIVATIVES, day, MOST_EARLIER)
    begun = await _never_closed(context, earlier, nights=False)
    return [session for session in earlier if session >= since or session in begun]


async def _never_closed(
    context: BackfillContext, days: Sequence[date], *, nights: bool
) -> set[date]:
    """Return the days on which a collector set out, and of which no symbol has a status.

    Or the days of such `nights`: a night is written down with its day, and closed by itself.
    """
    named = literals([str(day) for day in days])
    found = await context.store.query(
        "SELECT session FROM collected_symbols LEFT JOIN kept_sessions USING (symbol, session)"  # noqa: S608
        f" WHERE session IN ({named}) AND {is_night_sql('symbol')} = {nights}"
        " GROUP BY session HAVING count(kept_sessions.market) = 0"
    )
    return set(pl.DataFrame(found)["session"])


async def fill_today(context: BackfillContext, symbols: Sequence[str], day: date) -> Report:
    """Fill the day's minutes so far, after a restart. Raises KisKeyRefused, StoreError."""
    codes = with_bars(symbols)
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
    codes = with_bars(wanted["symbol"].unique())
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
