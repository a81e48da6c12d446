"""The minute's rhythm: each symbol and each chain is followed by a task of its own.

A task wakes `polling_interval` seconds after a minute with an expected bar, asks, and hands over
what came. A task that is slow or refused delays no other; what it missed comes with its next poll,
because an answer holds all finished bars of the last half hour or more.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from engine.clock import Clock
from engine.errors import KisKeyRefused, KrtError
from engine.fetchers.base import BarRequest, PriceFetcher
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.kis.client import Priority
from engine.market.hours import MINUTE
from engine.market.sessions import Market
from engine.market.symbols import NightChain
from pipelines.day.ingest import Ingestor
from pipelines.day.price_limits import LimitWatch
from pipelines.day.streaming import FeedFollower
from pipelines.day_plan import BarPlan, ChainPlan, DayPlan, plan, plan_night
from pipelines.feed import Feed

log = logging.getLogger(__name__)

# Seconds before each of the tries for one bar. KIS has been seen to show a finished bar 2 s late
# and more; three tries within the minute find nearly all bars, and cost a stock that did not trade
# in the minute no more than three calls.
PAUSES = (0.0, 3.0, 9.0)
FIRST_MINUTES = 5  # of a day that KIS called closed: without a bar in them, it is


class PollingManager:
    """Follows the symbols and chains of a day's plan; each `follow_…` ends with its session."""

    def __init__(
        self, clock: Clock, ingestor: Ingestor, fetchers: dict[str, PriceFetcher], interval: float
    ) -> None:
        self._clock = clock
        self.ingestor = ingestor
        self.fetchers = fetchers
        self.feed: FeedFollower | None = None  # what it has need not be asked for each minute
        self.limits: LimitWatch | None = None
        self._interval = timedelta(seconds=interval)
        self._states: frozenset[str] = frozenset()  # contracts whose state each minute must have

    def ask_for_states(self, symbols: Iterable[str]) -> None:
        """Poll these contracts each minute, whatever the feed has: their states are counted."""
        self._states = frozenset(symbols)

    async def follow_bars(self, bars: BarPlan, until: datetime | None = None) -> None:
        """Collect one symbol's bars, minute by minute, `until` then or the end of its session."""
        every: list[datetime] = bars.session.stamps().to_list()
        stamps = [stamp for stamp in every if until is None or self._poll_time(stamp, bars) < until]
        polled: datetime | None = None
        for stamp in stamps:
            if polled and stamp <= polled:
                continue  # the poll after a long wait has fetched this bar too
            await self._clock.sleep_until(self._poll_time(stamp, bars))
            due = bisect_right(stamps, self._clock.now(), key=lambda s: self._poll_time(s, bars))
            polled = stamps[due - 1]
            fed = self.feed is not None and not self.feed.needs_poll(bars.symbol, polled)
            if not fed or bars.symbol in self._states:
                await self._poll_bars(bars, polled)
        if self.limits is not None:
            await self.limits.end(bars.symbol, bars.session)

    def _poll_time(self, stamp: datetime, bars: BarPlan) -> datetime:
        """Return when a bar is asked for."""
        return bars.session.finished_at(stamp) + self._interval

    async def _poll_bars(self, bars: BarPlan, stamp: datetime) -> None:
        """Ask until the newest bar has come, but not beyond its minute."""
        until = bars.session.finished_at(stamp) + MINUTE
        priority = Priority.SIGNALS if self.ingestor.is_watched(bars.symbol) else Priority.LIVE
        for pause in PAUSES:
            await self._clock.sleep(pause)
            if self._clock.now() >= until:
                return
            request = BarRequest(bars.symbol, bars.session, priority=priority, deadline=until)
            if stamp in await self.fetch_bars(bars, request):
                return
        log.debug("⏱️ %s: no bar of %s yet", bars.symbol, f"{stamp:%H:%M}")

    async def fetch_bars(self, bars: BarPlan, request: BarRequest) -> set[datetime]:
        """Fetch once, commit what came, and return its stamps.

        A failure is a line in the log: it must not end the collecting of anything else.
        """
        fetcher = self.fetchers[bars.source]
        try:
            batch = await fetcher.fetch(request)
            await self.ingestor.store_bars(bars.table, batch)
        except KrtError as error:
            self._report(bars.symbol, error)
            return set()
        finally:
            await self._store_rejected(fetcher)
            await self._store_state(fetcher, bars)
        stamps = set(batch["timestamp"].to_pylist())
        if self.feed is not None:
            self.feed.note_confirmed(bars.symbol, stamps)
        return stamps

    async def _store_state(self, fetcher: PriceFetcher, bars: BarPlan) -> None:
        """Keep what KIS says of a contract beside its bars, as it comes: that costs nothing.

        The writer logs it if the database refuses it.
        """
        if not isinstance(fetcher, DerivativeBarFetcher):
            return
        symbol = bars.symbol
        if (state := fetcher.take_state(symbol)) is not None:
            with suppress(KrtError):
                await self.ingestor.store_stream(f"STATE_{symbol}", "futures_state", state)
        if (shown := fetcher.take_limits(symbol)) and self.limits is not None:
            self.limits.note(shown, bars.session)

    async def find_first_bars(self, day: DayPlan) -> bool:
        """Ask for bars of the day's first minutes, and commit them; say whether any came.

        Futures are asked for, since the front month trades in every minute; else what opens first;
        else, for chains alone, the front month of the KOSPI 200.
        """
        futures = [bars for bars in day.bars if bars.symbol in day.futures]
        usual = Feed(futures=("A01",), night=day.night)
        front = (plan_night if day.night else plan)(usual, day.day).bars
        asked = futures or _first_to_open(day) or front
        for minute in range(1, FIRST_MINUTES + 1):
            for bars in asked:
                first = bars.session.finished_at(bars.session.first_stamp)
                await self._clock.sleep_until(first + (minute - 1) * MINUTE + self._interval)
                until = self._clock.now() + MINUTE
                request = BarRequest(bars.symbol, bars.session, deadline=until)
                if await self.fetch_bars(bars, request):
                    return True
        return False

    async def follow_chain(self, chain: ChainPlan) -> None:
        """Collect one snapshot of a chain each minute, to the end of its session."""
        fetcher, minutes = self.fetchers[chain.source], chain.session.minute_grid().to_list()
        counts = fetcher if isinstance(fetcher, OptionChainFetcher) else None
        if counts is not None and self._clock.now() < chain.session.opens and not _is_night(chain):
            before = replace(_chain_request(chain, minutes[0]), deadline=minutes[0])
            await counts.count_before_open(before)
        for minute in minutes:
            if minute + MINUTE <= self._clock.now():
                continue  # a chain has no history: a minute that was not asked for is lost
            await self._clock.sleep_until(minute + self._interval)
            request = _chain_request(chain, minute)
            await self._poll_chain(chain, request)
            if counts is not None:
                await counts.count_others(request)

    async def _poll_chain(self, chain: ChainPlan, request: ChainRequest) -> None:
        fetcher, minute = self.fetchers[chain.source], request.minute
        if self.feed is not None:
            request = replace(request, feed_quotes=self.feed.newest_quotes)
        self.ingestor.expect_chain(minute, request.underlying_symbol)
        try:
            snapshot = await self.ingestor.store_chain(await fetcher.fetch(request))
            if snapshot is not None:
                if self.feed is not None:
                    self.feed.follow_money(snapshot)
                await self.ingestor.store_surface(snapshot)
        except KrtError as error:
            self._report(chain.underlying_symbol, error)
        finally:
            self.ingestor.give_up_chain(minute, request.underlying_symbol)
            await self._store_rejected(fetcher)

    def _report(self, symbol: str, error: KrtError) -> None:
        log.warning("⚠️ %s: %s", symbol, error)
        if isinstance(error, KisKeyRefused):  # until a person acts, nothing is collected any more
            self.ingestor.alert_refused_key(error)

    async def _store_rejected(self, fetcher: PriceFetcher) -> None:
        """Keep the rows that could not be used, and the odd ones that KIS gave twice.

        The writer logs it if the database refuses them.
        """
        with suppress(KrtError):
            await self.ingestor.store_rejected(fetcher.take_rejected())
            await self.ingestor.store_confirmed(fetcher.take_confirmed())


def _is_night(chain: ChainPlan) -> bool:
    return isinstance(chain.chain, NightChain)


def _chain_request(chain: ChainPlan, minute: datetime) -> ChainRequest:
    return ChainRequest(
        chain.series,
        chain.maturity,
        minute,
        deadline=minute + MINUTE,
        night=_is_night(chain),
    )


def _first_to_open(day: DayPlan) -> list[BarPlan]:
    """Return what opens first of a plan; of a night's only what is of the night."""
    bars = [one for one in day.bars if not day.night or one.session.market is Market.NIGHT]
    first = min((one.session.opens for one in bars), default=None)
    return [one for one in bars if one.session.opens == first]
