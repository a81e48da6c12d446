"""Minute bars of stocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from engine.fetchers.bar_rules import Fields, Limits
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.endpoints import StockMinutes, StockMinutesToday
from engine.market.sessions import Session
from engine.schemas import STOCK_BARS

MINUTE = timedelta(minutes=1)
TIMEFRAME = "1m"
_LIMIT = 0.30  # of yesterday's close, KRX's daily price limit for stocks since 2015


class StockBarFetcher(BarFetcher):
    """Bars of a stock in STOCK_BARS: 30 a call today (FHKST03010200), else 120 (FHKST03010230)."""

    schema: ClassVar[pa.Schema] = STOCK_BARS
    fields: ClassVar[Fields] = Fields("stck_oprc", "stck_hgpr", "stck_lwpr", "stck_prpr")

    def _question(
        self, request: BarRequest, newest: datetime, today: date
    ) -> StockMinutes | StockMinutesToday:
        label = f"{newest:%H%M%S}"
        first = request.first_wanted
        few = first is None or newest - first < (StockMinutesToday.rows_per_call - 1) * MINUTE
        if request.session.date == today and few:
            return StockMinutesToday(request.symbol, label)
        return StockMinutes(request.symbol, request.session.date, label)

    def _apart(self, symbol: str) -> float | None:  # noqa: ARG002  all stocks alike
        return (1 + _LIMIT) / (1 - _LIMIT)  # from one limit to the other

    def _limits(self, record: Mapping[str, Any]) -> Limits:
        yesterday = codec.value(record, "stck_prdy_clpr")
        return (yesterday * (1 - _LIMIT), yesterday * (1 + _LIMIT)) if yesterday else None

    def _bars(self, bars: pl.DataFrame, session: Session, answer: Answer) -> pl.DataFrame:
        return (
            super()._bars(bars, session, answer).with_columns(pl.lit(TIMEFRAME).alias("timeframe"))
        )
