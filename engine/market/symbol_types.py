"""The frozen types of symbols: what the market knows about each; `symbols.parse` makes them.

Those of option chains are in `chain_types`, of other venues in `venues`, of what is told only once
in `told_once`.

A contract's nights are a symbol of their own, stored in a table of their own, so that no query for
A01612 returns a bar of a night.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

import polars as pl

from engine.market import expiries, names
from engine.market.codes import contract_code
from engine.market.hours import Market, Session, session
from engine.market.products import (
    STOCK_TICKS,
    Product,
    Ticks,
    tick_size,
)
from engine.market.trading_days import check_range, next_trading_day_from, rules

NIGHT_TABLE, NIGHT_SUFFIX = "futures_night_1m", "_NIGHT"


@dataclass(frozen=True)
class BaseSymbol(ABC):
    """What all symbols have. `code` is the text under which everything is stored."""

    code: str

    market: ClassVar[Market]
    table: ClassVar[str]

    def __str__(self) -> str:
        return self.code

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market: stocks, derivatives, night or chain."""
        return self.market.value

    @abstractmethod
    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the symbol's session on the day; None if it has none.

        `night` asks for the night that begins on the day. Raises CalendarRangeError.
        """

    def expected_stamps(self, day: date) -> pl.Series:
        """Return the stamp (KST) of every bar that must exist in the session, ascending."""
        found = self.session(day)
        return found.stamps() if found else pl.Series("stamp", [], pl.Datetime("us"))


@dataclass(frozen=True)
class Stock(BaseSymbol):
    """A share, ETF or ETN. Prices in KRW."""

    market = Market.STOCKS
    table = "stocks_1m"
    product: ClassVar[None] = None
    ticks: ClassVar[Ticks] = STOCK_TICKS

    @property
    def name_en(self) -> str:
        """Its name for people in English: Samsung Electronics 005930."""
        return names.english_stock(self.code)

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 삼성전자 005930."""
        return names.korean_stock(self.code)

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the stock market's session on the day; stocks have no night."""
        return None if night else session(Market.STOCKS, day)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, KRW."""
        return tick_size(self.ticks, price)


@dataclass(frozen=True)
class _Derivative(BaseSymbol):
    """What futures and options share. `maturity` is YYYYMM, of weekly options YYMMWW."""

    product: Product
    maturity: str

    market = Market.DERIVATIVES
    table = "futures_1m"

    @property
    def expiry(self) -> date:
        """The last trading day. Raises CalendarRangeError where holidays are unknown."""
        return expiries.expiry(self.product.months, self.maturity)

    @property
    def last_day(self) -> date:
        """The last trading day, nominal where that lies beyond the calendar."""
        return expiries.last_day(self.product.months, self.maturity)

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.product.ticks

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 futures 2026-12 A01612, … put C01612975."""
        return f"{names.english(self.product)} {self._month}{self.code}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 2026-12 A01612, … 풋옵션 C01612975."""
        return f"{names.korean(self.product)} {self._month}{self.code}"

    @property
    def _month(self) -> str:
        return f"{self.maturity[:4]}-{self.maturity[4:]} " if self.product.kind == "future" else ""

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return its session on the day; shorter on its last day, which has no night; None after.

        Raises CalendarRangeError.
        """
        last = self.last_day
        if night:
            return session(Market.NIGHT, day) if check_range(day) < last else None
        return None if check_range(day) > last else day_session(day, last)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, index points."""
        return tick_size(self.ticks, price)


@dataclass(frozen=True)
class Contract(_Derivative):
    """One futures contract."""


@dataclass(frozen=True)
class Night(_Derivative):
    """The nights of one futures contract; no query about its days returns a bar of them."""

    market = Market.NIGHT
    table = NIGHT_TABLE

    @property
    def contract(self) -> Contract:
        """The contract: KIS is asked for its code."""
        return Contract(self.code.removesuffix(NIGHT_SUFFIX), self.product, self.maturity)

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 futures 2026-12 A01612, night."""
        return f"{self.contract.name_en}, night"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 2026-12 A01612 야간."""
        return f"{self.contract.name_ko} 야간"

    def session(self, day: date, *, night: bool = True) -> Session | None:
        """Return the night that begins on the day; None if none does, or only a day is asked."""
        return super().session(day, night=True) if night else None


@dataclass(frozen=True)
class Option(_Derivative):
    """One option.

    `strike` (index points) is None where the code does not tell it: from 1,000 on, and for
    KOSDAQ150. The board and the master file always tell it; prefer them.
    """

    strike: float | None = None


@dataclass(frozen=True)
class FrontMonth(BaseSymbol):
    """The contract of a futures product nearest to its expiry, whichever that is on a day."""

    product: Product

    market = Market.DERIVATIVES
    table = "futures_1m"

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 futures, front month."""
        return f"{names.english(self.product)}, front month"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 최근월물."""
        return f"{names.korean(self.product)} 최근월물"

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.product.ticks

    def on(self, day: date) -> Contract:
        """Return the contract in front on a day, its last one included.

        Raises CalendarRangeError.
        """
        maturity = expiries.front_maturity(self.product.months, check_range(day))
        return Contract(contract_code(self.product, maturity), self.product, maturity)

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the front month's session on the day.

        The night of a contract's last day is the next contract's. Raises CalendarRangeError.
        """
        return session(Market.NIGHT, day) if night else self.on(day).session(day)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, index points."""
        return tick_size(self.ticks, price)

    def contracts(self, start: date, end: date) -> pl.DataFrame:
        """Return the contracts in front from start to end: symbol, maturity, first_day, last_day.

        first_day and last_day bound the whole time in front, also where it reaches beyond start and
        end: the next contract is in front from the trading day after last_day on. The first
        contract that the calendar knows begins with the calendar. Raises CalendarRangeError.
        """
        first = rules()["first_day"]
        rows = []
        for last, maturity in expiries.maturities(self.product.months, beyond=True):
            if last >= check_range(start) and first <= check_range(end):
                code = contract_code(self.product, maturity)
                rows.append((code, maturity, next_trading_day_from(first), last))
            first = last + timedelta(days=1)
        schema = ["symbol", "maturity", "first_day", "last_day"]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def nights(self) -> FrontNight:
        """Return the symbol of the nights of the contract in front."""
        return FrontNight(f"{self.product.prefix}{NIGHT_SUFFIX}", self)


@dataclass(frozen=True)
class FrontNight(BaseSymbol):
    """The nights of the contract in front. One belongs to the trading day that follows it."""

    front: FrontMonth

    market = Market.NIGHT
    table = NIGHT_TABLE

    @property
    def product(self) -> Product:
        """The futures product."""
        return self.front.product

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 futures, front month, night."""
        return f"{self.front.name_en}, night"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 최근월물 야간."""
        return f"{self.front.name_ko} 야간"

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.front.ticks

    def on(self, day: date) -> Night:
        """Return the nights of the contract in front during the night that begins on the day.

        Raises CalendarRangeError.
        """
        found = self.front.on(next_trading_day_from(day + timedelta(days=1)))
        return Night(f"{found.code}{NIGHT_SUFFIX}", found.product, found.maturity)

    def session(self, day: date, *, night: bool = True) -> Session | None:
        """Return the night that begins on the day; None if none does, or only a day is asked."""
        return session(Market.NIGHT, day) if night else None

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, index points."""
        return tick_size(self.ticks, price)


def day_session(day: date, last_day: date) -> Session | None:
    """Return the day session of derivatives, which is shorter on their last day."""
    return session(Market.DERIVATIVES, day, expiring=day == last_day)
