"""Reading what the caller asks for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from engine.errors import InputError
from engine.market import instruments
from engine.market.sessions import Market
from engine.simulator.refusals import wrong_field

Query = Mapping[str, str]
MARKETS = {"F": Market.DERIVATIVES, "O": Market.DERIVATIVES, "CM": Market.NIGHT, "EU": Market.NIGHT}
FUTURE_CODES, OPTION_CODES, STOCK_CODES = ("F", "CM"), ("O", "EU"), ("J", "NX", "UN")


def fits(symbol: str, market_code: str) -> bool:
    """Say whether the market division code is one under which KIS knows the symbol."""
    if instruments.is_stock(symbol):
        return market_code in STOCK_CODES
    try:
        future = instruments.contract(symbol).product.kind == "future"
    except InputError:
        return False
    return market_code in (FUTURE_CODES if future else OPTION_CODES)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def asked_day(text: str, now: datetime) -> date:
    """Read YYYYMMDD; empty is today. KIS refuses what is no date."""
    if not text:
        return now.date()
    if len(text) == 8 and _is_number(text):
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            pass  # no such day: refused like anything else that is no date
    raise wrong_field("FID_INPUT_DATE_1")


def asked_hour(text: str, day: date) -> datetime:
    """Read HHMMSS, in a night up to 300000; empty is the end of the day."""
    text = text or "235959"
    if len(text) != 6 or not _is_number(text) or int(text[:2]) > 30:
        raise wrong_field("FID_INPUT_HOUR_1")
    passed = timedelta(hours=int(text[:2]), minutes=int(text[2:4]), seconds=int(text[4:]))
    return datetime.combine(day, time()) + passed
