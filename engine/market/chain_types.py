"""The frozen types of option chains, each of which is all options of a series and maturity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from engine.market import expiries, names
from engine.market.hours import Market, Session, session
from engine.market.products import OptionSeries, Product, Ticks
from engine.market.symbol_types import NIGHT_SUFFIX, BaseSymbol, day_session
from engine.market.trading_days import check_range

CHAIN_MARKET = "chain"  # what the ledger of gaps calls the market of option chains


@dataclass(frozen=True)
class OptionChain(BaseSymbol):
    """The options of a series with one maturity: YYYYMM, of weekly series YYMMWW."""

    series: OptionSeries
    maturity: str

    market = Market.DERIVATIVES
    table = "option_chain_raw"

    @property
    def product(self) -> Product:
        """The futures product that hedges the options."""
        return self.series.future

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.series.call.ticks

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market: chain."""
        return CHAIN_MARKET

    @property
    def last_day(self) -> date:
        """The last trading day, nominal where that lies beyond the calendar."""
        return expiries.last_day(self.series.name, self.maturity)

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 options 2026-12."""
        return names.english_chain(self.series.name, self.maturity)

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 옵션 2026년 12월물."""
        return names.korean_chain(self.series.name, self.maturity)

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the chain's session on the day, shorter on its last day, None after it."""
        last = self.last_day
        if night:
            return session(Market.NIGHT, day) if check_range(day) < last else None
        return None if check_range(day) > last else day_session(day, last)

    def expected_stamps(self, day: date) -> pl.Series:
        """Return every minute (KST) of the session: the wait for the auction has snapshots, too."""
        found = self.session(day)
        return found.minute_grid() if found else pl.Series("stamp", [], pl.Datetime("us"))


@dataclass(frozen=True)
class NightChain(OptionChain):
    """The nights of an option chain, 202612_KOSPI200_NIGHT, whose options are quoted singly."""

    market = Market.NIGHT

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 options 2026-12, night."""
        return f"{super().name_en}, night"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 옵션 2026년 12월물 야간."""
        return f"{super().name_ko} 야간"

    def session(self, day: date, *, night: bool = True) -> Session | None:
        """Return the night that begins on the day; None if none does, or only a day is asked."""
        return super().session(day, night=True) if night else None


@dataclass(frozen=True)
class FrontChain:
    """The option chain of a series nearest to its expiry, whichever that is on a day."""

    series: OptionSeries

    def on(self, day: date) -> OptionChain:
        """Return the chain in front on the day. Raises CalendarRangeError."""
        return option_chain(self.series, expiries.front_maturity(self.series.name, day))


def option_chain(series: OptionSeries, maturity: str) -> OptionChain:
    """Return the chain of a series and maturity. Raises InputError for an impossible maturity."""
    expiries.nominal_expiry(series.name, maturity)
    return OptionChain(f"{maturity}_{series.name}", series, maturity)


def night_chain(chain: OptionChain) -> NightChain:
    """Return the nights of a chain."""
    return NightChain(f"{chain.code}{NIGHT_SUFFIX}", chain.series, chain.maturity)
