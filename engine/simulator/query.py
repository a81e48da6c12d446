"""The fields of a query, read as KIS reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from engine.errors import InputError
from engine.market.sessions import Market
from engine.market.symbols import Contract, Option, Stock
from engine.simulator.market.data import instrument
from engine.simulator.refusals import wrong_field

Query = Mapping[str, str]  # by the name in capitals
MARKETS = {
    "F": Market.DERIVATIVES,
    "O": Market.DERIVATIVES,
    "CM": Market.NIGHT,
    "EU": Market.NIGHT,
    "J": Market.STOCKS,  # with the after-market, which KIS gives in the same answers
    "NX": Market.NXT,
    "UN": Market.UNIFIED,
}
MARKET_CODES: dict[type, tuple[str, ...]] = {
    Contract: ("F", "CM"),
    Option: ("O", "EU"),
    Stock: ("J", "NX", "UN"),
}


def in_capitals(query: Mapping[str, str]) -> Query:
    """Return the query with its names in capitals: KIS reads them whatever their case."""
    return {name.upper(): value for name, value in query.items()}


def fits(symbol: str, market_code: str) -> bool:
    """Say whether KIS knows the symbol under the market's code (FID_COND_MRKT_DIV_CODE)."""
    try:
        return market_code in MARKET_CODES[type(instrument(symbol))]
    except InputError:
        return False


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def asked_day(text: str, now: datetime) -> date:
    """Read YYYYMMDD; empty is today. Raises Refusal for anything else, as KIS does."""
    if not text:
        return now.date()
    if len(text) != 8 or not _is_number(text):
        raise wrong_field("FID_INPUT_DATE_1")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:  # there is no such day
        raise wrong_field("FID_INPUT_DATE_1") from None


def asked_hour(text: str, day: date, now: datetime) -> datetime:
    """Read HHMMSS, in a night up to 300000; empty is the end of the day, 000000 is now.

    On another day than today, 000000 is its end, too (docs/kis.md#clients). Raises Refusal for
    anything else.
    """
    if text == "000000" and day == now.date():
        return now
    text = "235959" if text in {"", "000000"} else text
    if len(text) != 6 or not _is_number(text) or int(text[:2]) > 30:
        raise wrong_field("FID_INPUT_HOUR_1")
    passed = timedelta(hours=int(text[:2]), minutes=int(text[2:4]), seconds=int(text[4:]))
    return datetime.combine(day, time()) + passed
