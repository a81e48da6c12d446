"""Symbols: what a text from a user, a file or KIS means, and what the market knows about it.

`parse` reads a text once, at the edge; everything else asks the frozen types (`symbol_types` and,
of option chains, `chain_types`):

    Stock        005930, 0001A0, 00104K, Q500001   a share, ETF or ETN in KRX's regular session
    VenueStock   005930_NX, 005930_UN, …_AFTER     the same at another venue (`venues`)
    Contract     A01612, 101W09                    one futures contract
    FrontMonth   A01, A01_FRONT                    the contract of the product that is in front
    OptionChain  202612_KOSPI200                   the options of a series with one maturity
    Option       B01612A97, 201V05480, B09FEW970   one option
    Night        A01612_NIGHT                      the nights of one futures contract
    FrontNight   A01_NIGHT                         the nights of the contract that is in front
    NightChain   202612_KOSPI200_NIGHT             the nights of an option chain
    ToldOnce     STATE_A01612, FLOWS_KOSPI         what KIS tells only once (`told_once`)

Codes of derivatives are taken apart and made in `codes`. No other module slices a code.
"""

from __future__ import annotations

import re
from functools import lru_cache

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.market.chain_types import (
    CHAIN_MARKET,
    FrontChain,
    NightChain,
    OptionChain,
    night_chain,
    option_chain,
)
from engine.market.codes import STOCK_CODE, maturity_and_strike, product_of
from engine.market.products import OptionSeries, Product, option_series
from engine.market.symbol_types import (
    NIGHT_SUFFIX,
    Contract,
    FrontMonth,
    FrontNight,
    Night,
    Option,
    Stock,
)
from engine.market.told_once import ToldOnce, parse_told_once
from engine.market.trading_days import depends_on_days
from engine.market.venues import VENUES, VenueStock, at_venue

__all__ = [
    "CHAIN_MARKET",
    "NIGHT_SUFFIX",
    "Contract",
    "FrontChain",
    "FrontMonth",
    "FrontNight",
    "Night",
    "NightChain",
    "Option",
    "OptionChain",
    "Stock",
    "Symbol",
    "VenueStock",
    "front_month",
    "night_chain",
    "option_chain",
    "parse",
    "parse_chain",
]

Symbol = (
    Stock
    | VenueStock
    | Contract
    | FrontMonth
    | OptionChain
    | Option
    | Night
    | FrontNight
    | ToldOnce
)

_STOCK = re.compile(rf"({STOCK_CODE})(?:_({'|'.join(VENUES)}))?")
_FRONT = re.compile(r"([0-9A-Z]{3})(?:_FRONT)?")
_CHAIN = re.compile(r"([0-9]{6})_([A-Z0-9_]+)")

_FORMS = (
    "known forms are a stock (005930), a futures contract (A01612), a product, which means its"
    " front month (A01), an option chain (202612_KOSPI200) and an option (B01612A97); the nights of"
    " a contract or product are symbols of their own (A01612_NIGHT, A01_NIGHT), and so is a stock"
    " elsewhere than in KRX's regular session (005930_AFTER, 005930_NX, 005930_UN)"
)


def parse(text: str) -> Symbol:
    """Return the symbol that a text means. Raises InputError, which lists the known forms."""
    return _parse(text)


@depends_on_days
@lru_cache(maxsize=65_536)
def _parse(text: str) -> Symbol:
    if match := _STOCK.fullmatch(text):
        return at_venue(match[1], match[2]) if match[2] else Stock(text)
    if text.endswith(NIGHT_SUFFIX):
        return _nights_of(_parse(text.removesuffix(NIGHT_SUFFIX)))
    try:
        if found := parse_told_once(text):
            return found
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
        if text.isascii() and text.isdecimal() and len(text) < 6:
            short = f"{text!r} is too short for a stock's code: is {text:0>6} meant?"
            raise InputError(short) from None
        why = f" ({error})" if any(map(str.isdecimal, text)) else ""  # without a digit: a name
        raise InputError(f"{text!r} is not a symbol{why}; {_FORMS}") from None


def _nights_of(found: Symbol) -> Night | FrontNight | NightChain:
    if isinstance(found, FrontMonth):
        return found.nights()
    if isinstance(found, Contract):
        return Night(f"{found.code}{NIGHT_SUFFIX}", found.product, found.maturity)
    if type(found) is OptionChain:
        return night_chain(found)
    raise InputError(f"{found} has no nights that are collected: name a future, A01_NIGHT say")


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


def _derivative(code: str, product: Product) -> Contract | Option:
    maturity, strike = maturity_and_strike(code, product)
    if product.kind == "future":
        return Contract(code, product, maturity)
    return Option(code, product, maturity, strike)


def chains_of(series: OptionSeries, underlying_symbol: pl.Expr) -> pl.Expr:
    """Say which names of chains (202612_KOSPI200) belong to the series."""
    return underlying_symbol.str.replace(r"^[0-9]{6}_", "") == series.name
