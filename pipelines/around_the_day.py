"""What a collecting day does for the history: before the open, after a restart, at the close.

Symbols are those that the day collects: codes, and option chains by their underlying_symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from engine import sessions
from engine.history.owed import is_chain, session_of, targets
from engine.sessions import Market
from pipelines.asking import Tools, Window
from pipelines.backfill import Progress, Report, ask_all, fill, quiet

EARLIER = 1  # sessions before the day that are looked at even if no strategy needs them


async def fill_before_open(
    tools: Tools, symbols: Sequence[str], day: date, warm_up: int, progress: Progress = quiet
) -> Report:
    """Fill the holes of the session before the day, and `warm_up` sessions of futures.

    Raises KisRefused, StoreError.
    """
    before = [symbol for symbol in symbols if not is_chain(symbol)]
    futures = [s for s in before if sessions.market_of(s) is Market.DERIVATIVES]
    last = sessions.previous_sessions(Market.DERIVATIVES, day, max(EARLIER, warm_up))
    wanted = targets(before, last[-EARLIER], last[-1])
    if warm_up:
        wanted = wanted.vstack(targets(futures, last[0], last[-1])).unique()
    return await fill(tools, wanted, progress=progress)


async def fill_today(
    tools: Tools, symbols: Sequence[str], day: date, progress: Progress = quiet
) -> Report:
    """Fill the day's minutes so far, after a restart. Raises KisRefused, StoreError."""
    codes = [symbol for symbol in symbols if not is_chain(symbol)]
    return await fill(tools, targets(codes, day, day), progress=progress)


async def reconcile(
    tools: Tools, symbols: Sequence[str], day: date, progress: Progress = quiet
) -> Report:
    """Fetch the whole day again after its close: bars that came late or were corrected since.

    Then ask once more about what is still missing and settle it. Of option chains, which KIS keeps
    no history of, the missed snapshots become unavailable. Raises KisRefused, StoreError.
    """
    wanted = targets(symbols, day, day, sealed_by=tools.clock.now())
    whole = [
        Window(symbol, day, of.last_stamp, of.first_stamp, whole_day=True)
        for symbol in wanted["symbol"]
        if not is_chain(symbol) and (of := session_of(symbol, day))
    ]
    first = Report(planned=len(whole))
    await ask_all(tools, [[window] for window in whole], first, progress)
    report = await fill(tools, wanted, progress=progress)
    report.planned, report.calls = report.planned + first.planned, report.calls + first.calls
    report.rows += first.rows
    return report
