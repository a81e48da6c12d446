"""What things are called in Korean, for titles."""

from __future__ import annotations

from engine.market import instruments

_SERIES = {
    "KOSPI200": "코스피200",
    "MINI_KOSPI200": "미니 코스피200",
    "KOSDAQ150": "코스닥150",
    "KOSPI200_WEEKLY_MON": "코스피200 위클리(월)",
    "KOSPI200_WEEKLY_THU": "코스피200 위클리(목)",
}
_KINDS = {"future": "선물", "call": "콜옵션", "put": "풋옵션"}


def symbol_name(symbol: str) -> str:
    """Return a code with what it is of: 코스피200 선물 A01612, 주식 005930."""
    if instruments.is_stock(symbol):
        return f"주식 {symbol}"
    product = instruments.product(symbol)
    return f"{_SERIES.get(product.name, product.name)} {_KINDS[product.kind]} {symbol}"


def underlying_name(underlying_symbol: str) -> str:
    """Return 코스피200 옵션 2026년 12월물 for 202612_KOSPI200; of weeklies 26년 11월 3주차."""
    maturity, _, series = underlying_symbol.partition("_")
    if "WEEKLY" in series:
        when = f"{maturity[:2]}년 {int(maturity[2:4])}월 {int(maturity[4:])}주차"
    else:
        when = f"{maturity[:4]}년 {int(maturity[4:])}월물"
    return f"{_SERIES.get(series, series)} 옵션 {when}"
