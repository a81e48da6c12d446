"""Symbols: what a text from a user, a file or KIS means, and what the market knows about it.

`parse` reads a text once, at the edge; everything else asks the frozen types:

    Stock        005930, 0001A0, 00104K, Q500001   a share, ETF or ETN at KRX
    Contract     A01612, 101W09                    one futures contract
    FrontMonth   A01, A01_FRONT                    the contract of the product that is in front
    OptionChain  202612_KOSPI200                   the options of a series with one maturity
    Option       B01612A97, 201V05480, B09FEW970   one option

Codes of derivatives are read and made in `codes`. Outside these two modules nothing slices a code.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import ClassVar

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.market import expiries
from engine.market.codes import contract_code, maturity_and_strike, product_of
from engine.market.hours import Market, Session, session
from engine.market.products import (
    STOCK_TICKS,
    OptionSeries,
    Product,
    Ticks,
    option_series,
    tick_size,
)
from engine.market.trading_days import check_range, depends_on_days, next_trading_day_from, rules

CHAIN_MARKET = "chain"  # what the ledger of gaps calls the market of option chains

# Shares begin with 0-4 and may have a letter in the fifth place since 2024 (0001A0), in the sixth
# ever (00104K). ETNs begin with 5-8 (KIS wants a Q before them) and may have letters elsewhere,
# foreign shares with 9 (https://m.ajunews.com/amp/20230530110720328). None is a derivative's too.
_STOCK = re.compile(r"[0-4][0-9]{3}[0-9A-Z]{2}|Q?[5-9][0-9A-Z]{5}")
_FRONT = re.compile(r"([0-9A-Z]{3})(?:_FRONT)?")
_CHAIN = re.compile(r"([0-9]{6})_([A-Z0-9_]+)")

_FORMS = (
    "known forms are a stock (005930), a futures contract (A01612), a product, which means its"
    " front month (A01), an option chain (202612_KOSPI200) and an option (B01612A97)"
)
_ENGLISH = {
    "KOSPI200": "KOSPI200",
    "MINI_KOSPI200": "mini KOSPI200",
    "KOSDAQ150": "KOSDAQ150",
    "KOSPI200_WEEKLY_MON": "KOSPI200 weekly (Mon)",
    "KOSPI200_WEEKLY_THU": "KOSPI200 weekly (Thu)",
}
_KOREAN = {
    "KOSPI200": "코스피200",
    "MINI_KOSPI200": "미니 코스피200",
    "KOSDAQ150": "코스닥150",
    "KOSPI200_WEEKLY_MON": "코스피200 위클리(월)",
    "KOSPI200_WEEKLY_THU": "코스피200 위클리(목)",
}
_ENGLISH_KINDS = {"future": "futures", "call": "call", "put": "put"}
_KOREAN_KINDS = {"future": "선물", "call": "콜옵션", "put": "풋옵션"}


@dataclass(frozen=True)
class _Symbol(ABC):
    """What all symbols have. `code` is the text under which everything is stored."""

    code: str

    market: ClassVar[Market]
    table: ClassVar[str]

    def __str__(self) -> str:
        return self.code

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market: stocks, derivatives or chain."""
        return self.market.value

    @abstractmethod
    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the symbol's session on the day; None if it has none.

        `night` asks for the night that begins on the day. Raises CalendarRangeError.
        """

    def expected_stamps(self, day: date) -> pl.Series:
        """Return the stamp (KST) of every bar that must exist of the day session, ascending."""
        found = self.session(day)
        return found.stamps() if found else pl.Series("stamp", [], pl.Datetime("us"))


@dataclass(frozen=True)
class Stock(_Symbol):
    """A share, ETF or ETN. Prices in KRW."""

    market = Market.STOCKS
    table = "stocks_1m"
    product: ClassVar[None] = None
    ticks: ClassVar[Ticks] = STOCK_TICKS

    @property
    def name_en(self) -> str:
        """Its name for people in English; KIS's master file of stocks is not read yet."""
        return f"stock {self.code}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean; KIS's master file of stocks is not read yet."""
        return f"주식 {self.code}"

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the stock market's session on the day; stocks have no night."""
        return None if night else session(Market.STOCKS, day)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, KRW."""
        return tick_size(self.ticks, price)


@dataclass(frozen=True)
class _Derivative(_Symbol):
    """What futures and options share. `maturity` is YYYYMM, of weekly options YYMMWW."""

    product: Product
    maturity: str

    market = Market.DERIVATIVES
    table = "futures_1m"

    @property
    def expiry(self) -> date:
        """The last trading day; raises CalendarRangeError where holidays are unknown."""
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
        """Its name for people in English: KOSPI200 futures A01612."""
        return f"{_ENGLISH[self.product.name]} {_ENGLISH_KINDS[self.product.kind]} {self.code}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 A01612."""
        return f"{_KOREAN[self.product.name]} {_KOREAN_KINDS[self.product.kind]} {self.code}"

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return its session on the day, shorter on its last day, None after it.

        There is no night on its last day.
        """
        last = self.last_day
        if night:
            return session(Market.NIGHT, day) if check_range(day) < last else None
        return None if check_range(day) > last else _day_session(day, last)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, index points."""
        return tick_size(self.ticks, price)


@dataclass(frozen=True)
class Contract(_Derivative):
    """One futures contract."""


@dataclass(frozen=True)
class Option(_Derivative):
    """One option.

    `strike` (index points) is None where the code does not tell it: from 1,000 on, and for
    KOSDAQ150. The board and the master file always tell it; prefer them.
    """

    strike: float | None = None


@dataclass(frozen=True)
class FrontMonth(_Symbol):
    """The contract of a futures product nearest to its expiry, whichever that is on a day."""

    product: Product

    market = Market.DERIVATIVES
    table = "futures_1m"

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 futures, front month."""
        return f"{_ENGLISH[self.product.name]} futures, front month"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 선물 최근월물."""
        return f"{_KOREAN[self.product.name]} 선물 최근월물"

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.product.ticks

    def on(self, day: date) -> Contract:
        """Return the contract in front on the day; it still is on its last day."""
        maturity = expiries.front_maturity(self.product.months, check_range(day))
        return Contract(contract_code(self.product, maturity), self.product, maturity)

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the front month's session on the day; its night is then the next contract's."""
        return session(Market.NIGHT, day) if night else self.on(day).session(day)

    def tick_size(self, price: float) -> float:
        """Return the smallest price step at that price, index points."""
        return tick_size(self.ticks, price)

    def contracts(self, start: date, end: date) -> pl.DataFrame:
        """Return the contracts in front from start to end: symbol, maturity, first_day, last_day.

        first_day and last_day are those of the whole time in front, also where they reach beyond
        start and end; a contract rolls on the trading day after its last one. The first contract
        that the calendar knows begins with the calendar.
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


@dataclass(frozen=True)
class OptionChain(_Symbol):
    """The options of a series with one maturity: YYYYMM, of weekly series YYMMWW."""

    series: OptionSeries
    maturity: str

    market = Market.DERIVATIVES
    table = "option_chain_raw"

    @property
    def product(self) -> Product:
        """The future that underlies and hedges the options."""
        return self.series.future

    @property
    def ticks(self) -> Ticks:
        """(From this price on, smallest step) ascending, index points."""
        return self.series.call.ticks

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market."""
        return CHAIN_MARKET

    @property
    def last_day(self) -> date:
        """The last trading day, nominal where that lies beyond the calendar."""
        return expiries.last_day(self.series.name, self.maturity)

    @property
    def name_en(self) -> str:
        """Its name for people in English: KOSPI200 options 2026-12."""
        name = _ENGLISH[self.series.name]
        if expiries.is_weekly(self.series.name):
            year, month, week = self.maturity[:2], self.maturity[2:4], int(self.maturity[4:])
            return f"{name} options 20{year}-{month} week {week}"
        return f"{name} options {self.maturity[:4]}-{self.maturity[4:]}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 코스피200 옵션 2026년 12월물."""
        name = _KOREAN[self.series.name]
        if expiries.is_weekly(self.series.name):
            year, month, week = self.maturity[:2], int(self.maturity[2:4]), int(self.maturity[4:])
            return f"{name} 옵션 {year}년 {month}월 {week}주차"
        return f"{name} 옵션 {self.maturity[:4]}년 {int(self.maturity[4:])}월물"

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return the chain's session on the day, shorter on its last day, None after it."""
        last = self.last_day
        if night:
            return session(Market.NIGHT, day) if check_range(day) < last else None
        return None if check_range(day) > last else _day_session(day, last)

    def expected_stamps(self, day: date) -> pl.Series:
        """Return every minute of the session: the wait for the auction has snapshots, too."""
        found = self.session(day)
        return found.minute_grid() if found else pl.Series("stamp", [], pl.Datetime("us"))


@dataclass(frozen=True)
class FrontChain:
    """The option chain of a series nearest to its expiry, whichever that is on a day."""

    series: OptionSeries

    def on(self, day: date) -> OptionChain:
        """Return the chain in front on the day. Raises CalendarRangeError."""
        return option_chain(self.series, expiries.front_maturity(self.series.name, day))


Symbol = Stock | Contract | FrontMonth | OptionChain | Option


def _day_session(day: date, last_day: date) -> Session | None:
    return session(Market.DERIVATIVES, day, expiring=day == last_day)


def parse(text: str) -> Symbol:
    """Return the symbol that a text means. Raises InputError, which lists the forms."""
    return _parse(text)


@depends_on_days
@lru_cache(maxsize=65_536)
def _parse(text: str) -> Symbol:
    if _STOCK.fullmatch(text):
        return Stock(text)
    try:
        if match := _CHAIN.fullmatch(text):
            return option_chain(option_series(match[2]), match[1])
        product = product_of(text)
        if not _FRONT.fullmatch(text):
            return _derivative(text, product)
        if product.kind == "future":
            return front_month(product)
        raise InputError("options of many strikes share this beginning")
    except CalendarRangeError:
        raise
    except InputError as error:
        raise InputError(f"{text!r} is not a symbol ({error}); {_FORMS}") from None


def front_month(product: Product) -> FrontMonth:
    """Return the symbol of a futures product's front month: A01_FRONT."""
    return FrontMonth(f"{product.prefix}_FRONT", product)


def parse_derivative(text: str) -> Contract | Option:
    """Return the futures contract or option that a code means. Raises InputError."""
    found = parse(text)
    if isinstance(found, Contract | Option):
        return found
    raise InputError(f"{text!r} is not one contract: write a code such as A01612 or B01612A97")


def parse_chain(text: str) -> OptionChain | FrontChain:
    """Read a chain as settings name it: `front`, `202612`, `KOSPI200`, `KOSPI200:202612`.

    Without a series it is the KOSPI200's, without a maturity the front one. Raises InputError.
    """
    series, _, maturity = text.rpartition(":")
    if not maturity:
        raise InputError(f"{text!r} is not an option chain: write front, 202612 or SERIES:MATURITY")
    if not series and not (maturity == "front" or maturity.isdigit()):
        series, maturity = maturity, "front"
    found = option_series(series or "KOSPI200")
    return FrontChain(found) if maturity == "front" else option_chain(found, maturity)


def option_chain(series: OptionSeries, maturity: str) -> OptionChain:
    """Return the chain of a series and maturity. Raises InputError for an impossible maturity."""
    expiries.nominal_expiry(series.name, maturity)
    return OptionChain(f"{maturity}_{series.name}", series, maturity)


def _derivative(code: str, product: Product) -> Contract | Option:
    maturity, strike = maturity_and_strike(code, product)
    if product.kind == "future":
        return Contract(code, product, maturity)
    return Option(code, product, maturity, strike)


def chains_of(series: OptionSeries, underlying_symbol: pl.Expr) -> pl.Expr:
    """Say of names of chains (202612_KOSPI200) whether they belong to the series."""
    return underlying_symbol.str.replace(r"^[0-9]{6}_", "") == series.name
