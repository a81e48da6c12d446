"""What KRX lists on a date: contracts, option maturities, strikes and their codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from engine.market import expiries
from engine.market.codes import contract_code, option_code
from engine.market.products import MINI_KOSPI200, Product, option_series
from engine.market.sessions import Market, previous_sessions
from engine.market.symbols import Contract
from engine.simulator.kept import kept_by_owner
from engine.simulator.market.data import MarketData, open_session, traded_index

SERIES = (
    "KOSPI200",
    "MINI_KOSPI200",
    "KOSPI200_WEEKLY_MON",
    "KOSPI200_WEEKLY_THU",
    "KOSDAQ150",
)
KOREAN = {  # as KIS's master file writes them
    "KOSPI200": "",
    "MINI_KOSPI200": "미니",
    "KOSDAQ150": "코스닥150 ",
    "KOSPI200_WEEKLY_MON": "위클리M ",
    "KOSPI200_WEEKLY_THU": "위클리 ",
}

FAR_MONTHS = {"03": 1, "06": 2, "09": 1, "12": 3}  # how many of each are listed
_SERIES_OF_CLASS = {option_series(name).market_class: name for name in SERIES}


@dataclass(frozen=True)
class Strikes:
    """Which strikes a series has: step in index points, how many below and above the money."""

    step: float
    below: int
    above: int


# A monthly of September 2026 had 745-1595 around 1097.5: more above than below, after a fall.
STRIKES = {
    "KOSPI200": Strikes(2.5, 141, 199),
    "MINI_KOSPI200": Strikes(2.5, 60, 60),
    "KOSPI200_WEEKLY_MON": Strikes(2.5, 40, 40),
    "KOSPI200_WEEKLY_THU": Strikes(2.5, 40, 40),
    "KOSDAQ150": Strikes(25.0, 20, 24),
}


def maturities(series: str, day: date) -> list[str]:
    """Return the listed maturities of an option series, nearest first.

    Monthlies: the next six months, the next March and September, the next two of June and three
    of December (that is KIS's own list of April 2024). Weeklies: this one and the next.
    """
    alive = [name for last, name in expiries.maturities(series, beyond=True) if last >= day]
    if expiries.is_weekly(series):
        return alive[:2]
    far = {
        name
        for month, count in FAR_MONTHS.items()
        for name in [name for name in alive if name.endswith(month)][:count]
    }
    return [name for n, name in enumerate(alive) if n < 6 or name in far]


def series_of(market_class: str) -> str | None:
    """Return the series of a FID_COND_MRKT_CLS_CODE, None for a code that KIS does not have."""
    return _SERIES_OF_CLASS.get(market_class)


def futures(product: Product, day: date) -> list[Contract]:
    """Return the listed futures of a product, nearest first."""
    alive = [name for last, name in expiries.maturities(product.months, beyond=True) if last >= day]
    count = 6 if product is MINI_KOSPI200 else 7
    codes = (contract_code(product, name) for name in alive[:count])
    return [Contract(code, product, name) for code, name in zip(codes, alive, strict=False)]


@kept_by_owner(2048)
def previous_close(market: MarketData, underlying: str, day: date) -> float:
    """Return the index at the close of the session before the day."""
    before = previous_sessions(Market.DERIVATIVES, day, 1)[0]
    index = traded_index(market, underlying, open_session(Market.DERIVATIVES, before))
    return float(index["close"][-1])


@kept_by_owner(256)
def options(market: MarketData, series: str, maturity: str, day: date) -> pl.DataFrame:
    """Return code, option_type, strike of every listed option, calls first, highest strike first.

    The strikes stand around the close of the session before, so they are the same all day.
    """
    found = option_series(series)
    grid = STRIKES[series]
    middle = round(previous_close(market, found.future.underlying, day) / grid.step)
    first = max(1, middle - grid.below)
    strikes = np.arange(middle + grid.above, first - 1, -1) * grid.step
    calls = _side(found.call, "C", maturity, strikes.tolist())
    puts = _side(found.put, "P", maturity, strikes.tolist())
    return pl.concat([calls, puts])


def _side(
    product: Product, option_type: str, maturity: str, strikes: Sequence[float]
) -> pl.DataFrame:
    codes = [option_code(product, maturity, strike) for strike in strikes]
    frame = pl.DataFrame({"code": codes, "strike": strikes})
    return frame.with_columns(option_type=pl.lit(option_type))


def future_name(contract: Contract) -> str:
    """Return KIS's Korean name of a future: F 202612, 미니F 202611."""
    return f"{KOREAN[contract.product.name]}F {contract.maturity}"
