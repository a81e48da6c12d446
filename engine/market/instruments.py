"""The former functions over codes, until all who used them ask `symbols.parse`."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.errors import InputError
from engine.market import products, symbols
from engine.market.products import PRODUCTS, SERIES, STOCK_TICKS, Product, Ticks, option_series
from engine.market.symbols import FIRST_NEW_YEAR, Contract, FrontMonth, Option, OptionChain, Stock

__all__ = ["FIRST_NEW_YEAR", "PRODUCTS", "SERIES", "STOCK_TICKS", "option_series"]


def product(text: str) -> Product:
    if text in products.BY_PREFIX:
        return products.product(text)
    found = symbols.parse(text)
    if isinstance(found, Stock | OptionChain):
        raise InputError(f"{text!r} is no derivative we know")
    return found.product


def contract(code: str) -> Contract | Option:
    return symbols.parse_derivative(code)


def contract_code(prefix: str, maturity: str) -> str:
    return symbols.contract_code(products.product(prefix), maturity)


def option_code(prefix: str, maturity: str, strike: float) -> str:
    return symbols.option_code(products.product(prefix), maturity, strike)


def front_maturity(series: str, day: date) -> str:
    return symbols.FrontChain(option_series(series)).on(day).maturity


def _front(prefix: str) -> FrontMonth:
    found = symbols.parse(prefix)
    if not isinstance(found, FrontMonth):
        raise InputError(f"{prefix!r} is an option: its front maturity is one, its contracts many")
    return found


def front_month(prefix: str, day: date) -> str:
    return _front(prefix).on(day).code


def front_months(prefix: str, start: date, end: date) -> pl.DataFrame:
    return _front(prefix).contracts(start, end)


def contract_on(symbol: str, day: date) -> str:
    return front_month(symbol, day) if is_front(symbol) else symbol


def is_front(code: str) -> bool:
    return code.endswith("_FRONT") and _is(code, FrontMonth)


def is_stock(code: str) -> bool:
    return _is(code, Stock)


def _is(code: str, kind: type) -> bool:
    try:
        return isinstance(symbols.parse(code), kind)
    except InputError:
        return False


def is_derivative(code: str) -> bool:
    return _is(code, Contract) or _is(code, Option) or is_front(code)


def validate_symbol(text: str) -> str:
    if text in products.BY_PREFIX:
        raise InputError(f"{text!r} names a product, not one contract of it")
    return symbols.parse(text).code


def ticks_of(asked: Product | str) -> Ticks:
    if isinstance(asked, Product):
        return asked.ticks
    return STOCK_TICKS if is_stock(asked) else product(asked).ticks


def tick_size(asked: Product | str, price: float) -> float:
    return products.tick_size(ticks_of(asked), price)
