"""Names of products, option chains and stocks for people, in English and Korean.

Stocks are named as in KIS's master files, once a process has learnt these names from the stored
listings (`engine.history.listings`); until then only their code is shown.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from engine.market import expiries
from engine.market.products import Product

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


_listed: dict[str, str] = {}  # Korean names by code, from the stored listings


def learn_stocks(korean: Mapping[str, str]) -> None:
    """Use these names for stocks in this process: Korean, by code, as in KIS's master files."""
    _listed.clear()
    _listed.update(korean)


def listed_letters() -> str:
    """Return every letter that the learnt names have, each once: a font must have them all."""
    return "".join(sorted(set("".join(_listed.values()))))


@cache
def _in_english() -> dict[str, str]:
    """Return what the largest companies are called in English, by their Korean names."""
    file = Path(__file__).with_name("english_names.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["korean"]: row["english"] for row in csv.DictReader(lines)}


def english_stock(code: str) -> str:
    """Return a stock's name and code, Samsung Electronics 005930; stock CODE if it has no name.

    KIS has Korean names only: one without an English form here is returned as it is.
    """
    name = _listed.get(code, "stock")
    return f"{_in_english().get(name, name)} {code}"


def korean_stock(code: str) -> str:
    """Return the same in Korean: 삼성전자 005930, 주식 CODE."""
    return f"{_listed.get(code, '주식')} {code}"


def english(product: Product) -> str:
    """Return the name of a product: KOSPI200 futures, KOSPI200 weekly (Thu) call."""
    return f"{_ENGLISH[product.name]} {_ENGLISH_KINDS[product.kind]}"


def korean(product: Product) -> str:
    """Return the same in Korean: 코스피200 선물, 코스피200 위클리(목) 콜옵션."""
    return f"{_KOREAN[product.name]} {_KOREAN_KINDS[product.kind]}"


def english_subject(subject: str) -> str:
    """Return the name of what a stream is about: KOSPI200 futures, KOSPI, A01612."""
    return _subject(subject, _ENGLISH, {"FUTURES": "futures", "CALLS": "calls", "PUTS": "puts"})


def korean_subject(subject: str) -> str:
    """Return the same in Korean: 코스피200 선물, 코스피, A01612."""
    kinds = {"FUTURES": "선물", "CALLS": "콜옵션", "PUTS": "풋옵션"}
    return _subject(subject, _KOREAN | {"KOSPI": "코스피", "KOSDAQ": "코스닥"}, kinds)


def _subject(subject: str, names: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    series, _, kind = subject.rpartition("_")
    if kind in kinds:
        return f"{names[series]} {kinds[kind]}"
    return names.get(subject, subject)


def english_chain(series: str, maturity: str) -> str:
    """Return the name of an option chain: KOSPI200 options 2026-12."""
    name = _ENGLISH[series]
    if expiries.is_weekly(series):
        year, month, week = maturity[:2], maturity[2:4], int(maturity[4:])
        return f"{name} options 20{year}-{month} week {week}"
    return f"{name} options {maturity[:4]}-{maturity[4:]}"


def korean_chain(series: str, maturity: str) -> str:
    """Return the same in Korean: 코스피200 옵션 2026년 12월물."""
    name = _KOREAN[series]
    if expiries.is_weekly(series):
        year, month, week = maturity[:2], int(maturity[2:4]), int(maturity[4:])
        return f"{name} 옵션 {year}년 {month}월 {week}주차"
    return f"{name} 옵션 {maturity[:4]}년 {int(maturity[4:])}월물"
