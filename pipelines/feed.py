"""What is collected: the subscriptions of a day, as a user names them.

`DataFeedBuilder`, the settings and the command line all end in a `Feed`; `pipelines.day_plan` turns
it into the contracts and sessions of a date, `pipelines.day.live.run` collects it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.errors import InputError
from engine.market.symbols import (
    NIGHT_SUFFIX,
    Contract,
    FrontChain,
    FrontMonth,
    OptionChain,
    Stock,
    VenueStock,
    parse,
    parse_chain,
)
from engine.market.told_once import parse_collect
from engine.market.universes import UNIVERSES, split_universes
from engine.market.venues import REGULAR, VENUES, at_venue, read_venues
from engine.settings import Settings


@dataclass(frozen=True)
class Feed:
    """Stocks by code, futures by code or product (its front month is meant), option chains.

    With `night` those of the futures and chains, too, which are sessions of their own.
    `streams` of what KIS tells only once come beside these. `venues` are where the stocks are
    collected: J is KRX's regular session (`engine.market.venues`). `universes` are names that stand
    for more stocks; `pipelines.universes` puts their members of a day among `stocks`. `sweep` are
    stocks and universes whose bars are brought in after the close, `snapshot` those that are quoted
    together once a minute.
    """

    stocks: tuple[str, ...] = ()
    futures: tuple[str, ...] = ()
    option_chains: tuple[OptionChain | FrontChain, ...] = ()
    night: bool = False
    streams: tuple[str, ...] = ()  # told once, as the settings' `collect` names them
    venues: tuple[str, ...] = (REGULAR,)
    universes: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    snapshot: tuple[str, ...] = ()

    @property
    def regular_stocks(self) -> tuple[str, ...]:
        """The stocks whose regular session is collected."""
        return self.stocks if REGULAR in self.venues else ()

    @property
    def stocks_at_venues(self) -> tuple[VenueStock, ...]:
        """The stocks at the venues beside KRX's regular session."""
        return tuple(
            at_venue(stock, venue)
            for venue in self.venues
            for stock in self.stocks
            if venue in VENUES
        )

    @property
    def nights(self) -> tuple[str, ...]:
        """The symbols of the nights: A01_NIGHT for A01."""
        return tuple(f"{text}{NIGHT_SUFFIX}" for text in self.futures if self.night)

    def __bool__(self) -> bool:
        return bool(self.stocks or self.universes or self.futures or self.option_chains)


class DataFeedBuilder:
    """Says in Python what is collected: `DataFeedBuilder().add_deriv("A01").build()`."""

    def __init__(self) -> None:
        self._feed = Feed()

    def add_stock(self, symbol: str) -> DataFeedBuilder:
        """Collect the minute bars of a stock, e.g. `005930`, or of a universe, e.g. `KOSPI200`.

        Raises InputError.
        """
        universes, stocks = read_stocks((symbol,))
        self._feed = replace(
            self._feed,
            universes=(*self._feed.universes, *universes),
            stocks=(*self._feed.stocks, *stocks),
        )
        return self

    def add_deriv(self, symbol: str) -> DataFeedBuilder:
        """Collect the minute bars of a futures code (`A01612`) or a product's front month (`A01`).

        Raises InputError.
        """
        if not isinstance(parse(symbol), Contract | FrontMonth):
            raise InputError(f"{symbol} is not a futures code or product; try A01 or A01612")
        self._feed = replace(self._feed, futures=(*self._feed.futures, symbol))
        return self

    def add_option_chain(
        self, maturity: str = "front", series: str = "KOSPI200"
    ) -> DataFeedBuilder:
        """Collect the option chain of a series and maturity each minute. Raises InputError."""
        chain = parse_chain(f"{series}:{maturity}")
        self._feed = replace(self._feed, option_chains=(*self._feed.option_chains, chain))
        return self

    def add_nights(self) -> DataFeedBuilder:
        """Collect the nights of the futures and chains as well as their days."""
        self._feed = replace(self._feed, night=True)
        return self

    def add_venue(self, venue: str) -> DataFeedBuilder:
        """Collect the stocks at another venue, too: `AFTER`, `NX` or `UN`. Raises InputError."""
        venues = read_venues((*self._feed.venues, venue))
        self._feed = replace(self._feed, venues=venues)
        return self

    def collect(self, stream: str) -> DataFeedBuilder:
        """Keep what KIS tells only once: `state`, `flows`, `flows:KOSPI` … Raises InputError."""
        parse_collect(stream, [])
        self._feed = replace(self._feed, streams=(*self._feed.streams, stream))
        return self

    def build(self) -> Feed:
        """Return what was asked for. Raises InputError if that is nothing."""
        if not self._feed:
            raise InputError("nothing to collect: add a stock, a future or an option chain")
        return self._feed


def configured_feed(settings: Settings) -> Feed:
    """Return what the settings say is collected. Raises InputError."""
    chains = tuple(parse_chain(text) for text in settings.option_chains)
    universes, stocks = read_stocks((*settings.stocks, *settings.follow))
    return Feed(
        stocks,
        settings.futures,
        chains,
        settings.night,
        settings.collect,
        read_venues(settings.venues),
        universes,
        settings.sweep,
        settings.snapshot,
    )


def read_stocks(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the universes and the stocks' codes among the texts. Raises InputError."""
    universes, codes = split_universes(texts)
    if wrong := [code for code in codes if not _is_stock(code)]:
        raise InputError(
            f"{wrong[0]!r} is not a stock's code, which has six characters (005930), nor one of"
            f" {', '.join(UNIVERSES)}; `just symbols {wrong[0]}` looks for it by code or name"
        )
    return universes, codes


def _is_stock(text: str) -> bool:
    """Say whether a text is a stock's code. Raises InputError where a nought was forgotten."""
    try:
        return isinstance(parse(text), Stock)
    except InputError:
        if text.isdecimal():
            raise
        return False


def with_wishes(feed: Feed, settings: Settings) -> Feed:
    """Return a feed with what the settings add to any: nights, streams, venues, stocks."""
    return replace(
        feed,
        night=settings.night,
        streams=settings.collect,
        venues=read_venues(settings.venues),
        sweep=settings.sweep,
        snapshot=settings.snapshot,
    )


def stocks_or_universes(setting: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts if each is a stock or a universe. Raises InputError."""
    for text in split_universes(texts)[1]:
        if not _is_stock(text):
            raise InputError(f"{text} is not a stock: `{setting}` takes stocks and universes")
    return texts
