"""Codes of derivatives as KRX writes them: taken apart into product, maturity, strike, and made.

Two generations (docs/kis.md#codes): maturities until 2025 have a number for the product and a
letter for the year (101W09 is September 2025), maturities from 2026 on a letter for the product and
the year's last digit (A01612 is December 2026). Options add three characters of strike (201V05480).
Weekly options have a running number of the week and a W instead of year and month (B09FEW970,
`expiries.week_number`). `symbols.parse` turns a code into a symbol.

Year letters: KRX counts A = 2006 to W = 2025 without I, O and U (help.cqg.com/apihelp, dwmode1.htm;
KIS's own samples have V = 2024 and W = 2025).
"""

from __future__ import annotations

import re

import polars as pl

from engine.errors import InputError
from engine.market import expiries
from engine.market.products import BY_PREFIX, Product

FIRST_NEW_YEAR = 2026
FIRST_LETTER_YEAR = 2006
_YEAR_LETTERS = "ABCDEFGHJKLMNPQRSTVW"
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PREFIX_LENGTH = 3  # of every product
_OPTION_LENGTH = 9
_CONTRACT_LENGTH = 6  # product and maturity, with which every code of a derivative begins

# Codes of shares begin with 0-4 and may have a letter in the sixth place (00104K), since 2024 in
# the fifth as well (0001A0). Those of ETNs begin with 5-8 (KIS wants a Q before them), those of
# foreign shares with 9; both may have letters elsewhere
# (https://m.ajunews.com/amp/20230530110720328). None of them is a derivative's code as well.
STOCK_CODE = "[0-4][0-9]{3}[0-9A-Z]{2}|Q?[5-9][0-9A-Z]{5}"
_FUTURE = re.compile(r"([0-9A-Z]{3})([0-9A-Z])([0-9]{2})")
_OPTION = re.compile(r"([0-9A-Z]{3})([0-9A-Z])([0-9]{2})([0-9A-Z]{3})")
_WEEKLY = re.compile(r"([0-9A-Z]{3})([0-9A-Z]{2})W([0-9A-Z]{3})")


def is_stock_code(text: str) -> bool:
    """Say whether a text has the form of a stock's code, which no derivative's code has."""
    return re.fullmatch(STOCK_CODE, text) is not None


def product_of(code: str) -> Product:
    """Return the product whose prefix a derivative's code begins with. Raises InputError."""
    found = BY_PREFIX.get(code[:_PREFIX_LENGTH])
    if found is None:
        raise InputError(f"codes of derivatives begin with {', '.join(BY_PREFIX)}")
    return found


def is_old_code(code: str) -> bool:
    """Say whether a code is of the generation until 2025, whose prefix is a number (101)."""
    return code.startswith(product_of(code).old_prefix)


def code_prefix(code: str) -> str:
    """Return the lower-case prefix of a code, as `product_prefix` does of a column: a01, 101."""
    product = product_of(code)
    return (product.old_prefix if is_old_code(code) else product.prefix).lower()


def code_under_product(code: str, product: Product) -> str:
    """Return a code with another product in front, in its own generation: A01612 → A05612."""
    prefix = product.old_prefix if is_old_code(code) else product.prefix
    return prefix + code[_PREFIX_LENGTH:]


def maturity_and_strike(code: str, product: Product) -> tuple[str, float | None]:
    """Return the maturity (YYYYMM, of weeklies YYMMWW) and strike (index points) of a code.

    The strike is None for futures, and where the code does not tell it: from 1,000 on, and for
    KOSDAQ150. Raises InputError for a code that is not one contract of the product.
    """
    weekly = product.kind != "future" and expiries.is_weekly(product.months)
    pattern = _FUTURE if product.kind == "future" else _WEEKLY if weekly else _OPTION
    match = pattern.fullmatch(code)
    if match is None:
        raise InputError(f"a {product.kind} of {product.name} is written otherwise")
    if weekly:
        maturity = expiries.maturity_of_week(product.months, match[2])
    else:
        maturity = f"{_year(product, match[1], match[2])}{match[3]}"
    expiries.nominal_expiry(product.months, maturity)  # raises for a month in which none expires
    if product.kind == "future":
        return maturity, None
    return maturity, _strike(product, code[_CONTRACT_LENGTH:])


def _year(product: Product, prefix: str, mark: str) -> int:
    if prefix == product.old_prefix and mark in _YEAR_LETTERS:
        return FIRST_LETTER_YEAR + _YEAR_LETTERS.index(mark)
    if prefix == product.prefix and mark.isdigit():
        return FIRST_NEW_YEAR + (int(mark) - FIRST_NEW_YEAR) % 10
    raise InputError("old prefixes take a letter for the year, new ones a digit")


def _strike(product: Product, text: str) -> float | None:
    if product.underlying != "KOSPI200" or not text.isdigit():
        return None
    return int(text) + (0.5 if text[2] in "27" else 0.0)  # strikes are multiples of 2.5


def contract_code(product: Product, maturity: str) -> str:
    """Return the code of a maturity in its own generation; for options without the strike.

    Raises InputError for an impossible maturity.
    """
    year = expiries.nominal_expiry(product.months, maturity).year
    prefix = product.prefix if year >= FIRST_NEW_YEAR else product.old_prefix
    return f"{prefix}{maturity_mark(product, maturity)}"


def maturity_mark(product: Product, maturity: str) -> str:
    """Return the three characters that stand for a maturity in the codes of a product: 612, W09.

    Raises InputError for an impossible maturity, and for one of which no code is known.
    """
    if product.kind != "future" and expiries.is_weekly(product.months):
        return f"{expiries.week_number(product.months, maturity)}W"
    year = expiries.nominal_expiry(product.months, maturity).year
    if not FIRST_LETTER_YEAR <= year < FIRST_NEW_YEAR + 10:
        raise InputError(f"no code is known for {product.name} of {maturity}")
    mark = str(year % 10) if year >= FIRST_NEW_YEAR else _YEAR_LETTERS[year - FIRST_LETTER_YEAR]
    return f"{mark}{maturity[4:]}"


def option_code(product: Product, maturity: str, strike: float) -> str:
    """Return the nine characters of an option: product, maturity, strike (a multiple of 2.5).

    Below 1,000 the strike is written without its half point (747.5 is 747). From 1,000 on KRX
    gives running numbers A00, A01 … one a step of 2.5, so 1,120 is A48 (KIS's master file of
    2026-09-23). That is only roughly so: real series are off by up to nine steps
    (docs/kis.md#codes). So codes made here are for the simulator alone; a real one comes from the
    board or the master file. Raises InputError for anything that is not a strike.
    """
    if not 0 < strike < 7_500 or strike % 2.5:
        raise InputError(f"{strike} is not a strike: a multiple of 2.5 below 7,500")
    steps = int(strike / 2.5)
    hundreds, rest = divmod(int(strike) if strike < 1_000 else steps + 600, 100)
    return f"{contract_code(product, maturity)}{_BASE36[hundreds]}{rest:02d}"


def product_prefix(symbol: pl.Expr) -> pl.Expr:
    """Return the lower-case prefix of codes of derivatives, which names partitions: a01, 101."""
    return symbol.str.slice(0, _PREFIX_LENGTH).str.to_lowercase()


def product_and_maturity(symbol: pl.Expr) -> pl.Expr:
    """Return what codes of one product and maturity begin with: all calls of a chain, say."""
    return symbol.str.slice(0, _CONTRACT_LENGTH)


def is_call(symbol: pl.Expr) -> pl.Expr:
    """Say of codes whether they mean a call; false for anything that is not an option's code."""
    return _is_option_of(symbol, "call")


def is_put(symbol: pl.Expr) -> pl.Expr:
    """Say of codes whether they mean a put; false for anything that is not an option's code."""
    return _is_option_of(symbol, "put")


def _is_option_of(symbol: pl.Expr, kind: str) -> pl.Expr:
    letters = sorted({prefix[0] for prefix, found in BY_PREFIX.items() if found.kind == kind})
    is_whole = symbol.str.len_bytes() == _OPTION_LENGTH
    return (is_whole & symbol.str.slice(0, 1).is_in(letters)).fill_null(value=False)


def is_derivative(symbol: pl.Expr) -> pl.Expr:
    """Say of codes and front names, which need not be valid, whether they mean a derivative.

    An old prefix alone does not: 101W09 is a future, 101000 has the form of a stock's code.
    """
    known = symbol.str.slice(0, _PREFIX_LENGTH).is_in(sorted(BY_PREFIX))
    lettered = symbol.str.slice(0, _PREFIX_LENGTH + 1).str.contains("[A-Z]")
    return known & (symbol.str.ends_with("_FRONT") | lettered)
