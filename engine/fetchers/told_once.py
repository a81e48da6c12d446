"""What KIS tells only once, asked for each minute: a request in, the rows of one table out.

Each stream is a class: the call, and the columns of its answer. What a row lacks is null; a row
without readable values or without its time is rejected and kept, as with bars.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from engine.columns import PRICES, TIME
from engine.fetchers.base import PriceFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import Priority
from engine.kis.endpoints.bars import IndexMinutes
from engine.kis.endpoints.markets import InvestorFlows, ProgrammeTrades
from engine.kis.endpoints.request import Request
from engine.market.sessions import Session
from engine.market.told_once import ToldOnce
from engine.schemas import INDEX_BARS, INVESTOR_FLOWS, PROGRAMME_TRADES, conform

# KIS's prefix of fields → our name. `institution` is those from securities to pension together.
INVESTORS = {
    "frgn": "foreign",
    "prsn": "individual",
    "orgn": "institution",
    "scrt": "securities",
    "ivtr": "investment_trust",
    "pe_fund": "private_fund",
    "bank": "bank",
    "insu": "insurance",
    "mrbn": "merchant_bank",
    "fund": "pension",
    "etc_orgt": "other_organisation",
    "etc_corp": "other_corporation",
}
MARKETS = {  # FID_INPUT_ISCD and FID_INPUT_ISCD_2 by our name of the market
    "KOSPI": ("KSP", "0001"),
    "KOSDAQ": ("KSQ", "1001"),
    "KOSPI200_FUTURES": ("K2I", "F001"),
    "MINI_KOSPI200_FUTURES": ("MKI", "F002"),
    "KOSDAQ150_FUTURES": ("KQI", "F004"),
    "KOSPI200_CALLS": ("K2I", "OC01"),
    "KOSPI200_PUTS": ("K2I", "OP01"),
    "MINI_KOSPI200_CALLS": ("MKI", "OC02"),
    "MINI_KOSPI200_PUTS": ("MKI", "OP02"),
    "KOSDAQ150_CALLS": ("KQI", "OC03"),
    "KOSDAQ150_PUTS": ("KQI", "OP03"),
    "KOSPI200_WEEKLY_THU_CALLS": ("WKI", "OC04"),
    "KOSPI200_WEEKLY_THU_PUTS": ("WKI", "OP04"),
    "KOSPI200_WEEKLY_MON_CALLS": ("WKM", "OC05"),
    "KOSPI200_WEEKLY_MON_PUTS": ("WKM", "OP05"),
}
INDEX_CODES = {"KOSPI": "0001", "KOSDAQ": "1001", "KOSPI200": "2001", "KOSDAQ150": "3003"}
_PROGRAMMES = {"arbt": "arbitrage", "nabt": "other"}
_BY_FEED = [name for name in PROGRAMME_TRADES.names if name.endswith("_volume")]
_SIDES = {"seln": "sold", "shnu": "bought", "ntby": "net"}


@dataclass(frozen=True)
class StreamRequest:
    """A stream's rows as of a minute; a row without a time of its own gets `stamp` (KST)."""

    symbol: ToldOnce
    session: Session
    stamp: datetime
    deadline: datetime | None = None
    priority: Priority = Priority.FLOWS


class StreamFetcher(PriceFetcher):
    """A source of rows that KIS tells only once: one call, all rows of the answer.

    `own_times`: the rows tell their minute; otherwise it is the one in which they are asked for.
    """

    own_times: ClassVar[bool] = False

    @abstractmethod
    def question(self, request: StreamRequest) -> Request:
        """Return the call."""

    @abstractmethod
    def read(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return the answer's rows in the columns of `schema`; reject the unusable ones."""

    async def fetch(self, request: StreamRequest) -> pa.RecordBatch:
        """Return the rows that KIS gives; empty if it has none. Raises KisError."""
        answer = await self.client.call(
            self.question(request),
            priority=request.priority,
            deadline=request.deadline,
            minute=request.stamp,
        )
        if not self.own_times:
            symbol, session = request.symbol, request.session
            span = (symbol.begins(session), session.last_stamp)
            stamp = self.minute_by_kis(request.stamp, span, symbol.code, answer)
            request = replace(request, stamp=stamp)
        rows = self.read(answer, request).with_columns(
            pl.lit(request.symbol.subject).alias("symbol"),
            pl.lit(answer.received_at, TIME).alias("fetched_at"),
        )
        return conform(rows, self.schema)

    def _split(self, rows: list[Any], answer: Answer, marked: pl.DataFrame) -> pl.DataFrame:
        """Return the good rows of `marked`, which has REASON and ROW; reject the others."""
        bad = marked.filter(pl.col(codec.REASON).is_not_null())
        if bad.height:
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(bad, rows, source))
        good = marked.filter(pl.col(codec.REASON).is_null())
        self.counts.update(rows=marked.height, good=good.height)
        return good


class FlowsFetcher(StreamFetcher):
    """Investors' flows in INVESTOR_FLOWS, a row a kind of investor (FHPTJ04030000)."""

    schema: ClassVar[pa.Schema] = INVESTOR_FLOWS

    def question(self, request: StreamRequest) -> Request:
        """Return the call."""
        return InvestorFlows(*MARKETS[request.symbol.subject])

    def read(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return a row for each kind of investor whose six numbers can be read."""
        rows = _records(answer, "output")[:1]
        fields = [field for kind in INVESTORS for field in _flow_fields(kind, rows)]
        given = codec.columns(rows, fields)
        kinds = [_flows_of(kind, given, rows) for kind in INVESTORS]
        return self._split(rows, answer, pl.concat(kinds)).with_columns(
            pl.lit(request.stamp, TIME).alias("timestamp")
        )


def _flow_fields(kind: str, rows: list[Any]) -> list[str]:
    """Return KIS's fields of a kind: sold, bought, net quantity, then amounts.

    The field of the net quantity ends in qty for some kinds and in vol for others.
    """
    named = [f"{kind}_ntby_qty", f"{kind}_ntby_vol"]
    known = rows[0] if rows and isinstance(rows[0], Mapping) else {}
    net = next((name for name in named if name in known), named[0])
    amounts = [f"{kind}_{side}_tr_pbmn" for side in _SIDES]
    return [f"{kind}_seln_vol", f"{kind}_shnu_vol", net, *amounts]


def _flows_of(kind: str, given: pl.DataFrame, rows: list[Any]) -> pl.DataFrame:
    names = [name for name in INVESTOR_FLOWS.names if name.endswith(("_volume", "_amount"))]
    fields = dict(zip(names, _flow_fields(kind, rows), strict=True))
    return given.select(
        codec.ROW,
        pl.lit(INVESTORS[kind]).alias("investor"),
        *(codec.whole(field).alias(name) for name, field in fields.items()),
    ).with_columns(
        codec.first_reason((pl.any_horizontal(pl.col(names).is_null()), codec.UNREADABLE))
    )


class ProgrammeFetcher(StreamFetcher):
    """Programme trading of the last half hour in PROGRAMME_TRADES (FHPPG04600101).

    It has no volumes; those that the feed has told stay stored.
    """

    schema: ClassVar[pa.Schema] = PROGRAMME_TRADES
    own_times: ClassVar[bool] = True

    def question(self, request: StreamRequest) -> Request:
        """Return the call."""
        return ProgrammeTrades(request.symbol.subject)

    def read(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return the rows of the session's minutes; after the close KIS repeats the last one."""
        rows = _records(answer, "output", "output1")
        sums = {
            f"{ours}_{side}": f"{kis}_smtn_{end}_tr_pbmn"
            for kis, ours in _PROGRAMMES.items()
            for end, side in _SIDES.items()
        } | {"net": "whol_smtn_ntby_tr_pbmn"}
        given = codec.columns(rows, ["bsop_hour", "bstp_nmix_prpr", *sums.values()])
        session = request.session
        read = given.select(
            codec.ROW,
            codec.label("bsop_hour", session.date).alias("timestamp"),
            codec.number("bstp_nmix_prpr").alias("index_price"),
            *(codec.whole(field).alias(name) for name, field in sums.items()),
            *(pl.lit(None, pl.Int64).alias(name) for name in _BY_FEED),
            pl.lit(answer.tr_id).alias("source"),
        ).with_columns(
            codec.first_reason(
                (pl.col("timestamp").is_null(), codec.NO_TIME),
                (pl.any_horizontal(pl.col(list(sums)).is_null()), codec.UNREADABLE),
            )
        )
        good = self._split(rows, answer, read)
        stamp = pl.col("timestamp")
        is_minute = stamp == stamp.dt.truncate("1m")
        inside = stamp.is_between(session.first_stamp, session.last_stamp)
        return good.filter(is_minute, inside, stamp <= answer.as_of).unique("timestamp")


class IndexFetcher(StreamFetcher):
    """Minute bars of a share index in INDEX_BARS, 102 a call (FHKUP03500200)."""

    schema: ClassVar[pa.Schema] = INDEX_BARS
    own_times: ClassVar[bool] = True

    def question(self, request: StreamRequest) -> Request:
        """Return the call."""
        subject = request.symbol.subject
        return IndexMinutes(INDEX_CODES.get(subject, subject))

    def read(self, answer: Answer, request: StreamRequest) -> pl.DataFrame:
        """Return the finished bars of the session, and those of the session before in the answer.

        In the morning most of an answer is the end of the session before, which a collector that
        ended early has missed.
        """
        rows = _records(answer, "output2")
        prices = dict(zip(PRICES, ("oprc", "hgpr", "lwpr", "prpr"), strict=True))
        names = {name: f"bstp_nmix_{end}" for name, end in prices.items()}
        others = ["stck_bsop_date", "stck_cntg_hour", "cntg_vol", "acml_tr_pbmn"]
        session = request.session
        later = codec.day("stck_bsop_date") - pl.lit(session.date)
        read = codec.columns(rows, [*others, *names.values()]).select(
            codec.ROW,
            codec.day("stck_bsop_date").alias("date"),
            (codec.label("stck_cntg_hour", session.date) + later).alias("label"),
            *(codec.number(field).alias(name) for name, field in names.items()),
            codec.whole("cntg_vol").alias("volume"),
            codec.number("acml_tr_pbmn").alias("day_turnover"),
        )
        marked = read.with_columns(
            codec.first_reason(
                (pl.any_horizontal(pl.col("date", "label").is_null()), codec.NO_TIME),
                (pl.any_horizontal(pl.col(PRICES).is_null()), codec.UNREADABLE),
            )
        )
        good = self._split(rows, answer, marked)
        finished = session.is_finished(pl.col("label"), answer.as_of)
        before = request.symbol.session_before(session.date)
        parts = [_of_session(good.filter(finished), session)]
        if before is not None:
            parts.append(_of_session(good, before))
        return pl.concat(parts)


def _of_session(bars: pl.DataFrame, session: Session) -> pl.DataFrame:
    """Return the index bars of one session, with their stamps."""
    return (
        bars.filter(pl.col("date") == session.date)
        .with_columns(session.stamp_of_label(pl.col("label")).alias("timestamp"))
        .filter(pl.col("timestamp").is_not_null())
        .unique("timestamp", keep="first")
    )


def _records(answer: Answer, *names: str) -> list[Any]:
    """Return the rows under the first name that is there; one record counts as one row."""
    for name in names:
        if answer.has_rows(name):
            return answer.rows(name)
        if record := answer.record(name):
            return [record]
    return []
