"""Minute bars of stocks, in KRX's regular session and at other venues."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.fetchers.bar_rules import Fields
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.kis.answer import Answer
from engine.kis.endpoints.bars import StockMinutes, StockMinutesToday
from engine.market.hours import MINUTE
from engine.market.symbols import Stock, VenueStock, parse
from engine.schemas import STOCK_BARS, VENUE_BARS

TIMEFRAME = "1m"
# KRX's daily price limit since 2015, a share of the previous close (docs/kis.md#price-limits).
PRICE_LIMIT = 0.30
_LIMIT_TO_LIMIT = (1 + PRICE_LIMIT) / (1 - PRICE_LIMIT)


class StockBarFetcher(BarFetcher):
    """Bars of a stock in STOCK_BARS: 30 a call today (FHKST03010200), else 120 (FHKST03010230)."""

    schema: ClassVar[pa.Schema] = STOCK_BARS
    fields: ClassVar[Fields] = Fields("stck_oprc", "stck_hgpr", "stck_lwpr", "stck_prpr")
    max_price_ratio: ClassVar[Mapping[type, float]] = {Stock: _LIMIT_TO_LIMIT}

    def _question(
        self, request: BarRequest, newest: datetime, today: date
    ) -> StockMinutes | StockMinutesToday:
        label = f"{newest:%H%M%S}"
        market, code = _asked_as(request.symbol)
        first = request.first_wanted
        one_call = (StockMinutesToday.rows_per_call - 1) * MINUTE
        if request.whole_day:
            return StockMinutes(
                request.symbol, request.session.date, label, market, code, past=True
            )
        if request.session.date == today and (first is None or newest - first < one_call):
            return StockMinutesToday(request.symbol, label, market, code)
        return StockMinutes(request.symbol, request.session.date, label, market, code)

    def _more_columns(self, answer: Answer) -> list[pl.Expr]:
        return [*super()._more_columns(answer), pl.lit(TIMEFRAME).alias("timeframe")]


class VenueBarFetcher(StockBarFetcher):
    """Bars of a stock outside KRX's regular session, in VENUE_BARS; the calls are the same."""

    schema: ClassVar[pa.Schema] = VENUE_BARS
    max_price_ratio: ClassVar[Mapping[type, float]] = {VenueStock: _LIMIT_TO_LIMIT}

    def _more_columns(self, answer: Answer) -> list[pl.Expr]:
        venue, _ = _asked_as(answer.symbol)
        return [*super()._more_columns(answer), pl.lit(venue).alias("venue")]


def _asked_as(symbol: str) -> tuple[str, str]:
    """Return market (FID_COND_MRKT_DIV_CODE) and code with which KIS is asked about a symbol."""
    found = parse(symbol)
    return (found.venue.code, found.stock) if isinstance(found, VenueStock) else ("J", symbol)
