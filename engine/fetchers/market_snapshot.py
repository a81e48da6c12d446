"""The whole market at a moment: 30 stocks a call, a row each. These are not bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.columns import TIME
from engine.fetchers.base import PriceFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import Priority
from engine.kis.endpoints.stocks import SeveralStocks
from engine.schemas import MARKET_SNAPSHOT, conform

_CODE = "inter_shrn_iscd"
_SIGN = "prdy_vrss_sign"
_EXPECTED_SIGN = "intr_antc_cntg_vrss_sign"
_FALLING = ("4", "5")  # KIS's signs of a change: at the lower limit, down
_NUMBERS = {
    "price": "inter2_prpr",
    "base_price": "inter2_sdpr",
    "change": "inter2_prdy_vrss",
    "open": "inter2_oprc",
    "high": "inter2_hgpr",
    "low": "inter2_lwpr",
    "turnover": "acml_tr_pbmn",
    "bid": "inter2_bidp",
    "ask": "inter2_askp",
    "upper_limit": "inter2_mxpr",
    "lower_limit": "inter2_llam",
    "expected_change": "intr_antc_cntg_vrss",
}
_WHOLES = {
    "volume": "acml_vol",
    "bid_size": "shnu_rsqn",
    "ask_size": "seln_rsqn",
    "bids": "total_bidp_rsqn",
    "asks": "total_askp_rsqn",
    "expected_volume": "intr_antc_vol",
}


def calls_of_snapshot(stocks: int) -> int:
    """Return how many calls one round over so many stocks takes."""
    return math.ceil(stocks / SeveralStocks.stocks_per_call)


@dataclass(frozen=True)
class SnapshotRequest:
    """At most 30 stocks as of a minute (KST), that of the round over all stocks."""

    symbols: tuple[str, ...]
    minute: datetime
    priority: Priority
    deadline: datetime | None = None


class SnapshotFetcher(PriceFetcher):
    """Rows in MARKET_SNAPSHOT (FHKST11300006), one a stock that KIS knows."""

    schema: ClassVar[pa.Schema] = MARKET_SNAPSHOT

    async def fetch(self, request: SnapshotRequest) -> pa.RecordBatch:
        """Return the stocks' rows; reject those without price or volume. Raises KisError.

        If our clock is wrong, the rows are of KIS's minute, not of ours.
        """
        answer = await self.client.call(
            SeveralStocks(request.symbols),
            priority=request.priority,
            deadline=request.deadline,
            minute=request.minute,
        )
        minute = self.minute_by_kis(request.minute, None, answer.symbol, answer)
        return conform(self._read(answer, request.symbols, minute), self.schema)

    def _read(self, answer: Answer, asked: tuple[str, ...], minute: datetime) -> pl.DataFrame:
        rows = answer.rows("output")
        fields = [_CODE, _SIGN, _EXPECTED_SIGN, *_NUMBERS.values(), *_WHOLES.values()]
        marked = codec.columns(rows, fields).with_columns(
            symbol=pl.col(_CODE).str.strip_chars(),
            **{name: codec.number(field) for name, field in _NUMBERS.items()},
            **{name: codec.whole(field) for name, field in _WHOLES.items()},
        )
        reason = codec.first_reason(
            (~pl.col("symbol").is_in(asked), "a stock that was not asked for"),
            (pl.col("price") <= 0, "no price"),
            (pl.col("volume") < 0, "no volume"),
        )
        marked = marked.with_columns(reason)
        bad = marked.filter(pl.col(codec.REASON).is_not_null())
        if bad.height:
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(bad, rows, source))
        self.counts.update(rows=marked.height, good=marked.height - bad.height)
        return (
            marked.filter(pl.col(codec.REASON).is_null())
            .unique("symbol", keep="first", maintain_order=True)
            .with_columns(
                change=_signed("change", _SIGN),
                expected_change=_signed("expected_change", _EXPECTED_SIGN),
                session=pl.lit(minute.date()),
                timestamp=pl.lit(minute, TIME),
                fetched_at=pl.lit(answer.received_at, TIME),
            )
        )


def _signed(name: str, sign: str) -> pl.Expr:
    """Return a change with the sign that KIS gives beside it: it writes some without one."""
    falls = pl.col(sign).str.strip_chars().is_in(_FALLING)
    return pl.when(falls).then(-pl.col(name).abs()).otherwise(name)
