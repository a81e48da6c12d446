"""Codes of KRX instruments as KIS writes them, and which contract is in front on a day.

Two generations of derivative codes (KIS.md): maturities until 2025 have a number for the product
and a letter for the year (101W09 is September 2025), maturities from 2026 on a letter for the
product and the year's last digit (A01612 is December 2026). Options add three characters of strike
(201V05480). Weekly options have a running number of the week and a W instead of year and month
(B09FEW970, see `expiries.week_number`). Names such as A01_FRONT mean whatever contract of the
product is in front.

Year letters: KRX counts A = 2006 to W = 2025 without I, O and U (help.cqg.com/apihelp, dwmode1.htm;
KIS's own samples have V = 2024 and W = 2025).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import polars as pl

from engine.errors import InputError
from engine.market import expiries
from engine.market.products import (
    BY_PREFIX,
    PRODUCTS,
    SERIES,
    STOCK_TICKS,
    OptionSeries,
    Product,
    Ticks,
    option_series,
)
from engine.market.trading_days import check_range, depends_on_days, next_trading_day_from, rules

__all__ = [
    "FIRST_NEW_YEAR",
    "PRODUCTS",
    "SERIES",
    "STOCK_TICKS",
    "Contract",
    "OptionSeries",
    "Product",
    "contract",
    "contract_code",
    "contract_on",
    "front_maturity",
    "front_month",
    "front_months",
    "is_derivative",
    "is_front",
    "is_stock",
    "option_code",
    "option_series",
    "product",
    "tick_size",
    "ticks_of",
    "validate_symbol",
]

FIRST_NEW_YEAR = 2026
FIRST_LETTER_YEAR = 2006
_YEAR_LETTERS = "ABCDEFGHJKLMNPQRSTVW"
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Shares begin with 0-4 and may have a letter in the fifth place since 2024 (0001A0), in the sixth
# ever (00104K). ETNs begin with 5-8 (KIS wants a Q before them) and may have letters elsewhere,
# foreign shares with 9 (https://m.ajunews.com/amp/20230530110720328). None is a derivative's too.
_STOCK = re.compile(r"[0-4][0-9]{3}[0-9A-Z]{2}|Q?[5-9][0-9A-Z]{5}")
_FRONT = re.compile(r"([0-9A-Z]{3})_FRONT")
_FUTURE = re.compile(r"([0-9A-Z]{3})([0-9A-Z])([0-9]{2})")
_OPTION = re.compile(r"([0-9A-Z]{3})([0-9A-Z])([0-9]{2})([0-9A-Z]{3})")
_WEEKLY = re.compile(r"([0-9A-Z]{3})([0-9A-Z]{2})W([0-9A-Z]{3})")


@dataclass(frozen=True)
class Contract:
    """One code, read. `maturity` is YYYYMM, of weeklies YYMMWW.

    `strike` (index points) is None where the code does not tell it: from 1,000 on, and for
    KOSDAQ150. The board and the master file tell it always; prefer them.
    """

    code: str
    product: Product
    maturity: str
    strike: float | None = None

    @property
    def expiry(self) -> date:
        """Return its last trading day; raises CalendarRangeError where holidays are unknown."""
        return expiries.expiry(self.product.months, self.maturity)

    @property
    def last_day(self) -> date:
        """Return its last trading day, nominal where that lies beyond the calendar."""
        return expiries.last_day(self.product.months, self.maturity)


def product(code_or_prefix: str) -> Product:
    """Return the product of a prefix, a code or a front name; raises InputError."""
    found = BY_PREFIX.get(code_or_prefix[:3])
    if found and (len(code_or_prefix) == 3 or is_derivative(code_or_prefix)):
        return found
    raise InputError(
        f"{code_or_prefix!r} is no derivative we know: codes begin with {', '.join(BY_PREFIX)}"
    )


def _pattern(of: Product) -> re.Pattern[str]:
    if of.kind == "future":
        return _FUTURE
    return _WEEKLY if expiries.is_weekly(of.months) else _OPTION


@depends_on_days
@lru_cache(maxsize=4096)
def _contract(code: str) -> Contract:
    of = product(code)
    match = _pattern(of).fullmatch(code)
    if match is None:
        raise InputError(f"{code!r} names a product, not one contract of it")
    if of.kind != "future" and expiries.is_weekly(of.months):
        maturity = expiries.maturity_of_week(of.months, match[2])
    else:
        maturity = f"{_year(of, match[1], match[2], code)}{match[3]}"
    expiries.nominal_expiry(of.months, maturity)  # a month in which nothing expires is no contract
    return Contract(code, of, maturity, None if of.kind == "future" else _strike(of, code[6:]))


def contract(code: str) -> Contract:
    """Read a futures or option code; raises InputError for anything else."""
    return _contract(code)


def _year(of: Product, prefix: str, mark: str, code: str) -> int:
    if prefix == of.old_prefix and mark in _YEAR_LETTERS:
        return FIRST_LETTER_YEAR + _YEAR_LETTERS.index(mark)
    if prefix == of.prefix and mark.isdigit():
        return FIRST_NEW_YEAR + (int(mark) - FIRST_NEW_YEAR) % 10
    raise InputError(f"{code!r} names no year: old prefixes take a letter, new ones a digit")


def _strike(of: Product, text: str) -> float | None:
    if of.underlying != "KOSPI200" or not text.isdigit():
        return None
    return int(text) + (0.5 if text[2] in "27" else 0.0)  # strikes are multiples of 2.5


def contract_code(product_prefix: str, maturity: str) -> str:
    """Return the code of a maturity in the naming valid for it, of options without the strike."""
    of = product(product_prefix)
    year = expiries.nominal_expiry(of.months, maturity).year
    prefix = of.prefix if year >= FIRST_NEW_YEAR else of.old_prefix
    if of.kind != "future" and expiries.is_weekly(of.months):
        return f"{prefix}{expiries.week_number(of.months, maturity)}W"
    if not FIRST_LETTER_YEAR <= year < FIRST_NEW_YEAR + 10:
        raise InputError(f"no code is known for {of.name} of {maturity}")
    mark = str(year % 10) if year >= FIRST_NEW_YEAR else _YEAR_LETTERS[year - FIRST_LETTER_YEAR]
    return f"{prefix}{mark}{maturity[4:]}"


def option_code(prefix: str, maturity: str, strike: float) -> str:
    """Return the nine characters of an option: product, maturity, strike (a multiple of 2.5).

    Below 1,000 the strike stands there without its half point (747.5 is 747). From 1,000 on KRX
    gives running numbers A00, A01 … one a step of 2.5, so 1,120 is A48 (KIS's master file of
    2026-09-23). That holds only nearly: real series are off by up to three steps. So a code made
    here is good for simulating; a real one comes from the board or the master file.
    """
    if not 0 < strike < 7_500 or strike % 2.5:
        raise InputError(f"{strike} is no strike: a multiple of 2.5 below 7,500")
    steps = int(strike / 2.5)
    hundreds, rest = divmod(int(strike) if strike < 1_000 else steps + 600, 100)
    return f"{contract_code(prefix, maturity)}{_BASE36[hundreds]}{rest:02d}"


def front_maturity(series: str, day: date) -> str:
    """Return the nearest maturity of an option series on the day: 202509, of weeklies 250901."""
    return expiries.front_maturity(option_series(series).name, day)


def front_month(product_prefix: str, day: date) -> str:
    """Return the futures contract nearest to expiry, which it still is on its last day."""
    of = _future(product_prefix)
    return contract_code(of.prefix, expiries.front_maturity(of.months, day))


def _future(prefix: str) -> Product:
    of = product(prefix)
    if of.kind == "future":
        return of
    raise InputError(f"{prefix!r} is an option: its front maturity is one, its contracts are many")


def front_months(product_prefix: str, start: date, end: date) -> pl.DataFrame:
    """Return the contracts in front from start to end: symbol, maturity, first_day, last_day.

    first_day and last_day are those of the whole time in front, also where they reach beyond start
    and end; a contract rolls on the trading day after its last one. The first contract that the
    calendar knows begins with the calendar.
    """
    of, first = _future(product_prefix), rules()["first_day"]
    rows = []
    for last, maturity in expiries.maturities(of.months, beyond=True):
        if last >= check_range(start) and first <= check_range(end):
            code = contract_code(of.prefix, maturity)
            rows.append((code, maturity, next_trading_day_from(first), last))
        first = last + timedelta(days=1)
    schema = ["symbol", "maturity", "first_day", "last_day"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def contract_on(symbol: str, day: date) -> str:
    """Return the contract that a name means on a day: of A01_FRONT the front month, else itself."""
    return front_month(symbol[:3], day) if is_front(symbol) else symbol


def is_front(code: str) -> bool:
    """Say whether the text means the front month of a product: A01_FRONT."""
    return bool(_FRONT.fullmatch(code)) and code[:3] in BY_PREFIX


def is_stock(code: str) -> bool:
    """Say whether the text has the form of a share's or ETN's code: 005930, 0001A0."""
    return bool(_STOCK.fullmatch(code))


def is_derivative(code: str) -> bool:
    """Say whether the text has the form of a contract's code, or is a front name."""
    of = BY_PREFIX.get(code[:3])
    return bool(of and (is_front(code) or _pattern(of).fullmatch(code))) and not is_stock(code)


def validate_symbol(text: str) -> str:
    """Return the text if it is a code we know how to collect; raises InputError."""
    if is_stock(text):
        return text
    if is_front(text):
        _future(text[:3])
        return text
    return contract(text).code


def ticks_of(product_or_symbol: Product | str) -> Ticks:
    """Return (from this price on, smallest step) ascending: index points, of stocks KRW."""
    if isinstance(product_or_symbol, Product):
        return product_or_symbol.ticks
    return STOCK_TICKS if is_stock(product_or_symbol) else product(product_or_symbol).ticks


def tick_size(product_or_symbol: Product | str, price: float) -> float:
    """Return the smallest price step at that price."""
    bands = ticks_of(product_or_symbol)
    return next((tick for start, tick in reversed(bands) if price >= start), bands[0][1])
