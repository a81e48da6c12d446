"""The collecting of what KIS tells only once: each stream of each subject on its own.

All streams are followed alike. A task wakes after each minute that must have a row, asks once (the
client tries again until the minute after is over), and hands over what came. Their calls go after
those for bars and chains: under pressure it is they that wait. Why a minute was missed is noted
for the ledger, since nobody can fetch it again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from engine.clock import Clock
from engine.errors import KisKeyRefused, KrtError
from engine.fetchers.told_once import StreamFetcher, StreamRequest
from engine.kis.client import Priority
from engine.market.hours import MINUTE
from engine.store import Store
from pipelines.day.ingest import Ingestor
from pipelines.day_plan import StreamPlan
from pipelines.history.told_once import settle_streams

log = logging.getLogger(__name__)

_BEFORE_THE_END = timedelta(seconds=2)  # of a minute, where its end is too late to ask
_WRITE_EVERY = 60.0  # seconds between looks whether the ledger lacks a reason
_LOOKS_BETWEEN = 5  # until it is written although nothing new was noted
_EMPTY = "KIS gave no row"
Reasons = dict[tuple[str, datetime], str]  # why a minute (code, stamp) was missed


class StreamPolling:
    """Follows the streams of a day's plan; each `follow` ends with its session."""

    def __init__(
        self,
        clock: Clock,
        ingestor: Ingestor,
        fetchers: Mapping[str, StreamFetcher],
        interval: float,
    ) -> None:
        self._clock = clock
        self._ingestor = ingestor
        self._fetchers = fetchers
        self._interval = timedelta(seconds=interval)
        self.reasons: Reasons = {}

    async def write_down(self, store: Store, streams: Sequence[StreamPlan]) -> None:
        """Keep the ledger up to date until cancelled: a reason that is only here dies with us."""
        written, looks = -1, 0  # at first what was missed before the start
        targets = [stream.target for stream in streams]
        while streams:
            await self._clock.sleep(_WRITE_EVERY)
            looks += 1
            # Without a new reason, too: what an answer might still have brought becomes too old.
            if len(self.reasons) == written and looks % _LOOKS_BETWEEN:
                continue
            known = dict(self.reasons)
            try:
                await settle_streams(store, self._clock, targets, known, day="running")
            except KrtError as error:  # the close does it, too
                log.warning("⚠️ the ledger of what is told once: %s", error)
                continue
            written = len(known)

    async def write_last(self, store: Store, streams: Sequence[StreamPlan]) -> None:
        """Bring the ledger up to date at an early end, also with what a later run may still fetch.

        Raises KrtError if the database does not take it.
        """
        targets = [stream.target for stream in streams]
        await settle_streams(store, self._clock, targets, self.reasons, day="ended early")

    async def follow(self, stream: StreamPlan) -> None:
        """Collect one stream of one subject, minute by minute, to the end of its session."""
        if not stream.symbol.stream.calls:
            return
        for stamp in stream.symbol.expected_stamps(stream.session.date).to_list():
            ends = stream.symbol.minute_ends(stream.session, stamp)
            if stream.symbol.of_the_moment:
                moment, until = ends - max(self._interval, _BEFORE_THE_END), ends
            else:
                moment, until = ends + self._interval, ends + MINUTE
            if until <= self._clock.now():
                continue  # too late to ask; what the next answer reaches back to still comes
            await self._clock.sleep_until(moment)
            await self._poll(stream, stamp, until)

    async def _poll(self, stream: StreamPlan, stamp: datetime, deadline: datetime) -> None:
        """Ask once, and commit what came. A failure is noted, and ends nothing else."""
        symbol = stream.symbol
        fetcher = self._fetchers[symbol.stream.name]
        flows = symbol.stream.name == "flows"
        priority = Priority.FLOWS if flows else Priority.OTHERS
        request = StreamRequest(symbol, stream.session, stamp, deadline, priority)
        try:
            batch = await fetcher.fetch(request)
            if not batch.num_rows:
                self.reasons[symbol.code, stamp] = _EMPTY
            await self._ingestor.store_stream(symbol.code, symbol.table, batch)
        except KrtError as error:
            log.warning("⚠️ %s: %s", symbol.code, error)
            self.reasons[symbol.code, stamp] = str(error.args[0])
            if isinstance(error, KisKeyRefused):
                self._ingestor.alert_refused_key(error)
        finally:
            with suppress(KrtError):  # the writer logs it if the database refuses them
                await self._ingestor.store_rejected(fetcher.take_rejected())
