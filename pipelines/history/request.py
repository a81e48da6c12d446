"""One question to KIS about missing bars, and what its answer proves.

An answer is believed about a stamp that it does not hold only if it shows bars around it: KIS has
been seen to answer "fine" with nothing, or with another day's rows. One that shows nothing of a
session that has bars is no answer; one about a session without any is believed when it comes a
second time (`ledger.apply_answers`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.errors import InputError, KisError, KisKeyRefused, KisRefused
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.history.queries import bar_table
from engine.kis.client import KisClient, Priority
from engine.market import instruments
from engine.market.expected import is_chain, session_of
from engine.store import MergeCounts, Store

log = logging.getLogger(__name__)

KEPT = timedelta(days=365)  # "about one year" (KIS.md)
ANSWERS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("stamp", pl.Datetime("us")),
        ("settled", pl.Boolean()),  # the answer proves that KIS has no bar
        ("gone", pl.String()),  # why KIS could not have it any more
    ]
)
# Rows that are rejected for these reasons were never about the stamp that is missing.
_HARMLESS = {
    "another date",
    "outside the session",
    "not a full minute",
    "another row of the same minute",
}
_TODAYS_PAGE = timedelta(minutes=29)  # below this span the fetcher's 30-row call is enough

Put = Callable[[str, pa.RecordBatch], Awaitable[MergeCounts]]


@dataclass(frozen=True)
class BackfillContext:
    """What filling gaps takes. `put` commits a batch of a table: Writer.put, or live's own way."""

    store: Store
    put: Put
    client: KisClient
    clock: Clock
    priority: Priority = Priority.BACKFILL


@dataclass(frozen=True)
class Window:
    """Stamps asked for at once: those of the session up to `until`, back to `since`."""

    symbol: str
    session: date
    until: datetime
    since: datetime
    whole_day: bool = False


@dataclass(frozen=True)
class Asked:
    """What came of a window: bars were stored; or KIS did not answer or refused, and why."""

    window: Window
    bars: pl.DataFrame
    counts: MergeCounts
    clean: bool = True  # no row that may have been about the window was unreadable
    whole: bool = False  # the answer reached the session before: nothing older is left
    sealed: bool = True  # KIS's answer about this session was final
    failure: str | None = None
    refused: bool = False  # KIS said no, which it would do again

    @cached_property
    def oldest(self) -> datetime | None:
        """The oldest bar of the answer; None if it has none that the question asked for.

        KIS gives nothing newer than what is asked for: such bars are another question's answer.
        """
        asked_for = self.bars.filter(pl.col("timestamp") <= self.window.until)["timestamp"]
        return asked_for.sort().to_list()[0] if asked_for.len() else None


async def ask(context: BackfillContext, window: Window) -> Asked:
    """Fetch a window, commit its bars, and keep the rows that had to be rejected.

    Raises KisKeyRefused, which no other question would mend, and StoreError.
    """
    session = session_of(window.symbol, window.session)
    if session is None:
        raise InputError(f"{window.symbol} has no session on {window.session}")
    as_of, fetcher = context.clock.now(), _fetcher(context.client, window.symbol)
    request = BarRequest(
        window.symbol,
        session,
        until=window.until,
        since=_since(window, as_of),
        whole_day=window.whole_day,
        priority=context.priority,
    )
    batch, error = await _fetch(fetcher, request)
    rejected = fetcher.take_rejected()
    if rejected.num_rows:
        await context.put("rejected_rows", rejected)
    counts = await context.put(bar_table(window.symbol), batch) if batch.num_rows else MergeCounts()
    return Asked(
        window,
        pl.DataFrame(batch),
        counts,
        clean=set(rejected["reason"].to_pylist()) <= _HARMLESS,
        whole=fetcher.counts["of the session before"] > 0,
        sealed=session.sealed_at <= as_of,
        failure=_why(error) if error else None,
        refused=isinstance(error, KisRefused),
    )


async def _fetch(
    fetcher: BarFetcher, request: BarRequest
) -> tuple[pa.RecordBatch, KisError | None]:
    try:
        return await fetcher.fetch(request), None
    except KisKeyRefused:
        raise
    except KisError as error:
        log.warning("⚠️ %s %s: %s", request.symbol, request.session.date, error)
        return pa.RecordBatch.from_pylist([], schema=fetcher.schema), error


def _why(error: KisError) -> str:
    """Return the ledger's reason; without the minute, so that one reason is one row."""
    said = str(error.args[0])
    return said if isinstance(error, KisRefused) else f"KIS did not answer: {said}"


def _fetcher(client: KisClient, symbol: str) -> BarFetcher:
    """Return a fetcher of its own for each question: its rejected rows are then the question's."""
    return StockBarFetcher(client) if instruments.is_stock(symbol) else DerivativeBarFetcher(client)


def _since(window: Window, now: datetime) -> datetime | None:
    """Return the oldest stamp wanted only where it decides which of two calls is made."""
    long = window.until - window.since >= _TODAYS_PAGE
    return window.since if window.session == now.date() and long else None


def answers(asked: Asked, missing: pl.DataFrame, stored: pl.DataFrame, today: date) -> pl.DataFrame:
    """Return ANSWERS about the window's stamps that are still `missing` (symbol, session, stamp).

    Empty where the answer proves nothing: KIS did not answer, the session was not sealed, or the
    answer showed no bar although some are `stored` (symbol, session, stamp).
    """
    window = asked.window
    if asked.failure or not asked.sealed or contradicted(asked, stored):
        return pl.DataFrame(schema=ANSWERS)
    within = pl.col("stamp").is_between(window.since, window.until)
    return (
        _of(window, missing)
        .filter(within)
        .select(
            "symbol",
            "session",
            "stamp",
            settled=shown(asked),
            gone=pl.lit(None if asked.oldest else why_gone(window.symbol, window.session, today)),
        )
        .cast(ANSWERS)
    )


def shown(asked: Asked) -> pl.Expr:
    """Return whether the answer shows what there is at `stamp`: bars around it, all readable."""
    if asked.oldest is None or not asked.clean:
        return pl.lit(value=False)
    return pl.lit(asked.whole) | (pl.col("stamp") >= asked.oldest)


def covers(asked: Asked, window: Window) -> bool:
    """Say whether the answer to a newer question has shown all of this window, too."""
    if asked.oldest is None or not asked.clean:
        return False
    return asked.whole or asked.oldest <= window.since


def contradicted(asked: Asked, stored: pl.DataFrame) -> bool:
    """Say whether the answer showed no bar of a session that has bars.

    Where it rightly does (nothing was traded before a certain minute), the next plan asks again
    from the first bar that is stored, which a right answer then shows.
    """
    return asked.oldest is None and _of(asked.window, stored).height > 0


def _of(window: Window, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("symbol") == window.symbol, pl.col("session") == window.session)


def why_gone(symbol: str, day: date, today: date) -> str | None:
    """Return why an empty answer means that KIS has the session no more; None if it does not."""
    if is_chain(symbol):
        return "KIS has no history of option chains"
    if today - day > KEPT:
        return "older than the year that KIS keeps"
    if not instruments.is_stock(symbol) and instruments.contract(symbol).last_day < today:
        return f"{symbol} has expired and KIS has dropped it"
    return None


def beyond_reach(symbol: str, day: date, today: date) -> str | None:
    """Return why there is no use in asking; None if there is.

    Codes of the old kind are dead since 2026: KIS answers them with nothing (KIS.md).
    """
    if is_chain(symbol) or today - day > KEPT:
        return why_gone(symbol, day, today)
    old_code = not instruments.is_stock(symbol) and symbol[0].isdigit()
    if old_code and today.year >= instruments.FIRST_NEW_YEAR:
        return f"{symbol} is a code of the old kind, which KIS no longer answers"
    return None
