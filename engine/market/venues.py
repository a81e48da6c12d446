"""Venues of a stock beside KRX's regular session, each with its own market, symbol and calls.

A share trades at KRX and at Nextrade (NXT), at both also outside KRX's regular session. KIS answers
by venue: J is KRX, NX is Nextrade, UN is both together. The regular session is the stock's own
symbol, 005930, with its bars in `stocks_1m`; each other venue is a symbol of its own, with its bars
in `stocks_venue_1m`, so that no query about one returns a bar of another:

    005930_AFTER   J, KRX's after-market, since 2026-09-14
    005930_NX      NX, Nextrade from its pre-market to its after-market
    005930_UN      UN, both, as KIS has it

That UN is the sum of J and NX is likely but not confirmed (docs/kis.md#venues). So nothing is
computed from one venue for another, and no answer about one settles a minute of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import polars as pl

from engine.errors import InputError
from engine.market import names
from engine.market.hours import Market, Session, session
from engine.market.products import STOCK_TICKS, Ticks, tick_size

VENUE_TABLE = "stocks_venue_1m"
REGULAR = "J"  # as the settings name KRX's regular session


@dataclass(frozen=True)
class Venue:
    """Where and when stocks trade beside KRX's regular session."""

    name: str  # as the settings and the symbols have it
    code: str  # FID_COND_MRKT_DIV_CODE, and the column `venue` of the bars
    market: Market
    english: str
    korean: str

    @property
    def suffix(self) -> str:
        """What its symbols end with: _NX."""
        return f"_{self.name}"


VENUES: dict[str, Venue] = {
    venue.name: venue
    for venue in (
        Venue("AFTER", "J", Market.AFTER, "KRX after-market", "애프터마켓"),
        Venue("NX", "NX", Market.NXT, "Nextrade", "넥스트레이드"),
        Venue("UN", "UN", Market.UNIFIED, "KRX and Nextrade", "통합"),
    )
}


@dataclass(frozen=True)
class VenueStock:
    """A stock at one venue beside KRX's regular session. Prices in KRW; `stock` is its code."""

    code: str  # under which everything is stored: 005930_NX
    stock: str
    venue: Venue

    table: ClassVar[str] = VENUE_TABLE
    product: ClassVar[None] = None
    ticks: ClassVar[Ticks] = STOCK_TICKS

    def __str__(self) -> str:
        return self.code

    @property
    def market(self) -> Market:
        """The market, whose hours the venue keeps."""
        return self.venue.market

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market: after, nxt or unified."""
        return self.market.value

    @property
    def name_en(self) -> str:
        """Its name for people in English: Samsung Electronics 005930, Nextrade."""
        return f"{names.english_stock(self.stock)}, {self.venue.english}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 삼성전자 005930 넥스트레이드."""
        return f"{names.korean_stock(self.stock)} {self.venue.korean}"

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the venue's session on the day; None if it has none. Raises CalendarRangeError."""
        return None if night else session(self.market, day)

    def expected_stamps(self, day: date) -> pl.Series:
        """Return the stamp (KST) of every bar that must exist in the session, ascending."""
        found = self.session(day)
        return found.stamps() if found else pl.Series("stamp", [], pl.Datetime("us"))

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, KRW."""
        return tick_size(self.ticks, price)


def regular_session(after: Session) -> Session | None:
    """Return KRX's regular session before its after-market; None for any other session."""
    return session(Market.STOCKS, after.date) if after.market is Market.AFTER else None


def at_venue(stock: str, name: str) -> VenueStock:
    """Return the symbol of a stock at the venue that VENUES has under a name."""
    venue = VENUES[name]
    return VenueStock(f"{stock}{venue.suffix}", stock, venue)


def market_of_stock(symbol: pl.Expr) -> pl.Expr:
    """Return the market of symbols of stocks: that of the venue they name, else `stocks`."""
    market = pl.lit(Market.STOCKS.value)
    for venue in VENUES.values():
        at = symbol.str.ends_with(venue.suffix)
        market = pl.when(at).then(pl.lit(venue.market.value)).otherwise(market)
    return market


def read_venues(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the venues that settings name, in capitals, each once. Raises InputError."""
    wanted = tuple(dict.fromkeys(name.strip().upper() for name in names))
    known = (REGULAR, *VENUES)
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(
            f"{unknown[0]!r} is not a venue: choose from {', '.join(known)} (J is KRX's regular"
            " session, AFTER its after-market, NX Nextrade, UN both as KIS sums them up)"
        )
    return wanted
