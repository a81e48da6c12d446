"""The feed: trades from KIS's WebSocket, kept, and made into the minute's bars as soon as it ends.

A complete bar is committed and evaluated at once; REST is asked for many minutes at a time later
(`needs_poll`), and where it differs it stands. Any other minute waits for its poll, as without the
feed. Nothing here ends the day: what the feed lacks, REST has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import polars as pl

from engine.clock import Clock, floor_minute
from engine.concurrency import run_until_first_error
from engine.features.ticks import LEAST_DELAY
from engine.kis.client import KisClient
from engine.kis.stream.connection import StreamConnection
from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame, StreamRows, read_frames
from engine.kis.stream.market_states import MARKET_STATES
from engine.kis.stream.registrations import StreamRegistration, Wish, share
from engine.kis.stream.sides import Sums
from engine.kis.stream.told_once import TOLD_ONCE
from engine.market.hours import MINUTE
from engine.market.symbols import Night, parse
from pipelines.day.book_keeping import BookKeeper
from pipelines.day.fed_streams import FedStreams
from pipelines.day.feed_bars import FeedBars, last_versions
from pipelines.day.feed_states import FeedStates
from pipelines.day.ingest import Ingestor
from pipelines.day.market_states import HaltWatch
from pipelines.day.minute_bars import MinuteBars
from pipelines.day.option_quotes import OptionQuotes
from pipelines.day.trade_keeping import TradeKeeper
from pipelines.day.unread_frames import TOGETHER, UnreadFrames
from pipelines.day_plan import DayPlan

log = logging.getLogger(__name__)

# A symbol's minute is over when it trades in a later one, or when the exchange's time on the
# connections is a second past its end (trades of one second come from several channels), or, on a
# silent market, when KIS's clock is: 99 % of trades come within a second (docs/kis.md#messages).
# Only the first proves that no trade is missing; else the bar waits for that trade, or for REST.
ALLOWANCE = timedelta(seconds=1)
SILENT = timedelta(seconds=1.5)
_TELL_EVERY = 10.0  # seconds
FUTURE_BOOK = "H0IFASP0"


class FeedFollower:
    """Follows the symbols of a day's plan by the connections of all app keys."""

    def __init__(
        self,
        plan: DayPlan,
        connections: Sequence[StreamConnection],
        ingestor: Ingestor,
        keeper: TradeKeeper,
        clock: Clock,
        halts: HaltWatch,
        told: FedStreams,
        ahead: Callable[[], timedelta] = timedelta,
        *,
        books: BookKeeper | None = None,
    ) -> None:
        """Follow; `ahead` says by how much our clock is ahead of KIS's at present."""
        self._books = books
        self._halts = halts
        self._told = told
        self._bars = FeedBars(plan)
        self._sessions = {bars.symbol: bars.session for bars in plan.bars}
        self._registrations = _registrations(plan)
        self._night = plan.night
        self._futures = plan.watched(nights=True)
        self._connections = connections
        self._ingestor = ingestor
        self._keeper = keeper
        self._clock = clock
        self._ahead = ahead
        self.options = OptionQuotes(plan)
        self._carriers: dict[str, StreamConnection] = {}
        self._shares: list[list[StreamRegistration]] = []  # registrations of each connection
        self._states = FeedStates(plan.day, clock.now())
        self._ended: str | None = None
        self._unread: dict[StreamConnection, UnreadFrames] = {}
        self._sums: dict[StreamConnection, Sums] = {}  # after the last trades, by symbol
        self._newest: dict[StreamConnection, datetime] = {}  # the exchange's time
        self._first_open = min(session.opens for session in self._sessions.values())
        self._closed = self._first_open  # minutes up to here were closed for all symbols
        self._dropped = 0  # frames that nobody had read in time, when last looked
        # Bars of minutes that are over, to be committed: reading waits for no commit.
        self._finished: asyncio.Queue[pl.DataFrame] = asyncio.Queue()

    async def run(self) -> None:
        """Follow until cancelled. After an error the symbols are polled; it may be run again."""
        self._ended = None
        bars = self._registrations.values()
        self._unread = {connection: UnreadFrames(bars) for connection in self._connections}
        self._sums = {connection: {} for connection in self._connections}
        # What crashed it may be among the trades of the last minutes: REST has their bars.
        self._minutes = MinuteBars(self._sessions)
        try:
            self._register()
            for connection in self._connections:
                connection.start()
            await run_until_first_error(
                *(self._take(connection) for connection in self._connections),
                self._read_what_waits(),
                self._close_minutes_by_the_clock(),
                self._commit_finished(),
                self._keeper.run(),
                *([self._books.run()] if self._books else []),
                self._halts.run(),
                self._told.run(self.read, self._register),
                self._tell_states(),
            )
        except Exception:
            self._ended = "the feed has crashed"  # all symbols are polled
            self._unread = {}
            raise
        finally:
            self._tell()

    async def _tell_states(self) -> None:
        """Say every few seconds which symbols come by the feed."""
        while True:
            self._tell()
            await self._clock.sleep(_TELL_EVERY)

    def _tell(self) -> None:
        reasons = {symbol: self._why_not(one) for symbol, one in self._registrations.items()}
        states = self._states.note(reasons, self._clock.now())
        made = [connection.state.made_at for connection in self._connections]
        self._ingestor.tell_feed(states, self._message(states), made)

    def _why_not(self, one: StreamRegistration) -> str | None:
        """Return why a registration brings no data now; None if it does."""
        if self._ended:
            return self._ended
        for connection, wanted in zip(self._connections, self._shares, strict=True):
            if one in wanted[: connection.state.limit]:
                return connection.state.why_not(one)
        return f"no room among {sum(self._limits())} registrations"

    def _message(self, states: pl.DataFrame) -> str:
        """Return in a few words what the feed brings and how its connections are doing."""
        quoted = sum(self._why_not(one) is None for one in self._options())
        doing = ", ".join(dict.fromkeys(one.state.doing for one in self._connections))
        by_feed = int(states["by_feed"].sum())
        return f"{by_feed} of {states.height} symbols, {quoted} options; {self._ended or doing}"

    def needs_poll(self, symbol: str, stamp: datetime) -> bool:
        """Say whether KIS must be asked by REST for the symbol's bars up to a stamp."""
        return symbol not in self._carriers or self._bars.needs_poll(symbol, stamp)

    def note_confirmed(self, symbol: str, stamps: set[datetime]) -> None:
        """Note that REST has given bars: up to the newest of them the feed has no say any more."""
        self._bars.note_confirmed(symbol, stamps)

    def follow_money(self, chain: pl.DataFrame) -> None:
        """Register the options near the money of a snapshot that has its forward, if they fit."""
        others = len(self._book_wishes()) + self._halts.room + len(self._told_wishes())
        room = sum(self._limits()) - len(self._sessions) - others
        if self.options.follow(chain, room):
            self._register()

    def _options(self) -> list[StreamRegistration]:
        return [_trades_of(symbol, night=self._night) for symbol in self.options.symbols]

    def _limits(self) -> list[int]:
        return [connection.state.limit for connection in self._connections]

    def _register(self) -> None:
        """Share the symbols among the connections, the futures first: strategies wait for them.

        Books come after all symbols with bars, then options; halts: pipelines.day.market_states.
        """
        wishes = [
            Wish(one, float(symbol not in self._futures))
            for symbol, one in self._registrations.items()
        ]
        options = [Wish(one, 2.0) for one in self._options()]
        wishes += [*self._book_wishes(), *self._told_wishes(), *options, *self._halts.wishes()]
        self._shares = share(wishes, self._limits(), self._shares)
        for connection, wanted in zip(self._connections, self._shares, strict=True):
            bars = (symbol for symbol, one in self._registrations.items() if one in wanted)
            self._carriers |= dict.fromkeys(bars, connection)
            connection.want(wanted)

    def _book_wishes(self) -> list[Wish]:
        contracts = self._books.contracts if self._books else ()
        return [Wish(StreamRegistration(FUTURE_BOOK, symbol), 1.5) for symbol in contracts]

    def _told_wishes(self) -> list[Wish]:
        return self._told.wishes(self._clock.now())

    async def _take(self, connection: StreamConnection) -> None:
        """Take frames as they come; read at once what bars wait for."""
        unread = self._unread[connection]
        while frames := await connection.take():
            if unread.add(frames):
                self._read(connection, unread.take_of_bars())

    async def _read_what_waits(self) -> None:
        """Read every second what has come meanwhile: nothing waits for it."""
        while True:
            await self._clock.sleep(TOGETHER)
            self.read()

    def read(self) -> None:
        """Read all frames that have come and wait to be read with others."""
        for connection, unread in self._unread.items():
            if unread:
                self._read(connection, unread.take())

    def newest_quotes(self) -> pl.DataFrame:
        """Return the newest quote of each option that came by the feed so far (FEED_QUOTES)."""
        self.read()
        return self.options.newest()

    async def keep_the_rest(self) -> None:
        """Keep the trades of the last frames, once the connections are closed and nobody reads."""
        for connection, unread in self._unread.items():
            unread.add(await connection.take())
            self._kept_rows(connection, unread.take())

    def _read(self, connection: StreamConnection, frames: Sequence[Frame]) -> None:
        rows = self._kept_rows(connection, frames)
        is_over = self._minutes.add(rows.trades)
        until = self._exchange_time(connection, rows.newest) - ALLOWANCE
        if is_over or floor_minute(until) > self._closed:
            self._close_minutes(until)

    def _kept_rows(self, connection: StreamConnection, frames: Sequence[Frame]) -> StreamRows:
        """Read frames that came by a connection; all but the bars are made of them here."""
        others = self._halts.take(frames, connection.ever_wanted, self._ahead())
        others, unusable = self._told.take(others, connection.ever_wanted, self._ahead())
        sums = self._sums[connection]
        rows = read_frames(
            others, sums=sums, keys=connection.keys, registered=connection.ever_wanted
        )
        self._sums[connection] = {**sums, **rows.sums}
        connection.state.note(rows)
        self._keeper.keep(rows.trades)
        self._keeper.keep_rejected(rows.rejected)
        self._keeper.keep_rejected(unusable)
        self._told.keep_states(rows.future_states)
        if self._books:
            self._books.keep(rows.books)
        self.options.note(rows.option_quotes)
        return rows

    def _exchange_time(self, connection: StreamConnection, newest: datetime | None) -> datetime:
        """Return up to when all connections have told what was traded; `newest` is one's newest.

        What lies ahead of KIS's clock is not believed.
        """
        latest = self._clock.now() - self._ahead() - timedelta(seconds=LEAST_DELAY)
        if newest is not None and newest <= latest:
            self._newest[connection] = max(newest, self._newest.get(connection, newest))
        return min(self._newest.values(), default=self._first_open)

    async def _close_minutes_by_the_clock(self) -> None:
        """Close each minute of the day when it must be over by KIS's clock: a silent market."""
        last = max(one.finished_at(one.last_stamp) for one in self._sessions.values())
        now = self._clock.now() - self._ahead()
        minute = max(self._first_open, floor_minute(now)) + MINUTE
        while minute <= last:
            await self._clock.sleep_until(minute + SILENT + self._ahead())
            self.read()
            self._close_minutes(minute)
            self._minutes.forget()
            self._minutes.set_proven_aside()  # nearly all are by now
            minute += MINUTE

    def _close_minutes(self, until: datetime) -> None:
        """Make the bars of minutes that are over, to be committed where they are complete."""
        self._closed = max(self._closed, floor_minute(until))
        bars = self._minutes.finished(until, self._ahead())
        self._note_lost_frames()
        if bars.height:
            self._finished.put_nowait(bars)

    async def _commit_finished(self) -> None:
        """Commit the complete bars of minutes that are over, those of all symbols together."""
        while True:
            parts = [await self._finished.get()]
            while not self._finished.empty():
                parts.append(self._finished.get_nowait())
            await self._commit(last_versions(parts))
            self._minutes.forget()

    async def _commit(self, bars: pl.DataFrame) -> None:
        """Commit those bars that are complete and that REST has not confirmed yet."""
        good = self._bars.to_commit(bars)
        refused = await self._ingestor.store_bars_at_once(good.by_table(self._clock.now()))
        for symbol, error in refused.items():
            log.warning("⚠️ feed: %s: %s", symbol, error)
        self._bars.note_committed(good, refused)
        stored = bars.filter(~pl.col("symbol").is_in(list(refused))) if refused else bars
        self._ingestor.count_feed_bars(stored)

    def _note_lost_frames(self) -> None:
        dropped = sum(connection.state.dropped for connection in self._connections)
        if dropped > self._dropped:
            self._keeper.note_lost_frames(dropped - self._dropped)
            self._dropped = dropped


@asynccontextmanager
async def open_feed(
    plan: DayPlan,
    kis: KisClient,
    ingestor: Ingestor,
    keeper: TradeKeeper,
    clock: Clock,
    books: BookKeeper | None = None,
    *,
    halts: bool = False,
) -> AsyncIterator[FeedFollower]:
    """Yield the follower of a day's symbols; in the end close its connections, keep its trades.

    `halts`: whether they are registered, too.
    """
    registered = _registrations(plan)
    sessions = {registered[bars.symbol].tr_key: bars.session for bars in plan.bars}
    watch = HaltWatch(plan, ingestor, is_on=halts)

    def trades(one: StreamRegistration, moment: datetime) -> bool:
        moment -= kis.ahead  # by KIS's clock: ours may be a minute behind when trading ends
        session = sessions.get(one.tr_key)
        quiet = one.tr_id == MARKET_STATES or one.tr_id in TOLD_ONCE
        if session is None or quiet or watch.is_stopped(one.tr_key, moment):
            return False
        return session.opens <= moment < session.continuous_end

    connections = kis.stream_connections(trades)
    told = FedStreams(plan, ingestor, clock)
    feed = FeedFollower(
        plan, connections, ingestor, keeper, clock, watch, told, lambda: kis.ahead, books=books
    )
    try:
        yield feed
    finally:
        for connection in connections:
            await connection.close()
        await feed.keep_the_rest()
        await keeper.flush()
        await told.write(floor_minute(clock.now()))
        if books:
            last = max(session.continuous_end for session in sessions.values())
            await books.close(over=clock.now() > last)


def _registrations(plan: DayPlan) -> dict[str, StreamRegistration]:
    """Return the registration of each symbol with bars."""
    return {bars.symbol: _trades_of(bars.symbol, night=plan.night) for bars in plan.bars}


def _trades_of(symbol: str, *, night: bool) -> StreamRegistration:
    """Return the registration of a symbol's trades: by day and at night TRs of their own."""
    found = parse(symbol)
    traded = found.contract if isinstance(found, Night) else found
    layouts = (one for one in LAYOUTS.values() if one.what == "trade" and one.night is night)
    tr_id = next(one.tr_id for one in layouts if isinstance(traded, one.kind))
    return StreamRegistration(tr_id, traded.code)
