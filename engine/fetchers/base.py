"""What all sources of data have in common: a request in, one RecordBatch out.

A new source is a subclass of `PriceFetcher` and a line in the registry. Rows that cannot be used
are never lost: they are counted, and kept until `take_rejected` is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import KisUnreachable
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import KisClient, Priority
from engine.kis.skew import wrong_clock
from engine.market.hours import MINUTE
from engine.market.sessions import Session
from engine.schemas import CONFIRMED_BARS, REJECTED_ROWS


@dataclass(frozen=True)
class BarRequest:
    """Bars of one symbol in one session.

    `until` is the last stamp wanted (None: the last minute that has ended). One page is asked for,
    unless `since`, the first stamp wanted, or `whole_day` asks for more; with `whole_day` answers
    about stocks go on into the session before. `deadline` (KST) is when to give up. `day_volume` is
    what was traded on the whole day: no page follows once the bars have it.
    """

    symbol: str
    session: Session
    until: datetime | None = None
    whole_day: bool = False
    since: datetime | None = None
    priority: Priority = Priority.LIVE
    deadline: datetime | None = None
    day_volume: int | None = None

    @property
    def first_wanted(self) -> datetime | None:
        """Return the first stamp that pages must reach; None if one page will do."""
        return self.session.first_stamp if self.whole_day else self.since

    @property
    def is_live_poll(self) -> bool:
        """Whether this asks for the newest minutes only, as a collector does again and again."""
        return self.until is None and self.first_wanted is None


OUTSIDE_BY_KIS = "outside of the session by KIS's clock"
Span = tuple[datetime, datetime]  # begin and end, both included


class PriceFetcher(ABC):
    """A source of data: a request in, one RecordBatch out; rejected rows are kept aside.

    `counts` counts the rows of the answers: good ones, and rejected ones by reason.
    """

    schema: ClassVar[pa.Schema]

    def __init__(self, client: KisClient) -> None:
        self.client = client
        self.counts: Counter[str] = Counter()
        self._rejected: list[pa.RecordBatch] = []

    @abstractmethod
    async def fetch(self, request: Any) -> pa.RecordBatch:
        """Fetch what the request names. Raises KisError."""

    def minute_by_kis(
        self, minute: datetime, span: Span | None, symbol: str, *answers: Answer
    ) -> datetime:
        """Return our `minute` by KIS's clock: the same, unless our clock is wrong by minutes.

        For rows that have no time of their own, once `answers` have brought them. `span` is when
        what they belong to begins and ends. Raises KisUnreachable if the minute by KIS's clock is
        outside of it; the answers are then kept as rejected, since they cannot be fetched again.
        """
        wrong = wrong_clock(self.client.ahead)
        if not wrong:
            return minute
        by_kis = minute - MINUTE * round(self.client.ahead / MINUTE)
        if span and span[0] <= by_kis <= span[1]:
            return by_kis
        for answer in answers:
            self._keep_undated(symbol, answer, answer.body, OUTSIDE_BY_KIS)
        raise KisUnreachable(f"{wrong}: at {by_kis:%H:%M} by KIS's there was nothing to store")

    def _keep_undated(
        self, symbol: str, answer: Answer, said: Mapping[str, Any], reason: str
    ) -> None:
        """Keep as rejected what an answer said, with both clocks: its minute is doubtful."""
        now = self.client.clock.now()
        clocks = {
            "our_clock": now.isoformat(sep=" ", timespec="seconds"),
            "kis_clock": (now - self.client.ahead).isoformat(sep=" ", timespec="seconds"),
        }
        marked = pl.DataFrame({codec.ROW: [0], codec.REASON: [reason]})
        source = codec.Source(answer.tr_id, symbol, answer.received_at)
        self._reject(codec.rejected_rows(marked, [{**clocks, "said": said}], source))

    def take_rejected(self) -> pa.RecordBatch:
        """Return the rows rejected since the last call, in REJECTED_ROWS.

        Polls overlap, so the same row comes again and again; the store keeps it once and counts.
        """
        if not self._rejected:
            return pa.RecordBatch.from_pylist([], schema=REJECTED_ROWS)
        rejected = pa.concat_batches(self._rejected)
        self._rejected.clear()
        return rejected

    def take_confirmed(self) -> pa.RecordBatch:
        """Return the odd bars that KIS has given twice since the last call, in CONFIRMED_BARS."""
        return pa.RecordBatch.from_pylist([], schema=CONFIRMED_BARS)

    def _reject(self, batch: pa.RecordBatch) -> None:
        """Count rejected rows and keep them, with secrets masked: KIS's words may repeat some."""
        self.counts.update(batch["reason"].to_pylist())
        masked = batch["raw"]
        for secret in self.client.secrets():
            masked = pc.replace_substring(masked, secret, "***")
        index = batch.schema.get_field_index("raw")
        self._rejected.append(batch.set_column(index, batch.schema.field(index), masked))
