"""Minute bars of any kind of symbol: fetched page by page, checked row by row.

A fetcher returns every finished bar that the answers hold, so each poll repairs the ones before it.

A row that stands apart from all others becomes a bar when a second answer has it, too
(`engine.fetchers.bar_rules`). For a poll of the running day that is the answer to the next try,
three seconds later; any other request asks for the page once more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.clock import floor_minute
from engine.columns import PRICES, literal_time
from engine.errors import KisError
from engine.fetchers.bar_rules import Fields, Rules, SplitRows, split_rows
from engine.fetchers.base import BarRequest, PriceFetcher
from engine.fetchers.pages import Page, read_page
from engine.fetchers.second_answers import SecondAnswers
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import KisClient
from engine.kis.endpoints.bars import DerivativeMinutes, StockMinutes, StockMinutesToday
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.schemas import REST, conform

BarQuestion = DerivativeMinutes | StockMinutes | StockMinutesToday


class BarFetcher(PriceFetcher):
    """Minute bars of one kind of symbol.

    KIS has to give a bar twice if it is more than `max_price_ratio` times the price around it, or
    less by that ratio. The ratio is by type of symbol; a type without an entry has no such limit.
    """

    fields: ClassVar[Fields]
    max_price_ratio: ClassVar[Mapping[type, float]]

    def __init__(self, client: KisClient) -> None:
        super().__init__(client)
        self._second_answers = SecondAnswers()
        self._pages_read: list[Page] = []
        self._before_failure: list[pl.DataFrame] = []

    @abstractmethod
    def _question(self, request: BarRequest, newest: datetime, today: date) -> BarQuestion:
        """Return the call whose newest row is the one labelled `newest`."""

    async def fetch(self, request: BarRequest) -> pa.RecordBatch:
        """Return the finished bars that the answers hold, ascending, each stamp once.

        All of them are bars of the session asked for. Empty if KIS has none. Raises KisError;
        then `take_bars_before_failure` has the bars of the answers that came.
        """
        pages = []
        try:
            async for bars in self._pages(request):
                pages.append(bars)  # noqa: PERF401 - what came before a failure is kept
        except KisError:
            self._before_failure = pages
            raise
        return self._batch(pages)

    def take_bars_before_failure(self) -> pa.RecordBatch:
        """Return the bars of the answers that came before the last failed request failed."""
        pages, self._before_failure = self._before_failure, []
        return self._batch(pages)

    def _batch(self, pages: list[pl.DataFrame]) -> pa.RecordBatch:
        if not pages:  # the session has no minute yet that has ended
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        bars = pl.concat(pages) if len(pages) > 1 else pages[0]
        if bars["timestamp"].n_unique() < len(bars):
            bars = bars.unique("timestamp", keep="first")
        return conform(bars.sort("timestamp"), self.schema)

    async def _pages(self, request: BarRequest) -> AsyncIterator[pl.DataFrame]:
        """Yield the bars of each page, from the newest page backwards.

        Ends when the first stamp wanted is reached, when a page brings nothing older or goes on
        into the session before, or when the bars have the volume of the whole day and the page is
        not full.
        """
        session = request.session
        wanted = request.first_wanted
        newest = self._newest_label(request)
        volume = 0
        while newest is not None and newest >= session.opens:
            bars = await self._page(request, newest)
            yield bars
            if wanted is None:
                return
            volume += int(bars.unique("timestamp")["volume"].sum())
            oldest = _oldest_label(bars, session)
            if oldest is None or not session.label_of(wanted) < oldest <= newest:
                return
            page = self._pages_read[-1]
            if (page.goes_back and page.readable) or (
                volume == request.day_volume and not page.is_full
            ):
                return
            newest = session.label_before(oldest)

    async def _page(self, request: BarRequest, newest: datetime) -> pl.DataFrame:
        """Return the bars of the page that ends with `newest`, those of a second answer first."""
        bars = await self._answer(request, newest)
        if request.is_live_poll or not self._second_answers.are_awaited(request.symbol):
            return bars
        return pl.concat([await self._answer(request, newest), bars])

    async def _answer(self, request: BarRequest, newest: datetime) -> pl.DataFrame:
        question = self._question(request, newest, self.client.clock.now().date())
        answer = await self.client.call(
            question, priority=request.priority, deadline=request.deadline, minute=newest
        )
        session = request.session
        if request.is_live_poll:
            self._keep_state(answer, session.stamp_of(newest))
        split = self._split(answer, session, day_before=request.day_volume is not None)
        if not request.is_live_poll:  # a poll of the running day settles nothing
            stamp = session.stamp_of(newest)
            page = read_page(answer, split, session, stamp, question.rows_per_call)
            self._pages_read.append(page)
        return self._stored_columns(split.bars, session, answer)

    def _keep_state(self, answer: Answer, stamp: datetime) -> None:
        """Keep what the answer to a poll says beside its bars; here nothing."""

    def take_pages(self) -> list[Page]:
        """Return what answers have shown since the last call; those of live polls are not kept."""
        pages, self._pages_read = self._pages_read, []
        return pages

    def take_confirmed(self) -> pa.RecordBatch:
        """Return the bars, in CONFIRMED_BARS, that KIS has given twice since the last call."""
        return self._second_answers.take_confirmed()

    def _newest_label(self, request: BarRequest) -> datetime | None:
        """Return the label of the newest bar wanted whose minute has ended; None if none has."""
        session = request.session
        newest = session.label_before(floor_minute(self.client.clock.now()))
        if newest is None or request.until is None:
            return newest
        return min(newest, session.label_of(request.until))

    def read(self, answer: Answer, session: Session) -> pl.DataFrame:
        """Return the answer's bars in the columns of `schema`, newest first; reject other rows."""
        return self._stored_columns(self._split(answer, session).bars, session, answer)

    def _split(self, answer: Answer, session: Session, *, day_before: bool = False) -> SplitRows:
        """Divide the answer's rows into bars and others, and keep the others as rejected."""
        rows = answer.rows("output2")
        ratio = self.max_price_ratio.get(type(parse(answer.symbol)))
        given = self._second_answers.given(answer.symbol, session)
        rules = Rules(session, answer.as_of, ratio, given, day_before)
        split = split_rows(codec.columns(rows, self.fields.names()), self.fields, rules)
        self._second_answers.note(answer, session, split)
        self.counts.update(split.counts)
        if len(split.rejected):
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(split.rejected, rows, source))
        return split

    def _stored_columns(self, bars: pl.DataFrame, session: Session, answer: Answer) -> pl.DataFrame:
        return bars.select_seq(
            _stamp(session),
            pl.lit(answer.symbol).alias("symbol"),
            *PRICES,
            "volume",
            literal_time(answer.received_at).alias("fetched_at"),
            pl.lit(REST).alias("source"),
            *self._more_columns(answer),
        )

    def _more_columns(self, answer: Answer) -> list[pl.Expr]:  # noqa: ARG002
        """Return the columns of `schema` that bars of one kind of symbol alone have; here none."""
        return []


@lru_cache(maxsize=16)  # the same all day, and it costs more to build than to run
def _stamp(session: Session) -> pl.Expr:
    return session.stamp_of_label(pl.col("label")).alias("timestamp")


def _oldest_label(bars: pl.DataFrame, session: Session) -> datetime | None:
    """Return the label of the oldest bar, None without bars."""
    oldest: datetime | None = bars["timestamp"].min()  # type: ignore[assignment]
    return session.label_of(oldest) if oldest is not None else None
