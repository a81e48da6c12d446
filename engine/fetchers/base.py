"""What all bar fetchers have in common: asking page by page, and keeping only finished, owed bars.

A fetcher returns every finished bar that the answers hold, so each poll repairs the ones before it.
A row becomes a bar only if its minute had ended when the question was sent: that leaves out the
running minute, minutes of the future that KIS fills forward, and the row 0 of a minute without a
trade yet, which still has the volume of the minute before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from engine.clock import floor_minute
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import KisClient, Priority
from engine.kis.endpoints import DerivativeMinutes, StockMinutes, StockMinutesToday
from engine.schemas import REJECTED_ROWS
from engine.sessions import Session

MINUTE = timedelta(minutes=1)
BarQuestion = DerivativeMinutes | StockMinutes | StockMinutesToday

Limits = tuple[float, float] | None  # lowest and highest price of the day, where known

_REMEMBERED = 10_000  # rejected rows known already, so that each is handed out once
_REPEATED = "another row of the same minute"
_PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class BarRequest:
    """Bars of one symbol in one session.

    `until` is the last stamp wanted (none: the last minute that has ended). One page, unless
    `since`, the first stamp wanted, or `whole_day` asks for more. `deadline` is when to give up.
    """

    symbol: str
    session: Session
    until: datetime | None = None
    whole_day: bool = False
    since: datetime | None = None
    priority: Priority = Priority.LIVE
    deadline: datetime | None = None

    @property
    def first_wanted(self) -> datetime | None:
        """Return the first stamp that pages must reach; None if one page will do."""
        return self.session.first_stamp if self.whole_day else self.since


@dataclass(frozen=True)
class Fields:
    """KIS's names of what a bar needs, in the order of a bar's columns."""

    open: str
    high: str
    low: str
    close: str
    day: str = "stck_bsop_date"
    hour: str = "stck_cntg_hour"
    volume: str = "cntg_vol"

    def names(self) -> list[str]:
        """Return the fields that a row must have."""
        return [self.day, self.hour, self.open, self.high, self.low, self.close, self.volume]


class PriceFetcher(ABC):
    """A source of data: a request in, one RecordBatch out, what was rejected at the side.

    `counts` says how many rows of the answers went where.
    """

    schema: ClassVar[pa.Schema]

    def __init__(self, client: KisClient) -> None:
        self.client, self.counts = client, Counter[str]()
        self._rejected: list[pa.RecordBatch] = []
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    @abstractmethod
    async def fetch(self, request: Any) -> pa.RecordBatch:
        """Fetch what is asked for. Raises KisError."""

    def take_rejected(self) -> pa.RecordBatch:
        """Return the rows rejected since the last time, in REJECTED_ROWS, each of them once."""
        taken, self._rejected = self._rejected, []
        return pa.concat_batches(taken) if taken else _no_rejected()

    def _reject(self, batch: pa.RecordBatch) -> None:
        """Keep rejected rows. Polls overlap: the same row comes again and again."""
        reasons = batch["reason"].to_pylist()
        self.counts.update(reasons)
        keys = list(
            zip(batch["symbol"].to_pylist(), reasons, batch["raw"].to_pylist(), strict=True)
        )
        fresh = [key not in self._known for key in keys]
        self._known.update(dict.fromkeys(keys))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if any(fresh):
            self._rejected.append(batch.filter(pa.array(fresh)))


class BarFetcher(PriceFetcher):
    """Minute bars of one kind of instrument."""

    fields: ClassVar[Fields]

    @abstractmethod
    def _question(self, request: BarRequest, newest: datetime, today: date) -> BarQuestion:
        """Return the call whose newest row is the one labelled `newest`."""

    @abstractmethod
    def _limits(self, record: Mapping[str, Any]) -> Limits:
        """Return the day's lowest and highest possible price, if the answer tells."""

    async def fetch(self, request: BarRequest) -> pa.RecordBatch:
        """Return the finished bars that the answers hold, ascending, each stamp once.

        Only bars of the session and its owed stamps. Empty if KIS has none. Raises KisError.
        """
        pages = [page async for page in self._pages(request)]
        if not pages:  # the session has no minute yet that has ended
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        bars = pl.concat(pages).unique("timestamp", keep="first").sort("timestamp")
        return codec.to_batch(bars, self.schema)

    async def _pages(self, request: BarRequest) -> AsyncIterator[pl.DataFrame]:
        newest = self._newest_label(request)
        while newest >= request.session.opens:
            now = self.client.clock.now()
            answer = await self.client.call(
                self._question(request, newest, now.date()),
                priority=request.priority,
                deadline=request.deadline,
                minute=newest,
            )
            page = self._read(answer, request.session, now.date())
            yield page
            oldest = _label_before(page, newest, request.session)
            wanted = request.first_wanted
            if wanted is None or oldest is None or oldest < wanted - MINUTE:
                return
            newest = oldest

    def _newest_label(self, request: BarRequest) -> datetime:
        session = request.session
        ended = floor_minute(self.client.clock.now()) - MINUTE
        last = session.last_stamp if session.auction else session.last_stamp - MINUTE
        if request.until is not None and request.until != session.auction:
            last = min(last, request.until - MINUTE)
        return min(ended, last)

    def _read(self, answer: Answer, session: Session, today: date) -> pl.DataFrame:
        """Return the answer's good bars in our columns; the others are rejected or dropped."""
        rows = answer.rows("output2")
        limits = self._limits(answer.record("output1")) if session.date == today else None
        text = codec.columns(rows, self.fields.names())
        marked = text.select(*_numbers(self.fields, session.date)).with_columns(
            (pl.col("label") <= answer.sent_at - MINUTE).alias("finished"),
            _is_bar(session, limits).alias("good"),
        )
        bad = marked.filter(~pl.col("good") & pl.col("finished").fill_null(value=True))
        good = marked.filter("good", "finished")
        if good["label"].is_duplicated().any():
            good, repeats = _without_repeats(good)
            bad = pl.concat([bad, repeats])
        if len(bad):
            why = bad.with_columns(
                codec.first_reason(*_checks(session, limits), otherwise=_REPEATED)
            )
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected(why, rows, source))
        self.counts.update(rows=len(rows), bars=len(good))
        return self._bars(good.with_columns(session.stamp_of_label(pl.col("label"))), answer)

    def _bars(self, good: pl.DataFrame, answer: Answer) -> pl.DataFrame:
        return good.select(
            pl.col("label").alias("timestamp"),
            pl.lit(answer.symbol).alias("symbol"),
            *_PRICES,
            "volume",
            pl.lit(answer.received_at, pl.Datetime("us")).alias("fetched_at"),
        )


# Expressions are the same all day, and cost more to build than to run.


@lru_cache(maxsize=16)
def _numbers(fields: Fields, began: date) -> tuple[pl.Expr, ...]:
    """Return what reads place, day, label (moment) and numbers of rows, null where unreadable."""
    return (
        pl.col(codec.ROW),
        pl.col(fields.day).alias("day"),
        codec.label(fields.hour, began).alias("label"),
        *(codec.number(getattr(fields, price)).alias(price) for price in _PRICES),
        codec.whole(fields.volume).alias("volume"),
    )


@lru_cache(maxsize=4096)
def _is_bar(session: Session, limits: Limits) -> pl.Expr:
    """Say whether a row is a bar of the session, whatever may still be missing of its minute."""
    bad = pl.any_horizontal(check for check, _ in _checks(session, limits))
    return ~bad.fill_null(value=True)


def _checks(session: Session, limits: Limits) -> Iterator[tuple[pl.Expr, str]]:
    """Yield what makes a row no bar, in the order in which the reason is looked for."""
    highest, lowest = pl.max_horizontal(_PRICES), pl.min_horizontal(_PRICES)
    label = pl.col("label")
    owed = label.is_between(session.opens, session.continuous_end - MINUTE)
    if session.auction:
        owed |= label == session.auction
    yield pl.col("day").str.strip_chars() != f"{session.date:%Y%m%d}", "another date"
    yield label.is_null(), "time cannot be read"
    yield label.dt.second() != 0, "not a full minute"
    yield ~owed, "outside the session"
    for name in [*_PRICES, "volume"]:
        yield pl.col(name).is_null(), f"{name} cannot be read"
    yield lowest <= 0, "price not above zero"
    yield (pl.col("high") != highest) | (pl.col("low") != lowest), "open, high, low, close differ"
    yield pl.col("volume") < 0, "volume below zero"
    if limits:
        # The limits hold only if the market itself is within them: not on the first day of a
        # new stock, nor for the funds whose limit is twice as wide.
        typical = pl.col("close").median().is_between(*limits)
        yield typical & ((lowest < limits[0]) | (highest > limits[1])), "beyond the price limit"


def _without_repeats(good: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return each minute once, and the rows that say something else about a minute.

    KIS lists the newest first, so the first of two rows that differ is the one it made last.
    """
    first = good.unique("label", keep="first", maintain_order=True)
    others = good.join(first, on=["label", *_PRICES, "volume"], how="anti")
    return first, others


def _label_before(page: pl.DataFrame, newest: datetime, session: Session) -> datetime | None:
    """Return the label with which the next page begins; None if this page brought nothing."""
    if page.is_empty():
        return None
    oldest: datetime = page["timestamp"].min()  # type: ignore[assignment]
    if oldest != session.auction:
        oldest -= MINUTE
    return oldest - MINUTE if oldest <= newest else None


def _no_rejected() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=REJECTED_ROWS)
