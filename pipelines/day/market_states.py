"""Halts as the feed tells them: which are registered, and what was told is stored at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from engine.errors import KrtError
from engine.kis.stream.frames import Frame
from engine.kis.stream.market_states import MARKET_STATES, MarketStates, is_state_frame
from engine.kis.stream.registrations import StreamRegistration, Wish
from engine.market.sessions import Market
from engine.market.symbols import Stock, parse
from pipelines.day.ingest import Ingestor
from pipelines.day_plan import DayPlan

log = logging.getLogger(__name__)

# KIS tells halts with stocks alone. The KOSPI's breaker stops the derivatives, too, and is told
# with each of its stocks: this one is registered for them, whatever is collected.
WITNESS = "005930"
# After what has bars (0, 1), before the options (2); other stocks' states come last: their VI are
# asked for at the close, too (pipelines/history/halts.py).
_WITNESS_PRIORITY, _STOCK_PRIORITY = 1.5, 3.0


class HaltWatch:
    """Reads the feed's frames about halts of a day's symbols; `is_on`: they are wanted at all."""

    def __init__(self, plan: DayPlan, ingestor: Ingestor, *, is_on: bool) -> None:
        stocks = [b.symbol for b in plan.bars if isinstance(parse(b.symbol), Stock)]
        self._is_on = is_on
        self._stocks = stocks
        self._markets = {b.symbol: b.session.market.value for b in plan.bars}
        self._derivatives = Market.DERIVATIVES.value in self._markets.values()
        self._states = MarketStates({WITNESS: Market.DERIVATIVES.value})
        self._ingestor = ingestor
        self._told: asyncio.Queue[tuple[pa.RecordBatch, pa.RecordBatch]] = asyncio.Queue()

    @property
    def room(self) -> int:
        """How many registrations come before the options."""
        return int(self._is_on and self._derivatives)

    def wishes(self) -> list[Wish]:
        """Return what is to be registered."""
        if not self._is_on:
            return []
        first = [Wish(_state_of(WITNESS), _WITNESS_PRIORITY)] if self._derivatives else []
        return [*first, *(Wish(_state_of(symbol), _STOCK_PRIORITY) for symbol in self._stocks)]

    def take(
        self,
        frames: Sequence[Frame],
        registered: Collection[StreamRegistration],
        ahead: timedelta,
    ) -> list[Frame]:
        """Read the frames about halts, and return the others."""
        own = [frame for frame in frames if is_state_frame(frame[1])] if self._is_on else []
        if not own:
            return list(frames)
        events, rejected = self._states.read(own, registered, ahead)
        for kind, name, ended_at in zip(
            *(events[column].to_pylist() for column in ("kind", "symbol", "ended_at")), strict=True
        ):
            if ended_at is None:
                log.warning("⚠️ feed: %s: %s begins", name, kind)
            else:
                log.info("✅ feed: %s: %s is over", name, kind)
        self._told.put_nowait((events, rejected))
        return [frame for frame in frames if not is_state_frame(frame[1])]

    def is_stopped(self, symbol: str, moment: datetime) -> bool:
        """Say whether a symbol with bars is known to be halted: then it has no data."""
        return self._states.is_stopped((symbol, self._markets.get(symbol, "")), moment)

    async def run(self) -> None:
        """Store what was told, until cancelled."""
        while True:
            events, rejected = await self._told.get()
            try:
                await self._ingestor.store_events(events)
                await self._ingestor.store_rejected(rejected)
            except KrtError as error:
                log.warning("⚠️ feed: halts are not stored: %s", error)


def _state_of(symbol: str) -> StreamRegistration:
    return StreamRegistration(MARKET_STATES, symbol)
