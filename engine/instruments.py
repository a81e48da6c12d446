"""Codes of KRX instruments as KIS writes them: products, contracts, ticks, names.

Two generations of derivative codes (KIS.md): maturities until 2025 have a number and a year letter
(101W09 is September 2025), maturities from 2026 on a letter and the year's last digit (A01612 is
December 2026). Options add three characters of strike: 201V05480, B01612A97 (1097.5).

Year letters: KRX counts A = 2006 and leaves out I, O and U, which look like other characters.
KIS's own samples have V = 2024 and W = 2025.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from engine import expiries
from engine.errors import InputError

Kind = Literal["future", "call", "put"]
Ticks = tuple[tuple[float, float], ...]  # (from this price on, tick), ascending

FIRST_NEW_YEAR = 2026
_YEAR_LETTERS = "ABCDEFGHJKLMNPQRSTVW"  # 2006 … 2025
_OPTION_TICKS: Ticks = ((0, 0.01), (10, 0.05))
_MINI_OPTION_TICKS: Ticks = ((0, 0.01), (3, 0.02), (10, 0.05))
_KOSDAQ_OPTION_TICKS: Ticks = ((0, 0.1), (50, 0.5))
STOCK_TICKS: Ticks = (
    (0, 1), (2_000, 5), (5_000, 10), (20_000, 50), (50_000, 100), (200_000, 500), (500_000, 1_000),
)  # fmt: skip


@dataclass(frozen=True)
class Product:
    """What a contract is of. `multiplier` is KRW per index point, ticks are index points."""

    name: str  # also the key of its expiries: KOSPI200, KOSPI200_WEEKLY_MON …
    prefix: str
    old_prefix: str
    kind: Kind
    underlying: str  # KOSPI200 or KOSDAQ150
    multiplier: int
    ticks: Ticks

    @property
    def months(self) -> str:
        """Return the key of its expiries in `engine.expiries`."""
        return f"{self.name}_FUTURES" if self.kind == "future" else self.name


@dataclass(frozen=True)
class Contract:
    """One code, read. `maturity` is YYYYMM, of weeklies YYMMWW.

    `strike` is what the code tells, whole index points: a half point is lost (347.5 is 347).
    """

    code: str
    product: Product
    maturity: str
    strike: float | None = None

    @property
    def expiry(self) -> date:
        """Return its last trading day; raises CalendarRangeError where holidays are unknown."""
        return expiries.expiry(self.product.months, self.maturity)


@dataclass(frozen=True)
class OptionSeries:
    """A family of options as KIS's board knows it. `market_class` is FID_COND_MRKT_CLS_CODE."""

    name: str
    market_class: str
    call: Product
    put: Product
    future: Product  # what underlies and hedges it

    def underlying_symbol(self, maturity: str) -> str:
        """Return the key of its matrices: 202612_KOSPI200."""
        return f"{maturity}_{self.name}"


def _futures() -> list[Product]:
    return [
        Product("KOSPI200", "A01", "101", "future", "KOSPI200", 250_000, ((0, 0.05),)),
        Product("MINI_KOSPI200", "A05", "105", "future", "KOSPI200", 50_000, ((0, 0.02),)),
        Product("KOSDAQ150", "A06", "106", "future", "KOSDAQ150", 10_000, ((0, 0.1),)),
    ]


def _option_pair(
    name: str, tail: str, underlying: str, multiplier: int, ticks: Ticks
) -> list[Product]:
    return [
        Product(name, f"B{tail}", f"2{tail}", "call", underlying, multiplier, ticks),
        Product(name, f"C{tail}", f"3{tail}", "put", underlying, multiplier, ticks),
    ]


PRODUCTS: tuple[Product, ...] = (
    *_futures(),
    *_option_pair("KOSPI200", "01", "KOSPI200", 250_000, _OPTION_TICKS),
    *_option_pair("MINI_KOSPI200", "05", "KOSPI200", 50_000, _MINI_OPTION_TICKS),
    *_option_pair("KOSDAQ150", "06", "KOSDAQ150", 10_000, _KOSDAQ_OPTION_TICKS),
    *_option_pair("KOSPI200_WEEKLY_THU", "09", "KOSPI200", 250_000, _OPTION_TICKS),
    *_option_pair("KOSPI200_WEEKLY_MON", "AF", "KOSPI200", 250_000, _OPTION_TICKS),
)
_BY_PREFIX = {p.prefix: p for p in PRODUCTS} | {p.old_prefix: p for p in PRODUCTS}
_CLASSES = {
    "KOSPI200": "", "MINI_KOSPI200": "MKI", "KOSDAQ150": "KQI",
    "KOSPI200_WEEKLY_MON": "WKM", "KOSPI200_WEEKLY_THU": "WKI",
}  # fmt: skip

_STOCK = re.compile(r"\d[0-9A-Z]{5}")
_FRONT = re.compile(r"([0-9A-Z]{3})_FRONT")
_DERIVATIVE = re.compile(r"([0-9A-Z]{3})([0-9A-Z])(\d\d)([0-9A-Z]{3})?")


def product(code: str) -> Product:
    """Return the product of a prefix, a contract code or a front name such as A01_FRONT."""
    found = _BY_PREFIX.get(code[:3])
    if found and (len(code) == 3 or _FRONT.fullmatch(code) or _DERIVATIVE.fullmatch(code)):
        return found
    raise InputError(
        f"{code!r} is no known derivative: known prefixes are {', '.join(sorted(_BY_PREFIX))}"
    )


def contract(code: str) -> Contract:
    """Read a futures or option code; raises InputError for anything else."""
    of, match = product(code), _DERIVATIVE.fullmatch(code)
    if not match or (match[4] is None) != (of.kind == "future"):
        raise InputError(f"{code!r} is no code of a contract of {of.name} ({of.kind})")
    year = _year(of, match[1], match[2], code)
    return Contract(code, of, f"{year}{match[3]}", _strike(match[4]) if match[4] else None)


def _year(of: Product, prefix: str, mark: str, code: str) -> int:
    if prefix == of.old_prefix and mark in _YEAR_LETTERS:
        return 2006 + _YEAR_LETTERS.index(mark)
    if prefix == of.prefix and mark.isdigit():
        return FIRST_NEW_YEAR + (int(mark) - FIRST_NEW_YEAR) % 10
    raise InputError(f"{code!r} names no year: old prefixes take a letter, new ones a digit")


def _strike(text: str) -> float:
    hundreds = int(text[0], 36)  # A is 10, as in 1097.5 → A97
    return hundreds * 100.0 + int(text[1:])


def contract_code(product_prefix: str, maturity: str) -> str:
    """Return the futures code of a maturity YYYYMM, in the naming valid for it."""
    of, year, month = product(product_prefix), int(maturity[:4]), maturity[4:]
    if year >= FIRST_NEW_YEAR:
        return f"{of.prefix}{year % 10}{month}"
    return f"{of.old_prefix}{_YEAR_LETTERS[year - 2006]}{month}"


def option_code(prefix: str, maturity: str, strike: float) -> str:
    """Return the nine characters of an option: prefix, year, month, strike.

    The strike loses its half point (347.5 is 347); from 1000 on a letter stands for the hundreds
    (1097.5 is A97).
    """
    hundreds, rest = divmod(int(strike), 100)
    head = str(hundreds) if hundreds < 10 else chr(ord("A") + hundreds - 10)
    return f"{contract_code(prefix, maturity)}{head}{rest:02d}"


def front_month(product_prefix: str, day: date) -> str:
    """Return the code of the contract nearest to expiry, which it still is on its last day."""
    of = product(product_prefix)
    return contract_code(of.prefix, expiries.front_maturity(of.months, day))


def front_maturity(series: str, day: date) -> str:
    """Return the nearest maturity of an option series on the day: 202509, of weeklies 250904."""
    return expiries.front_maturity(option_series(series).name, day)


def option_series(name: str) -> OptionSeries:
    """Return an option series by its name, KOSPI200 …; raises InputError."""
    if name not in _CLASSES:
        raise InputError(f"{name!r} is no option series: choose one of {', '.join(_CLASSES)}")
    call, put = (
        next(p for p in PRODUCTS if p.name == name and p.kind == k) for k in ("call", "put")
    )
    hedge = name.removesuffix("_WEEKLY_MON").removesuffix("_WEEKLY_THU")
    future = next(p for p in PRODUCTS if p.kind == "future" and p.name == hedge)
    return OptionSeries(name, _CLASSES[name], call, put, future)


def is_stock(code: str) -> bool:
    """Say whether the text is a stock's code: six characters, first a digit (005930, 0001A0)."""
    return bool(_STOCK.fullmatch(code)) and not is_derivative(code)


def is_derivative(code: str) -> bool:
    """Say whether the text is a contract code, or the front name of a product (A01_FRONT)."""
    return code[:3] in _BY_PREFIX and bool(_FRONT.fullmatch(code) or re.search("[A-Z]", code[:4]))


def is_front(code: str) -> bool:
    """Say whether the text means whatever contract is in front: A01_FRONT."""
    return bool(_FRONT.fullmatch(code))


def validate_symbol(text: str) -> str:
    """Return the text if it is a code we know how to collect; raises InputError."""
    if is_stock(text):
        return text
    if is_front(text):
        return product(text) and text
    return contract(text).code


def tick_size(product_or_symbol: Product | str, price: float) -> float:
    """Return the smallest price step at that price."""
    if isinstance(product_or_symbol, Product):
        ticks = product_or_symbol.ticks
    elif is_stock(product_or_symbol):
        ticks = STOCK_TICKS
    else:
        ticks = product(product_or_symbol).ticks
    return next(tick for start, tick in reversed(ticks) if price >= start)
