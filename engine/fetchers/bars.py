"""Minute bars of any kind of symbol: fetched page by page, checked row by row.

A fetcher returns every finished bar that the answers hold, so each poll repairs the ones before it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from engine.clock import floor_minute
from engine.columns import PRICES
from engine.fetchers.bar_rules import Fields, PriceLimits, Rules, split_rows
from engine.fetchers.base import BarRequest, PriceFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.endpoints import DerivativeMinutes, StockMinutes, StockMinutesToday
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.schemas import conform

BarQuestion = DerivativeMinutes | StockMinutes | StockMinutesToday


class BarFetcher(PriceFetcher):
    """Minute bars of one kind of symbol.

    `max_price_ratio` is how many times the price around it a bar may be, by type of symbol; a type
    without an entry may have any price.
    """

    fields: ClassVar[Fields]
    max_price_ratio: ClassVar[Mapping[type, float]]

    @abstractmethod
    def _question(self, request: BarRequest, newest: datetime, today: date) -> BarQuestion:
        """Return the call whose newest row is the one labelled `newest`."""

    @abstractmethod
    def price_limits(self, record: Mapping[str, Any]) -> PriceLimits:
        """Return the day's lowest and highest possible price, if the answer has them."""

    async def fetch(self, request: BarRequest) -> pa.RecordBatch:
        """Return the finished bars that the answers hold, ascending, each stamp once.

        Only bars with a stamp that the session expects. Empty if KIS has none. Raises KisError.
        """
        pages = [bars async for bars in self._pages(request)]
        if not pages:  # the session has no minute yet that has ended
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        bars = pl.concat(pages).unique("timestamp", keep="first").sort("timestamp")
        return conform(bars, self.schema)

    async def _pages(self, request: BarRequest) -> AsyncIterator[pl.DataFrame]:
        """Yield the bars of each page, from the newest backwards, each page before the last one.

        Ends when the first stamp wanted is reached, or when a page brings nothing older.
        """
        session = request.session
        wanted = request.first_wanted
        newest = self._newest_label(request)
        while newest is not None and newest >= session.opens:
            today = self.client.clock.now().date()
            answer = await self.client.call(
                self._question(request, newest, today),
                priority=request.priority,
                deadline=request.deadline,
                minute=newest,
            )
            bars = self.read(answer, session, today)
            yield bars
            oldest = _oldest_label(bars, session)
            if wanted is None or oldest is None or not session.label_of(wanted) < oldest <= newest:
                return
            newest = session.label_before(oldest)

    def _newest_label(self, request: BarRequest) -> datetime | None:
        """Return the label of the newest bar wanted whose minute has ended; None if none has."""
        session = request.session
        newest = session.label_before(floor_minute(self.client.clock.now()))
        if newest is None or request.until is None:
            return newest
        return min(newest, session.label_of(request.until))

    def read(self, answer: Answer, session: Session, today: date) -> pl.DataFrame:
        """Return the answer's bars in the columns of `schema`, newest first; keep what is rejected.

        KIS's answer has the price limits of `today`, so they count only for today's session.
        """
        rows = answer.rows("output2")
        limits = self.price_limits(answer.record("output1")) if session.date == today else None
        ratio = self.max_price_ratio.get(type(parse(answer.symbol)))
        rules = Rules(session, answer.as_of, limits, ratio)
        split = split_rows(codec.columns(rows, self.fields.names()), self.fields, rules)
        self.counts.update(split.counts)
        if len(split.rejected):
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(split.rejected, rows, source))
        return self._stored_columns(split.bars, session, answer)

    def _stored_columns(self, bars: pl.DataFrame, session: Session, answer: Answer) -> pl.DataFrame:
        return bars.select(
            session.stamp_of_label(pl.col("label")).alias("timestamp"),
            pl.lit(answer.symbol).alias("symbol"),
            *PRICES,
            "volume",
            pl.lit(answer.received_at, pl.Datetime("us")).alias("fetched_at"),
        )


def _oldest_label(bars: pl.DataFrame, session: Session) -> datetime | None:
    """Return the label of the oldest bar; None if there is none."""
    oldest: datetime | None = bars["timestamp"].min()  # type: ignore[assignment]
    return session.label_of(oldest) if oldest is not None else None
