"""What a seed draws for each session of a season. The draw depends on (seed, number) only."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from engine.market import sessions
from engine.market.sessions import Market, Session
from engine.market.symbols import parse_chain
from engine.market.trading_days import is_doubtful_night
from engine.simulator.faults.injector import FaultInjector
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.session_rows import SessionRows
from pipelines.day_plan import DayPlan
from pipelines.feed import Feed
from tests.soak.fault_scenarios import draw_weather, with_stream_rules
from tests.soak.markets import ORDINARY, SeasonMarket, draw_market
from tests.soak.orders import DRAWN_FREELY, MINUTE, SeasonKind, SessionOrders

STOCKS = ("005930", "000660", "035420", "005380", "068270", "105560")
CHAINS = ("KOSPI200_WEEKLY_MON", "KOSDAQ150")  # boards that KIS does not cut: no single quotes
CHAIN_EVERY = 15  # sessions, on average: a chain takes minutes to compute
IN_TIME = 0.25  # share of days that are collected from the open on; the others cost less
WITH_FEED = 0.5  # share of sessions in which the WebSocket is used
WITH_STREAMS = 0.3  # share of configurations that collect what KIS tells only once …
WITH_SWEEP = 0.3  # … that bring in the bars of further stocks after the close …
WITH_NIGHTS = 0.5  # … and that collect nights: one of their four sessions is one
WHOLE_MARKET = "all"
STREAMS = ("state", "flows", "programme", "index", "auctions")
SAME_FEED = 4  # sessions in a row with the same configuration
ZONES = ("America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe")
DST_CHANGES = (
    date(2025, 11, 3),
    date(2026, 3, 9),
    date(2026, 3, 30),
    date(2026, 4, 6),
    date(2026, 10, 5),
    date(2026, 10, 26),
    date(2026, 11, 2),
)  # the sessions after one in a zone above
BEFORE_OPEN = timedelta(minutes=15)
LAST_HOUR = timedelta(minutes=60)
QUIET_BEFORE = timedelta(minutes=20)  # the close is sealed; a quiet session is begun then

KINDS = {  # what may happen, and how often in comparison with the rest
    "kill": 8,
    "interrupt": 3,
    "terminate": 2,
    "server": 5,
    "away": 3,
    "disk": 2,
    "both disks": 2,
    "clock": 4,
    "second": 3,
}
ENDS_THE_PROCESS = ("kill", "interrupt", "terminate")


@dataclass(frozen=True)
class Event:
    """Something that happens at a moment of the session and, if it lasts, is over at another.

    A process that it ended is started again at `until`; None: on the next morning.
    """

    what: str
    at: datetime
    until: datetime | None
    amount: float = 0.0  # of a clock step: seconds; else: a number in [0, 1) for how it is done

    def __str__(self) -> str:
        size = f" {self.amount:+.0f} s" if self.what == "clock" else ""
        until = f"{self.until:%H:%M}" if self.until else "next morning"
        return f"{self.what}{size} {self.at:%H:%M} to {until}"


@dataclass(frozen=True)
class SessionPlan:
    """What is drawn for a session."""

    number: int
    day: date
    starts: datetime  # when the collector is started, or wakes
    feed: Feed
    polling: float
    zone: str
    weather: str
    scenario: Scenario
    events: tuple[Event, ...]
    stream: bool = False  # whether the feed is on
    market: str = ORDINARY  # what the market does
    night: bool = False  # whether it is the night that begins on the day

    @property
    def plan(self) -> DayPlan:
        """What is collected, with the contracts of the day."""
        return self.orders.plan

    @property
    def sweeps_the_market(self) -> bool:
        """Whether the bars of all listed stocks come after the close."""
        return self.feed.sweep == (WHOLE_MARKET,)

    @property
    def orders(self) -> SessionOrders:
        """What the collector is told of it."""
        return SessionOrders(
            number=self.number,
            day=self.day,
            night=self.night,
            starts=self.starts,
            feed=self.feed,
            stream=self.stream,
            polling=self.polling,
            zone=self.zone,
            steps=tuple(self.steps),
            marks=tuple(moment for moment, _ in self.marks),
        )

    @property
    def steps(self) -> list[tuple[datetime, timedelta]]:
        """From when on the host's clock is how far ahead of KIS's."""
        found: list[tuple[datetime, timedelta]] = []
        for event in self.events:
            if event.what == "clock":
                found.append((event.at, timedelta(seconds=event.amount)))
                found += [(event.until, timedelta())] if event.until else []
        return sorted(found)

    @property
    def marks(self) -> list[tuple[datetime, Event]]:
        """The moments at which the parent acts: an event begins or ends."""
        ours = [event for event in self.events if event.what != "clock"]
        begins = [(event.at, event) for event in ours]
        lasting = [e for e in ours if e.what not in ("second", *ENDS_THE_PROCESS)]
        ends = [(event.until, event) for event in lasting if event.until]
        return sorted([*begins, *ends], key=lambda mark: mark[0])

    @property
    def drawn(self) -> list[str]:
        """The names of what was drawn."""
        chains = ["chain"] * bool(self.feed.option_chains)
        zone = [self.zone] * (self.zone != "Asia/Seoul")
        late = ["late start"] * (self.starts > earliest_start(self.day, night=self.night))
        feed = ["feed"] * self.stream
        night = ["night"] * self.night
        of_day = [] if self.night else [("streams", self.feed.streams), ("sweep", self.feed.sweep)]
        beside = [name for name, wanted in of_day if wanted]
        market = [self.market] * (self.market != ORDINARY)
        events = (event.what for event in self.events)
        return [
            *(self.weather, *events, *chains, *zone, *late, *feed, *market),
            *(*night, *beside),
        ]

    def __str__(self) -> str:
        what = ", ".join(
            [self.weather, *map(str, self.events), *self.drawn[1 + len(self.events) :]]
        )
        return f"session {self.number} ({self.day} {self.starts:%H:%M}): {what}"


@dataclass(frozen=True)
class Season:
    """Consecutive sessions from a date on, numbered from 1; the last one is quiet."""

    seed: int
    days: tuple[date, ...]
    first: int = 1
    kind: SeasonKind = DRAWN_FREELY

    def __getitem__(self, number: int) -> SessionPlan:
        day = self.days[number - self.first]
        quiet = number == self.last
        drawn = draw(self.seed, number, day, self.kind, quiet=quiet)
        if not self.kind.one_life:
            return drawn
        harmless = tuple(e for e in drawn.events if e.what not in ENDS_THE_PROCESS)
        return replace(drawn, events=harmless)

    @property
    def last(self) -> int:
        """The number of the last session."""
        return self.first + len(self.days) - 1

    def market(self, *, but: date | None = None) -> SeasonMarket:
        """Return the season's market, made anew; without what is drawn for the day `but`."""
        drawn = {day: self[self.first + n].scenario for n, day in enumerate(self.days)}
        moved = {d: s for d, s in drawn.items() if d != but and (s.move or s.halt)}
        return SeasonMarket(SyntheticMarket(self.seed), moved)

    def add_faults(self, session_rows: SessionRows) -> SessionRows:
        """Return the session with its own scenario's faults, whichever day it is asked for."""
        day = session_rows.session.date
        if day not in self.days:
            return session_rows
        scenario = self[self.first + self.days.index(day)].scenario
        return FaultInjector(scenario, day, Counter()).add_faults(session_rows)


def plan_season(
    seed: int,
    start: date,
    count: int,
    only: range | None = None,
    kind: SeasonKind = DRAWN_FREELY,
) -> Season:
    """Return a season of `count` sessions, or `only` those of these numbers, and a quiet one."""
    days = sessions.session_dates(Market.DERIVATIVES, start, start + timedelta(days=2 * count + 60))
    played = only or range(1, count + 1)
    dates = tuple(days[played.start - 1 : played.stop])
    return Season(seed, dates, played.start, kind)


def draw(
    seed: int, number: int, day: date, kind: SeasonKind = DRAWN_FREELY, *, quiet: bool = False
) -> SessionPlan:
    """Draw a session; a quiet one has fine weather and no events."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311
    feed, polling = _configuration(seed, number, chance)
    if kind.whole_market:
        feed = replace(feed, sweep=(WHOLE_MARKET,), night=False)
    night = feed.night and number % SAME_FEED == SAME_FEED - 1 and is_held_at_night(day)
    if night:  # when a chain has no board, but takes a call for each option
        feed = replace(feed, option_chains=())
    zone = "Asia/Seoul"
    if day in DST_CHANGES or chance.random() < 0.1:
        zone = chance.choice(ZONES)
    weather, scenario = draw_weather(chance, number)
    feed_chance = random.Random(f"{seed}/stream/{number}")  # noqa: S311 - all else stays as drawn
    stream = feed_chance.random() < WITH_FEED
    if stream and weather == "drawn":
        scenario = with_stream_rules(scenario, feed_chance)
    market_chance = random.Random(f"{seed}/market/{number}")  # noqa: S311 - nor here
    market, moves = draw_market(market_chance, feed.stocks)
    if night:  # what is drawn for a market is of the day
        market, moves = ORDINARY, Scenario()
    scenario = scenario.model_copy(update={"move": moves.move, "halt": moves.halt})
    starts = _start(day, chance, night=night, last_hour=kind.last_hours)
    drawn = SessionPlan(
        number, day, starts, feed, polling, zone, weather, scenario, (), stream, market, night
    )
    if quiet:
        late = _session(day, night=night).sealed_at - QUIET_BEFORE
        return replace(
            drawn,
            starts=late,
            zone="Asia/Seoul",
            weather="fine",
            scenario=Scenario(),
            market=ORDINARY,
        )
    count = chance.choices([0, 1, 2, 3], [15, 40, 30, 15])[0]
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    events = _in_turn([_event(kind, drawn, chance) for kind in kinds])
    return replace(drawn, events=events)


def is_held_at_night(day: date) -> bool:
    """Say whether a night begins on the day, and is sure to be held."""
    held = sessions.session(Market.NIGHT, day)
    return held is not None and not is_doubtful_night(day)


def earliest_start(day: date, *, night: bool = False) -> datetime:
    """Return when a collector that is in time is started for the day, or for its night."""
    return _session(day, night=night).opens - BEFORE_OPEN


def _start(day: date, chance: random.Random, *, night: bool, last_hour: bool) -> datetime:
    """Draw when it is started: in time, or at some minute after two hours, to catch up."""
    sealed_at = _session(day, night=night).sealed_at
    earliest = earliest_start(day, night=night)
    first = sealed_at - LAST_HOUR if last_hour else earliest + 120 * MINUTE
    late = first + MINUTE * chance.randrange(int((sealed_at - 5 * MINUTE - first) / MINUTE))
    in_time = chance.random() < IN_TIME and not last_hour
    return earliest if in_time else late


def _session(day: date, *, night: bool) -> Session:
    session = sessions.session(Market.NIGHT if night else Market.DERIVATIVES, day)
    assert session is not None
    return session


def _configuration(seed: int, number: int, chance: random.Random) -> tuple[Feed, float]:
    """Draw what is collected: the same for some sessions, but a new chain for each."""
    lasting = random.Random(f"{seed}/configuration/{number // SAME_FEED}")  # noqa: S311
    stocks = lasting.sample(STOCKS, lasting.choice([1, 1, 1, 2, 3]))
    chains = (
        (parse_chain(f"{chance.choice(CHAINS)}:front"),)
        if chance.random() * CHAIN_EVERY < 1
        else ()
    )
    polling = lasting.choice([1.0, 2.0, 2.0, 5.0])
    streams = _some(lasting, STREAMS, WITH_STREAMS)
    swept = _some(lasting, [code for code in STOCKS if code not in stocks], WITH_SWEEP)
    night = lasting.random() < WITH_NIGHTS
    feed = Feed(tuple(stocks), ("A01",), chains, night=night, streams=streams, sweep=swept)
    return feed, polling


def _some(chance: random.Random, choices: Sequence[str], share: float) -> tuple[str, ...]:
    """Return a few of the choices, or none in all but a share of the draws."""
    drawn = tuple(chance.sample(choices, chance.randint(1, 3)))
    return drawn if chance.random() < share else ()


def _event(what: str, session: SessionPlan, chance: random.Random) -> Event:
    first = session.starts + 2 * MINUTE
    last = _session(session.day, night=session.night).sealed_at + MINUTE
    at = first + MINUTE * chance.randrange(int((last - first) / MINUTE))
    at += timedelta(seconds=chance.randrange(60))
    amount = chance.random()
    if what == "clock":
        amount = chance.choice([-1, 1]) * chance.choice([1, 5, 20, 70, 200])
    # Who does not come back to a night does not know of it in the configurations that follow.
    if what in ENDS_THE_PROCESS and chance.random() < 0.15 and not session.night:
        return Event(what, at, None, amount)
    if what in ("disk", "both disks"):  # the room left in half-filled pages lasts a while
        return Event(what, at, at + MINUTE * chance.randint(15, 60), amount)
    longest = chance.choice([1, 5, 40])
    return Event(what, at, at + MINUTE * chance.randint(1, longest), amount)


def _in_turn(events: list[Event]) -> tuple[Event, ...]:
    """Sort events by time; nothing of the same kind begins while one is on."""
    kept: list[Event] = []
    for event in sorted(events, key=lambda event: event.at):
        before = next((e for e in kept if _same(e, event)), None)
        if before is None or (before.until and before.until < event.at):
            kept.append(event)
    return tuple(kept)


def _same(one: Event, other: Event) -> bool:
    """Say whether two kinds get into each other's way: all that end the process, or one kind."""
    disks = ("disk", "both disks")
    alike = [ENDS_THE_PROCESS, disks, ("server", "away")]
    return one.what == other.what or any(one.what in a and other.what in a for a in alike)
