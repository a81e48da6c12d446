"""How things stand: what is missing of the last sessions, and whether a collector does its work.

`just status`, the page and the coverage map read it here, so all of them say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Literal

import polars as pl

from engine.clock import Clock
from engine.columns import SESSION
from engine.history.delays import live_delays
from engine.history.feed_standing import FEED_SYMBOLS, FeedStanding
from engine.market import told_once
from engine.market.nights import HALF_DAY, is_night
from engine.market.sessions import Market, Session, previous_sessions, session
from engine.market.symbols import parse
from engine.store.identifiers import literal
from pipelines.feed import Feed
from pipelines.reports.environment import STALE_AFTER
from pipelines.reports.figures import LAST_SESSIONS, NEWEST, Ask, read_session_figures
from pipelines.reports.sql_text import sql_text

State = Literal["well", "amiss", "unknown"]
EXIT_CODES: dict[State, int] = {"well": 0, "amiss": 1, "unknown": 2}
STREAMS = ("stocks", "derivatives", "night", "chain", *told_once.STREAMS)
_FEED_BARS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("timestamp", pl.Datetime("us")),
        ("fetched_at", pl.Datetime("us")),
        ("committed_at", pl.Datetime("us")),
        ("since", pl.Datetime("us")),
    ]
)
_COLLECTOR = "SELECT status, timestamp FROM system_status WHERE component = 'collector'"


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of the collector: running, done or stopped."""

    status: str
    at: datetime


@dataclass(frozen=True)
class Standing:
    """What is known at one moment, KST: that of the clock, or of the simulation."""

    now: datetime
    simulated: bool
    figures: pl.DataFrame  # FIGURES of the last sessions that ought to have been collected
    gaps: pl.DataFrame  # MINUTES of them that are missing
    heartbeat: Heartbeat | None
    newest: pl.DataFrame = field(default_factory=NEWEST.to_frame)  # of what has no bars, too
    stale_after: float = STALE_AFTER  # seconds
    feed: FeedStanding | None = None  # None where the feed was not used on the day
    due: tuple[str, ...] = ()  # the symbols that ought to be collected on the moment's date

    @cached_property
    def today(self) -> pl.DataFrame:
        """FIGURES of the sessions of the moment's date, and of the night that is on."""
        return self.figures.filter(is_of_today(self.now))

    @property
    def by_stream(self) -> pl.DataFrame:
        """Figures of the last sessions by stream (stocks, derivatives, chain), newest first."""
        streams = {s: parse(s).ledger_market for s in self.figures["symbol"].unique()}
        return (
            self.figures.with_columns(
                stream=pl.col("symbol").replace_strict(streams, return_dtype=pl.String())
            )
            .group_by("session", "stream")
            .agg(pl.len().alias("symbols"), pl.exclude(*SESSION, "stream").sum())
            .sort("session", "stream", descending=[True, False])
        )

    @cached_property
    def opens(self) -> datetime | None:
        """When the first session of what is due today begins; None where nothing is."""
        day = self.now.date()
        found = [held.opens for symbol in self.due if (held := parse(symbol).session(day))]
        return min(found, default=None)

    @property
    def missing(self) -> int:
        """How many minutes of the last sessions are missing."""
        return int(self.figures["missing"].sum())

    @property
    def missing_today(self) -> int:
        """How many minutes of today are missing so far."""
        return int(self.today["missing"].sum())

    @property
    def missing_since(self) -> datetime | None:
        """The first minute of today that is missing."""
        found = self.gaps.filter(is_of_today(self.now))["stamp"].min()
        return found if isinstance(found, datetime) else None

    @cached_property
    def _sessions(self) -> list[Session]:
        pairs = self.today.select("symbol", "session").iter_rows()
        held = [parse(symbol).session(day) for symbol, day in pairs]
        return [session for session in held if session]

    @cached_property
    def _sessions_on(self) -> list[Session]:
        """Return those that a collector ought to be at: from shortly after the open on."""
        patience = timedelta(seconds=self.stale_after)
        return [s for s in self._sessions if s.opens + patience <= self.now < s.sealed_at]

    @property
    def session_is_on(self) -> bool:
        """Whether a collector ought to be at work: from shortly after the open until sealed."""
        return bool(self._sessions_on)

    @property
    def lacks_collector(self) -> bool:
        """Whether no collector runs although one ought to."""
        if not self.session_is_on:
            return False
        if self.heartbeat is None:
            return not self.simulated  # a simulation without a collector was only backfilled
        if self.heartbeat.status == "running":
            return (self.now - self.heartbeat.at).total_seconds() > self.stale_after
        if self.heartbeat.status != "done":
            return True
        # The day's collector is done before the night begins, and the night's before the day.
        return self.heartbeat.at < min(session.opens for session in self._sessions_on)

    @property
    def nobody_collected(self) -> bool:
        """Whether the day is over and lacks minutes because no collector was there for them."""
        begun = [session for session in self._sessions if session.opens <= self.now]
        over = all(session.sealed_at <= self.now for session in begun)
        if not (begun and over and self.missing_today):
            return False
        first = min(session.opens for session in begun)
        return self.heartbeat is None or self.heartbeat.at < first

    @property
    def state(self) -> State:
        """Well, amiss, or unknown as long as there are no data."""
        if self.lacks_collector or self.missing:
            return "amiss"
        return "unknown" if self.figures.is_empty() else "well"

    @property
    def exit_code(self) -> int:
        """Return 0 if all is well, 1 if something is amiss, 2 if that is unknown."""
        return EXIT_CODES[self.state]


def present_moment(ask: Ask, clock: Clock, *, simulated: bool) -> datetime:
    """Return the moment to judge by: of a simulation its own, whatever the clock says."""
    if simulated:
        moment = ask(sql_text("standing", "simulated_moment.sql"))["moment"].to_list()[0]
        return moment or clock.now()
    return clock.now()


def read_standing(
    ask: Ask,
    now: datetime,
    *,
    simulated: bool,
    feed: Feed | None = None,
    sessions: int = LAST_SESSIONS,
    stale_after: float = STALE_AFTER,
) -> Standing:
    """Read how things stand at a moment. `feed` is what the settings say is collected."""
    last = now.date()
    earlier = previous_sessions(Market.STOCKS, last, sessions - 1)
    first, tonight = min(earlier, default=last), night_on(now)
    begin = min(first, tonight.date) if tonight else first
    read = read_session_figures(ask, begin, last, now, feed)
    due = read.wanted.filter(pl.col("session") == last)["symbol"]
    counts = (pl.col("session") >= first) | is_of_today(now)
    beats = [Heartbeat(*row) for row in ask(_COLLECTOR).iter_rows()]
    beat = next(iter(beats), None)
    fed = read_feed_standing(ask, now)
    return Standing(
        now,
        simulated,
        read.figures.filter(counts),
        read.missing.filter(counts),
        beat,
        read.newest,
        stale_after,
        fed,
        tuple(due),
    )


def night_on(now: datetime) -> Session | None:
    """Return the night that is on at a moment; None if none is."""
    evening = (now - HALF_DAY).date()
    found = session(Market.NIGHT, evening)
    return found if found and found.opens <= now < found.sealed_at else None


def is_of_today(now: datetime) -> pl.Expr:
    """Say of rows with symbol and session whether they are of the moment's date.

    After midnight the night that is on counts, too, although its date is that of the evening.
    """
    tonight = night_on(now)
    today = pl.col("session") == now.date()
    if tonight is None:
        return today
    return today | (is_night(pl.col("symbol")) & (pl.col("session") == tonight.date))


def begin_of_today(now: datetime) -> datetime:
    """Return when the moment's date began; after midnight, while a night is on, when that began."""
    tonight = night_on(now)
    midnight = datetime.combine(now.date(), time())
    return min(midnight, tonight.opens) if tonight else midnight


def read_feed_standing(ask: Ask, now: datetime) -> FeedStanding | None:
    """Read how the feed does in the night that is on, else on the moment's day; None without it."""
    tonight = night_on(now)
    day = tonight.date if tonight else now.date()
    symbols = sql_text("standing", "feed_symbols.sql", session=literal(day))
    states = ask(symbols).cast(FEED_SYMBOLS)
    of_nights = states.filter(is_night(pl.col("symbol")))
    if tonight and of_nights.height:
        states = of_nights
    if states.is_empty():
        return None
    today = {"begin": literal(begin_of_today(now)), "now": literal(now)}
    bars = ask(sql_text("standing", "feed_bars.sql", **today)).cast(_FEED_BARS)
    bars = bars.filter(pl.col("symbol").is_in(states["symbol"].implode()))
    return FeedStanding(states, live_delays(bars))


def read_figures(ask: Ask, first: date, last: date, now: datetime) -> pl.DataFrame:
    """Return FIGURES of all sessions from first to last that ought to be collected."""
    return read_session_figures(ask, first, last, now, with_missing=False).figures
