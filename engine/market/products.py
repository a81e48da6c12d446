"""What KRX lists on its two share indices: prefixes, multipliers, ticks, option series.

Sources: docs/kis.md#codes; KRX's contract specifications as given by its members
(eugenefutures.com/eng/GL/view/GL_0401_T1.htm ff.) and, for KOSDAQ150 options,
https://global.krx.co.kr/contents/GLB/02/0201/0201040210/GLB0201040210.jsp; the prefixes of
weeklies, minis and KOSDAQ150 options from rows of KIS's master file of September 2026 that users
published (B09, BAF, B05, B06 and their puts with C), the old ones from KIS's own samples and
product lists of 2023 to 2025 (209, 2AF, 205, 206). KOSDAQ150 weeklies (since 2025-10-27, prefixes
BAJ and BAK) are not collected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import InputError

Kind = Literal["future", "call", "put"]
Ticks = tuple[tuple[float, float], ...]  # (from this price on, tick), ascending

_OPTION_TICKS: Ticks = ((0, 0.01), (10, 0.05))
_MINI_OPTION_TICKS: Ticks = ((0, 0.01), (3, 0.02), (10, 0.05))
_KOSDAQ_OPTION_TICKS: Ticks = ((0, 0.1), (50, 0.5))

# Since 2023-01-25 the same in all markets. ETFs and ETNs have finer ticks (1 KRW below 2,000, else
# 5), and their codes do not tell them from shares, so a price off this grid need not be wrong.
STOCK_TICKS: Ticks = (
    (0, 1),
    (2_000, 5),
    (5_000, 10),
    (20_000, 50),
    (50_000, 100),
    (200_000, 500),
    (500_000, 1_000),
)


@dataclass(frozen=True)
class Product:
    """What contracts are of. `multiplier` is KRW per index point, ticks are index points.

    The multipliers are today's. Until 2017-03-26 that of the KOSPI200 was 500,000, the mini's
    100,000.
    """

    name: str  # KOSPI200, MINI_KOSPI200, KOSDAQ150, of weeklies KOSPI200_WEEKLY_MON / _THU
    prefix: str
    old_prefix: str
    kind: Kind
    underlying: str  # KOSPI200 or KOSDAQ150
    multiplier: int
    ticks: Ticks

    @property
    def months(self) -> str:
        """The key of its maturities, `months` in `engine.market.expiries`."""
        return f"{self.name}_FUTURES" if self.kind == "future" else self.name


@dataclass(frozen=True)
class OptionSeries:
    """A family of options as KIS's board knows it. `market_class` is FID_COND_MRKT_CLS_CODE."""

    name: str
    market_class: str
    call: Product
    put: Product
    future: Product  # the futures that hedge it

    @property
    def is_weekly(self) -> bool:
        """Whether its options expire each week rather than each month."""
        return self.market_class in ("WKM", "WKI")


def _futures(name: str, tail: str, underlying: str, multiplier: int, tick: float) -> Product:
    return Product(name, f"A{tail}", f"1{tail}", "future", underlying, multiplier, ((0, tick),))


def _series(name: str, market_class: str, tail: str, future: Product, ticks: Ticks) -> OptionSeries:
    common = (future.underlying, future.multiplier, ticks)
    call = Product(name, f"B{tail}", f"2{tail}", "call", *common)
    put = Product(name, f"C{tail}", f"3{tail}", "put", *common)
    return OptionSeries(name, market_class, call, put, future)


KOSPI200 = _futures("KOSPI200", "01", "KOSPI200", 250_000, 0.05)
MINI_KOSPI200 = _futures("MINI_KOSPI200", "05", "KOSPI200", 50_000, 0.02)
KOSDAQ150 = _futures("KOSDAQ150", "06", "KOSDAQ150", 10_000, 0.1)

SERIES: dict[str, OptionSeries] = {
    series.name: series
    for series in (
        _series("KOSPI200", "", "01", KOSPI200, _OPTION_TICKS),
        _series("MINI_KOSPI200", "MKI", "05", MINI_KOSPI200, _MINI_OPTION_TICKS),
        _series("KOSDAQ150", "KQI", "06", KOSDAQ150, _KOSDAQ_OPTION_TICKS),
        _series("KOSPI200_WEEKLY_MON", "WKM", "AF", KOSPI200, _OPTION_TICKS),
        _series("KOSPI200_WEEKLY_THU", "WKI", "09", KOSPI200, _OPTION_TICKS),
    )
}
PRODUCTS: tuple[Product, ...] = (
    KOSPI200,
    MINI_KOSPI200,
    KOSDAQ150,
    *(side for series in SERIES.values() for side in (series.call, series.put)),
)
BY_PREFIX: dict[str, Product] = {
    prefix: product for product in PRODUCTS for prefix in (product.prefix, product.old_prefix)
}


def product(prefix: str) -> Product:
    """Return the product of a prefix, new (A01) or old (101). Raises InputError."""
    if prefix not in BY_PREFIX:
        raise InputError(f"{prefix!r} is not a product: choose one of {', '.join(BY_PREFIX)}")
    return BY_PREFIX[prefix]


def tick_size(ticks: Ticks, price: float) -> float:
    """Return the smallest price step at that price."""
    return next((tick for start, tick in reversed(ticks) if price >= start), ticks[0][1])


def option_series(name: str) -> OptionSeries:
    """Return an option series by its name, KOSPI200 … Raises InputError."""
    if name not in SERIES:
        raise InputError(f"{name!r} is not an option series: choose one of {', '.join(SERIES)}")
    return SERIES[name]
