"""What auctions are expected to give: for a future each change, for a stock the price of a moment.

KIS has a list of a future's expected prices (FHPIF05110100), without sizes. Of a stock it tells
price and size at the moment (FHKST01010200), and nothing once the auction is over.
"""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from engine.columns import TIME
from engine.fetchers.told_once import StreamFetcher, StreamRequest
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.endpoints.markets import ExpectedPrices
from engine.kis.endpoints.request import Request
from engine.kis.endpoints.stocks import StockExpectation
from engine.market.hours import MINUTE
from engine.schemas import EXPECTED_PRICES

_HOUR = "stck_cntg_hour"
_PRICE = "futs_antc_cnpr"


class AuctionFetcher(StreamFetcher):
    """Expected prices in EXPECTED_PRICES."""

    schema: ClassVar[pa.Schema] = EXPECTED_PRICES

    def question(self, request: StreamRequest) -> Request:
        """Return the call."""
        of_stock = request.symbol.is_of_stock
        return (StockExpectation if of_stock else ExpectedPrices)(request.symbol.subject)

    def read(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return the session's expected prices; a price is null until there is one."""
        read = self._stock if request.symbol.is_of_stock else self._future
        return read(answer, request).with_columns(
            pl.when(pl.col("price") > 0).then("price").alias("price"),
            pl.lit(answer.tr_id).alias("source"),
        )

    def _future(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return each change on the list, and what stands at the end of the minute asked about.

        For a minute without a change that is the last one before it, with the time of that one.
        """
        rows: list[Any] = answer.rows("output2")
        said_at = pl.col("said_at")
        marked = (
            codec.columns(rows, [_HOUR, _PRICE])
            .select(
                codec.ROW,
                codec.label(_HOUR, request.session.date).alias("said_at"),
                codec.number(_PRICE).alias("price"),
                pl.lit(None, pl.Int64).alias("size"),
            )
            .with_columns(
                codec.first_reason(
                    (said_at.is_null(), codec.NO_TIME),
                    (pl.col("price").is_null(), codec.UNREADABLE),
                )
            )
        )
        stamps = request.symbol.expected_stamps(request.session.date)
        found = (
            self._split(rows, answer, marked)
            .with_columns((said_at.dt.truncate("1m") + MINUTE).alias("timestamp"))
            .filter(pl.col("timestamp").is_in(stamps.implode()), said_at <= answer.as_of)
            .unique("said_at", keep="first")
            .sort("said_at")
        )
        before = found.filter(
            pl.col("timestamp").is_between(_first_of_auction(stamps, request), request.stamp)
        ).tail(1)
        stands = before.with_columns(pl.lit(request.stamp, TIME).alias("timestamp"))
        return pl.concat([found, stands]).unique(["timestamp", "said_at"], maintain_order=True)

    def _stock(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return the present expectation, one row; none if the answer came after the minute."""
        record = answer.record("output2")
        if not record or answer.as_of >= request.stamp:
            return self._split([], answer, _NOTHING)
        marked = (
            codec.columns([{**answer.record("output1"), **record}], _OF_STOCK)
            .select(
                codec.ROW,
                codec.label("aspr_acpt_hour", request.session.date).alias("told_at"),
                codec.number("antc_cnpr").alias("price"),
                codec.whole("antc_vol").alias("size"),
            )
            .with_columns(
                codec.first_reason(
                    (pl.any_horizontal(pl.col("price", "size").is_null()), codec.UNREADABLE)
                )
            )
        )
        moment = pl.lit(answer.as_of, TIME).dt.truncate("1s")
        told_at = pl.col("told_at")
        return self._split([dict(record)], answer, marked).with_columns(
            pl.lit(request.stamp, TIME).alias("timestamp"),
            pl.when(told_at <= moment).then("told_at").otherwise(moment).alias("said_at"),
        )


_OF_STOCK = ("aspr_acpt_hour", "antc_cnpr", "antc_vol")
_NOTHING = pl.DataFrame(
    schema={
        codec.ROW: pl.UInt32,
        codec.REASON: pl.String,
        **{name: kind for name, kind in pl.Schema(EXPECTED_PRICES).items() if name != "symbol"},
    }
)


def _first_of_auction(stamps: pl.Series, request: StreamRequest) -> Any:
    """Return the first stamp of the auction that the minute belongs to."""
    opens = request.session.opens
    return stamps.min() if request.stamp <= opens else stamps.filter(stamps > opens).min()
