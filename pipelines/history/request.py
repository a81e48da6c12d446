"""One request to KIS about missing bars: what it asks, and what came back.

What the answers prove about the minutes that they lack is said in `engine.history.evidence`;
`pipelines.history.proving` asks it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property

import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.errors import InputError, KisError, KisKeyRefused, KisRefused
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.pages import Page
from engine.fetchers.stock import StockBarFetcher, VenueBarFetcher
from engine.kis.client import KisClient, Priority
from engine.market.codes import FIRST_NEW_YEAR
from engine.market.symbols import (
    Contract,
    Night,
    Option,
    OptionChain,
    Stock,
    Symbol,
    VenueStock,
    parse,
)
from engine.market.told_once import ToldOnce
from engine.store import MergeCounts, Store, Writer
from engine.store.ledger import TOLD_ONCE

log = logging.getLogger(__name__)

KEPT = timedelta(days=365)  # KIS keeps "about one year": docs/kis.md#depth
NIGHTS_KEPT = timedelta(days=200)  # from then on an empty answer is taken for the end of them
EXPIRED_KEPT = timedelta(days=180)  # a contract was served half a year after its last day
_TODAYS_PAGE = timedelta(minutes=29)  # below this span the fetcher's 30-row call is enough

StoreBars = Callable[[str, pa.RecordBatch], Awaitable[MergeCounts]]  # table, bars of one symbol
StoreRejected = Callable[[pa.RecordBatch], Awaitable[MergeCounts]]


@dataclass(frozen=True)
class BackfillContext:
    """What filling gaps needs.

    The collector's `store_bars` also computes the signals that follow; other commands only write.
    What `writer` has in its spool is not missing. `began` is when this run began: answers that are
    to count as two are of two runs.
    """

    store: Store
    store_bars: StoreBars
    store_rejected: StoreRejected
    client: KisClient
    clock: Clock
    writer: Writer
    priority: Priority = Priority.BACKFILL
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Note when the run begins."""
        object.__setattr__(self, "began", self.clock.now())


@dataclass(frozen=True)
class Window:
    """The stamps of one request: those of the session from `since` to `until`, both included.

    `whole_day`: page after page, until the session before, or until the bars have the `day_volume`.
    """

    symbol: str
    session: date
    until: datetime
    since: datetime
    whole_day: bool = False
    day_volume: int | None = None


@dataclass(frozen=True)
class RequestResult:
    """The result of a window: the bars that were stored, or why KIS gave none, or not all."""

    window: Window
    bars: pl.DataFrame
    counts: MergeCounts
    pages: tuple[Page, ...] = ()  # what the answers showed beside the bars
    sealed: bool = True  # KIS's answers about this session were final, by KIS's clock
    failure: str | None = None
    refused: bool = False  # KIS refused the request, and would refuse it again

    @cached_property
    def oldest(self) -> datetime | None:
        """Stamp of the oldest bar of the answer up to `until`; None without such a bar.

        KIS gives nothing newer than what is asked for: newer bars answer another request.
        """
        requested = self.bars.filter(pl.col("timestamp") <= self.window.until)["timestamp"]
        return requested.sort().to_list()[0] if requested.len() else None

    @property
    def clean(self) -> bool:
        """Whether each row of the answers is a bar, or about another session."""
        return all(page.is_clean for page in self.pages)

    @property
    def whole(self) -> bool:
        """Whether the answers reached the session before: nothing older is left."""
        return any(page.goes_back for page in self.pages)


async def request_window(context: BackfillContext, window: Window) -> RequestResult:
    """Fetch a window, commit its bars, and keep the rows that had to be rejected.

    Raises KisKeyRefused, because every other request would be refused as well, and StoreError.
    """
    symbol = parse(window.symbol)
    session = symbol.session(window.session)
    if session is None:
        raise InputError(f"{window.symbol} has no session on {window.session}")
    as_of = context.clock.now()
    fetcher = _new_fetcher(context.client, symbol)
    request = BarRequest(
        window.symbol,
        session,
        until=window.until,
        since=_since(window, as_of),
        whole_day=window.whole_day,
        priority=context.priority,
        day_volume=window.day_volume,
    )
    batch, error = await _fetch(fetcher, request)
    pages = tuple(fetcher.take_pages())
    rejected = fetcher.take_rejected()
    if rejected.num_rows:
        await context.store_rejected(rejected)
    counts = MergeCounts()
    if batch.num_rows:
        counts = await context.store_bars(symbol.table, batch)
    confirmed = fetcher.take_confirmed()
    if confirmed.num_rows:
        await context.store.merge("confirmed_bars", confirmed)
    return RequestResult(
        window,
        pl.DataFrame(batch),
        counts,
        pages=pages,
        sealed=all(page.clocks_agree and page.as_of >= session.sealed_at for page in pages),
        failure=_ledger_reason(error) if error else None,
        refused=isinstance(error, KisRefused),
    )


async def _fetch(
    fetcher: BarFetcher, request: BarRequest
) -> tuple[pa.RecordBatch, KisError | None]:
    """Return the bars that KIS gave, and why it did not give the rest."""
    try:
        return await fetcher.fetch(request), None
    except KisKeyRefused:
        raise
    except KisError as error:
        log.warning("⚠️ %s %s: %s", request.symbol, request.session.date, error)
        return fetcher.take_bars_before_failure(), error


def _ledger_reason(error: KisError) -> str:
    """Return the reason for the ledger; without the minute, so that one reason is one row."""
    message = str(error.args[0])
    return message if isinstance(error, KisRefused) else f"KIS did not answer: {message}"


def _new_fetcher(client: KisClient, symbol: Symbol) -> BarFetcher:
    """Return a new fetcher, so that its rejected rows are those of one request."""
    if isinstance(symbol, VenueStock):
        return VenueBarFetcher(client)
    return StockBarFetcher(client) if isinstance(symbol, Stock) else DerivativeBarFetcher(client)


def _since(window: Window, now: datetime) -> datetime | None:
    """Return the oldest stamp if it decides which of two calls is made, else None."""
    long = window.until - window.since >= _TODAYS_PAGE
    return window.since if window.session == now.date() and long else None


def covers(result: RequestResult, window: Window) -> bool:
    """Say whether the answer to a request for newer bars has shown all of this window, too."""
    if result.oldest is None or not result.clean:
        return False
    return result.whole or result.oldest <= window.since


def why_gone(symbol: str, day: date, today: date) -> str | None:
    """Return why an empty answer means that KIS keeps the session no longer; None if it may."""
    parsed = parse(symbol)
    if isinstance(parsed, OptionChain):
        return "KIS has no history of option chains"
    if isinstance(parsed, ToldOnce):
        return TOLD_ONCE
    if today - day > KEPT:
        return "older than the year that KIS keeps"
    if isinstance(parsed, Night) and today - day > NIGHTS_KEPT:
        return "older than the nights that KIS keeps"
    expires = parsed.last_day if isinstance(parsed, Contract | Night | Option) else today
    if today - expires > EXPIRED_KEPT:
        return f"{symbol} has expired and KIS has dropped it"
    return None


def why_beyond_reach(symbol: str, day: date, today: date) -> str | None:
    """Return why it is useless to ask KIS; None if it may answer.

    KIS answers codes of the old kind with nothing since 2026: docs/kis.md#codes.
    """
    parsed = parse(symbol)
    if isinstance(parsed, OptionChain | ToldOnce) or today - day > KEPT:
        return why_gone(symbol, day, today)
    is_old = isinstance(parsed, Contract | Night | Option) and parsed.last_day.year < FIRST_NEW_YEAR
    if is_old and today.year >= FIRST_NEW_YEAR:
        return f"{symbol} is a code of the old kind, which KIS no longer answers"
    return None
