"""When trading of a stock was interrupted: VI, two minutes of auction after a jump of its price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.fetchers.base import PriceFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import Priority
from engine.kis.endpoints.stocks import VolatilityInterruptions
from engine.schemas import MARKET_EVENTS, conform

VI = "vi"
_CODE = r"^\s*([0-9A-Za-z]{1,8})\s*$"
_FIELDS = ("mksc_shrn_iscd", "bsop_date", "cntg_vi_hour", "vi_cncl_hour", "vi_kind_code")


@dataclass(frozen=True)
class HaltRequest:
    """The interruptions of a stock on a day."""

    symbol: str
    day: date
    priority: Priority = Priority.BACKFILL


class VolatilityInterruptionFetcher(PriceFetcher):
    """Interruptions of a stock in MARKET_EVENTS (FHPST01390000)."""

    schema: ClassVar[pa.Schema] = MARKET_EVENTS

    async def fetch(self, request: HaltRequest) -> pa.RecordBatch:
        """Return the day's interruptions of the stock; empty if it had none. Raises KisError."""
        question = VolatilityInterruptions(request.symbol, request.day)
        answer = await self.client.call(question, priority=request.priority)
        return conform(self._read(answer, request), self.schema)

    def _read(self, answer: Answer, request: HaltRequest) -> pl.DataFrame:
        rows = answer.rows("output")
        given = codec.columns(rows, _FIELDS)
        wanted = (pl.col("mksc_shrn_iscd").str.strip_chars() == request.symbol) & (
            codec.day("bsop_date") == request.day
        )
        started = codec.label("cntg_vi_hour", request.day)
        ended = codec.label("vi_cncl_hour", request.day)
        marked = given.filter(wanted).with_columns(
            codec.first_reason((started.is_null(), "time cannot be read")),
            symbol=pl.lit(request.symbol),
            kind=pl.lit(VI),
            started_at=started,
            ended_at=pl.when(ended >= started).then(ended),  # 000000 while it lasts
            source=pl.lit(answer.tr_id),
            code=pl.col("vi_kind_code").str.extract(_CODE),
            fetched_at=pl.lit(answer.received_at, pl.Datetime("us")),
        )
        bad = marked.filter(pl.col(codec.REASON).is_not_null())
        if bad.height:
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(bad, rows, source))
        return marked.filter(pl.col(codec.REASON).is_null()).select(MARKET_EVENTS.names)
