"""The plan of a day: which contracts are collected in which sessions.

A `Feed` (`pipelines.feed`) says what a user wants, by names that mean another contract in
another month; `plan` says what that is on a date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from engine.clock import Clock, today
from engine.errors import InputError
from engine.market import sessions
from engine.market.sessions import Market, Session
from engine.market.symbols import (
    Contract,
    FrontChain,
    FrontMonth,
    FrontNight,
    Night,
    NightChain,
    Option,
    OptionChain,
    Stock,
    VenueStock,
    night_chain,
    parse,
)
from engine.market.told_once import ToldOnce, parse_collect
from engine.market.trading_days import is_doubtful_night, next_trading_day_from
from pipelines.feed import Feed, stocks_or_universes

NIGHT_OF = "night of "  # before the date of a night, where a session is named in words


@dataclass(frozen=True)
class BarPlan:
    """One symbol whose bars are collected on a date."""

    symbol: str
    session: Session

    @property
    def source(self) -> str:
        """The fetcher that brings its bars."""
        found = parse(self.symbol)
        if isinstance(found, VenueStock):
            return "venue"
        return "stock" if isinstance(found, Stock) else "deriv"

    @property
    def table(self) -> str:
        """The table that its bars belong to."""
        return parse(self.symbol).table


@dataclass(frozen=True)
class ChainPlan:
    """One option chain that is collected on a date."""

    chain: OptionChain
    session: Session

    @property
    def series(self) -> str:
        """The name of its series: KOSPI200, KOSPI200_WEEKLY_MON …"""
        return self.chain.series.name

    @property
    def maturity(self) -> str:
        """YYYYMM, of weekly series YYMMWW."""
        return self.chain.maturity

    @property
    def underlying_symbol(self) -> str:
        """The name of the chain in every table, e.g. `202612_KOSPI200`."""
        return self.chain.code

    @property
    def source(self) -> str:
        """The fetcher that brings its snapshots."""
        return "night_chain" if isinstance(self.chain, NightChain) else "option_chain"


@dataclass(frozen=True)
class StreamPlan:
    """What KIS tells only once of one subject, collected on a date."""

    symbol: ToldOnce
    session: Session

    @property
    def code(self) -> str:
        """Its name in the ledger: FLOWS_KOSPI."""
        return self.symbol.code

    @property
    def target(self) -> tuple[str, date]:
        """Code and session, by which the ledger keeps its minutes."""
        return self.code, self.session.date


@dataclass(frozen=True)
class DayPlan:
    """Everything that is collected on a date, with the contracts of that date."""

    day: date
    bars: tuple[BarPlan, ...] = ()
    chains: tuple[ChainPlan, ...] = ()
    skipped: tuple[str, ...] = field(default=())  # what has no session on that date
    night: bool = False  # whether it is the night that begins on the date, not the day
    nights: tuple[str, ...] = ()  # the symbols whose nights are collected beside the days
    streams: tuple[StreamPlan, ...] = ()  # what KIS tells only once
    tonight: DayPlan | None = None  # of a day: the night that begins on the date
    universes: tuple[str, ...] = ()  # what stocks were named by
    sweep: tuple[str, ...] = ()  # stocks and universes whose bars are brought in after the close
    snapshot: tuple[str, ...] = ()  # stocks and universes that are quoted once a minute

    @property
    def name(self) -> str:
        """The session's name in words: 2026-11-18, or night of 2026-11-18."""
        return f"{NIGHT_OF}{self.day}" if self.night else f"{self.day}"

    @property
    def sessions(self) -> list[Session]:
        """The sessions of all subscriptions."""
        parts: list[BarPlan | ChainPlan | StreamPlan] = [
            *self.bars,
            *self.chains,
            *self.streams,
        ]
        of_stocks = (self.universes or self.sweep or self.snapshot) and not self.night
        stocks = [Market.STOCKS] if of_stocks else []
        held = (sessions.session(market, self.day) for market in stocks)
        return [*(part.session for part in parts), *filter(None, held)]

    def subjects(self, stream: str) -> list[str]:
        """Return what a stream of what is told once is collected of."""
        return [one.symbol.subject for one in self.streams if one.symbol.stream.name == stream]

    @property
    def begins(self) -> datetime:
        """When the first of all minutes begins: the open, or that of orders for its auction."""
        first = [stream.symbol.begins(stream.session) for stream in self.streams]
        return min([*first, *(session.opens for session in self.sessions)])

    @property
    def names(self) -> list[str]:
        """What is collected, by name."""
        symbols = [bars.symbol for bars in self.bars]
        return [*symbols, *(chain.underlying_symbol for chain in self.chains)]

    @property
    def by_feed(self) -> DayPlan:
        """What the feed can bring: it has no other venue than KRX's regular session."""
        elsewhere = self.at_venues
        return replace(self, bars=tuple(one for one in self.bars if one not in elsewhere))

    @property
    def at_venues(self) -> tuple[BarPlan, ...]:
        """Its bars at the venues beside KRX's regular session."""
        return tuple(one for one in self.bars if isinstance(parse(one.symbol), VenueStock))

    @property
    def handed_on(self) -> tuple[BarPlan, ...]:
        """What is collected to the day's end, and by the run of the night after that."""
        return self.tonight.at_venues if self.tonight else ()

    @property
    def kept(self) -> list[str]:
        """Everything of which each minute is counted: `names`, and what is told once."""
        return [*self.names, *(stream.code for stream in self.streams)]

    @property
    def futures(self) -> list[str]:
        """The futures contracts collected, the strategy's symbols among them."""
        return [bars.symbol for bars in self.bars if bars.table == "futures_1m"]

    def watched(self, *, nights: bool) -> list[str]:
        """Return what a strategy follows: futures, of a night only if it asks for `nights`."""
        if not self.night:
            return self.futures
        return [one.symbol for one in self.bars if one.session.market is Market.NIGHT and nights]


def plan(feed: Feed, day: date) -> DayPlan:
    """Resolve front months and sessions for a date. Raises CalendarRangeError, InputError."""
    symbols = dict.fromkeys(_on(text, day) for text in (*feed.futures, *feed.regular_stocks))
    chains = dict.fromkeys(
        chain.on(day) if isinstance(chain, FrontChain) else chain for chain in feed.option_chains
    )
    contracts, stocks = (
        [symbol.code for symbol in symbols if isinstance(symbol, kind)]
        for kind in (Contract, Stock)
    )
    streams = dict.fromkeys(
        told for text in feed.streams for told in parse_collect(text, contracts, stocks)
    )
    for told in streams:
        if not told.stream.calls and told.subject not in contracts:
            raise InputError(f"{told.stream.name} comes with bars: collect {told.subject} as well")
    held = {symbol: symbol.session(day) for symbol in (*symbols, *chains, *streams)}
    bars = tuple(BarPlan(symbol.code, found) for symbol in symbols if (found := held[symbol]))
    tonight = plan_night(feed, day) if feed.night else None
    venues = () if tonight and tonight.at_venues else _bars_at_venues(feed, day)
    absent = [stock.code for stock in feed.stocks_at_venues if not stock.session(day)]
    return DayPlan(
        day,
        (*bars, *venues),
        tuple(ChainPlan(chain, found) for chain in chains if (found := held[chain])),
        (*(symbol.code for symbol, found in held.items() if not found), *absent),
        streams=tuple(StreamPlan(told, found) for told in streams if (found := held[told])),
        nights=feed.nights,
        tonight=tonight,
        universes=feed.universes,
        sweep=stocks_or_universes("sweep", feed.sweep),
        snapshot=stocks_or_universes("snapshot", feed.snapshot),
    )


def _bars_at_venues(feed: Feed, day: date) -> tuple[BarPlan, ...]:
    found = ((stock.code, stock.session(day)) for stock in feed.stocks_at_venues)
    return tuple(BarPlan(code, session) for code, session in found if session)


def plan_night(feed: Feed, day: date) -> DayPlan:
    """Resolve the nights that begin on a date. Raises CalendarRangeError, InputError.

    The evening of the other venues is on when the night begins, and one run is on at a time: that
    of the night goes on with it. A night that may not be held has nothing else in its run, and
    begins when the venues have closed.
    """
    if sessions.session(Market.NIGHT, day) is None:
        return DayPlan(day, skipped=feed.nights, night=True, nights=feed.nights)
    symbols = dict.fromkeys(
        symbol.on(day) if isinstance(symbol, FrontNight) else symbol
        for symbol in map(parse, feed.nights)
    )
    chains = [_chain_at_night(chain, day) for chain in feed.option_chains]
    held = {symbol: symbol.session(day) for symbol in (*symbols, *chains)}
    bars = tuple(BarPlan(symbol.code, found) for symbol in symbols if (found := held[symbol]))
    return DayPlan(
        day,
        bars if is_doubtful_night(day) else (*bars, *_bars_at_venues(feed, day)),
        tuple(ChainPlan(chain, found) for chain in chains if (found := held[chain])),
        skipped=tuple(symbol.code for symbol, found in held.items() if not found),
        night=True,
        nights=feed.nights,
        sweep=stocks_or_universes("sweep", feed.sweep),
    )


def _chain_at_night(chain: OptionChain | FrontChain, day: date) -> NightChain:
    """Return the chain of a night, of a front one that of the trading day that follows."""
    following = next_trading_day_from(day + timedelta(days=1))
    return night_chain(chain.on(following) if isinstance(chain, FrontChain) else chain)


def _on(text: str, day: date) -> Stock | Contract | Option:
    symbol = parse(text)
    if isinstance(symbol, VenueStock):
        raise InputError(
            f"{text} means another venue: collect {symbol.stock}, with {symbol.venue.name} among"
            " the `venues`"
        )
    if isinstance(symbol, OptionChain):
        raise InputError(f"{text} is an option chain, which has no bars: name it as --chain")
    if isinstance(symbol, Night | FrontNight):
        raise InputError(f"{text} means nights: collect the future, with `night` set to true")
    if isinstance(symbol, ToldOnce):
        raise InputError(f"{text} has no bars: name {symbol.stream.name} under `collect`")
    return symbol.on(day) if isinstance(symbol, FrontMonth) else symbol


def next_plan(feed: Feed, clock: Clock) -> DayPlan:
    """Return the plan of the session that is on or comes next. Raises CalendarRangeError.

    Where nights are collected that is a day or a night; last evening's may still be on.
    """
    day = today(clock) - timedelta(days=1) if feed.night else today(clock)
    while True:
        for found in _plans_of(feed, day):
            if any(session.sealed_at > clock.now() for session in found.sessions):
                return found
        day += timedelta(days=1)


def _plans_of(feed: Feed, day: date) -> Iterator[DayPlan]:
    yield plan(feed, day)
    if feed.night:
        yield plan_night(feed, day)
