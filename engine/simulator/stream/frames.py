"""Trades and books to the texts of frames: `0|TR|NNN|field^field^…`, one or several records each.

The trades of one moment are one frame, in their order. Of books only the newest in each fifth of a
second is sent, and only if something was traded in that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from engine.market.sessions import Session
from engine.market.symbols import Option
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import instrument
from engine.simulator.market.options import BLOCK
from engine.simulator.market.trades import MOST_TRADES
from engine.simulator.stream.book_columns import with_levels
from engine.simulator.stream.day_rows import day_rows, with_greeks
from engine.simulator.stream.delays import departures
from engine.simulator.stream.services import SERVICES, Service

BLOCK_LENGTH = timedelta(minutes=BLOCK)  # written at once, as the chains that options need
BETWEEN_BOOKS = "200ms"


class Frame(NamedTuple):
    """One message of data and when it leaves."""

    leaves_at: datetime
    text: str


class FrameWriter:
    """Writes the frames of a simulated exchange, each block of minutes once for all connections."""

    def __init__(self, exchange: SimulatedExchange, *, most: int = MOST_TRADES, seed: int) -> None:
        self._exchange = exchange
        self._most = most
        self._seed = seed
        self._day = lru_cache(maxsize=64)(self._day_rows)
        self.block = lru_cache(maxsize=128)(self._block)

    def _day_rows(self, symbol: str, session: Session) -> pl.DataFrame:
        return day_rows(self._exchange, symbol, session, self._most)

    def blocks(self, symbol: str, session: Session) -> int:
        """Return how many blocks the symbol's session has, 0 if nothing is traded in it."""
        rows = self._day(symbol, session)
        if rows.is_empty():
            return 0
        last: datetime = rows["label"][-1]
        return int((last - session.opens) / BLOCK_LENGTH) + 1

    def _block(self, tr_id: str, symbol: str, session: Session, number: int) -> list[Frame]:
        service = SERVICES[tr_id]
        begin = session.opens + number * BLOCK_LENGTH
        label = pl.col("label")
        rows = self._day(symbol, session).filter((label >= begin) & (label < begin + BLOCK_LENGTH))
        if rows.is_empty():
            return []
        if service.levels:
            return self._books(service, rows, symbol, session.date)
        if service.kind is Option:
            rows = with_greeks(self._exchange, rows, session, symbol)
        return self._trades(service, rows)

    def _trades(self, service: Service, rows: pl.DataFrame) -> list[Frame]:
        moments = (
            rows.select("label", "moment", "happened_at", record=_record(service))
            .group_by("label", "moment", maintain_order=True)
            .agg(
                pl.col("happened_at").first(),
                pl.len(),
                pl.col("record").str.join("^"),
            )
        )
        return self._frames(
            service, moments["happened_at"], moments["len"].to_list(), moments["record"].to_list()
        )

    def _books(self, service: Service, rows: pl.DataFrame, symbol: str, day: date) -> list[Frame]:
        shown = (
            rows.with_columns(pl.col("happened_at").dt.truncate(BETWEEN_BOOKS))
            .unique("happened_at", keep="last", maintain_order=True)
            .with_columns(pl.col("happened_at").dt.offset_by(BETWEEN_BOOKS))
        )
        leveled = with_levels(
            shown, instrument(symbol).ticks, service.levels, (self._seed, symbol, day)
        )
        records = leveled.select(_record(service)).to_series().to_list()
        return self._frames(service, shown["happened_at"], [1] * shown.height, records)

    def _frames(
        self,
        service: Service,
        happened_at: pl.Series,
        counts: Sequence[int],
        records: Sequence[str],
    ) -> list[Frame]:
        leaves = departures(happened_at, self._seed).to_list()
        return [
            Frame(when, frame_text(service.tr_id, count, record))
            for when, count, record in zip(leaves, counts, records, strict=True)
        ]


def frame_text(tr_id: str, count: int, records: str) -> str:
    """Return the text of a frame that is not encrypted."""
    return f"0|{tr_id}|{count:03d}|{records}"


def _record(service: Service) -> pl.Expr:
    """Return the text of each row's record."""
    return pl.concat_str(list(service.columns.values()), separator="^").alias("record")
