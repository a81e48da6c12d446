"""Where prices stand at the close of each day; the synthetic market fills in the minutes.

An index follows a line through real and assumed levels plus a deviation that wanders and returns,
so any date can be asked for and autumn 2026 is near 1,100 points with any seed.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from engine.simulator.market.data import draws

# Day and level of the KOSPI 200. Until October 2025 roughly as it was; then towards the level at
# which KIS's own boards of September 2026 stand (1058.27 on 2026-09-17).
KOSPI200_LEVELS = {
    date(2014, 1, 1): 255.0,
    date(2020, 3, 19): 200.0,
    date(2021, 6, 30): 437.0,
    date(2022, 9, 30): 283.0,
    date(2024, 4, 17): 356.4,
    date(2025, 6, 25): 420.0,
    date(2025, 10, 31): 580.0,
    date(2026, 9, 17): 1058.3,
    date(2026, 11, 20): 1100.0,
    date(2028, 12, 31): 1250.0,
}
# How far an index deviates from that line, in logarithms: at most a few per cent.
DAILY_VOLATILITY = 0.011
RETURN_TO_LINE = 0.9

# code: (Korean name, close in KRW on 2026-11-20, shares traded a day, volatility a day)
STOCKS = {
    "005930": ("삼성전자", 158_000, 18_000_000, 0.017),
    "000660": ("SK하이닉스", 842_000, 4_200_000, 0.025),
    "373220": ("LG에너지솔루션", 451_000, 310_000, 0.021),
    "005380": ("현대차", 296_500, 900_000, 0.016),
    "035420": ("NAVER", 268_000, 1_100_000, 0.019),
    "035720": ("카카오", 63_400, 2_300_000, 0.020),
    "068270": ("셀트리온", 187_300, 620_000, 0.017),
    "105560": ("KB금융", 128_400, 1_000_000, 0.016),
    "000270": ("기아", 121_800, 1_300_000, 0.015),
    "005490": ("POSCO홀딩스", 331_000, 380_000, 0.020),
    "247540": ("에코프로비엠", 172_600, 700_000, 0.031),
    "196170": ("알테오젠", 498_500, 600_000, 0.033),
    "000150": ("두산", 913_000, 150_000, 0.032),
    "900110": ("이스트아시아홀딩스", 118, 90_000, 0.022),  # thin: most minutes see no trade
}
ON_KOSDAQ = frozenset({"247540", "196170", "900110"})  # of these; the others are on KOSPI


def stock_name(code: str) -> str:
    """Return the Korean name of a stock: the real one of STOCKS, else 종목 and the code."""
    return STOCKS[code][0] if code in STOCKS else f"종목{code}"


@lru_cache(maxsize=4096)
def stock_profile(code: str) -> tuple[str, float, float, float]:
    """Return name, close in autumn 2026 (KRW), shares a day and daily volatility of any code."""
    if code in STOCKS:
        return STOCKS[code]
    random = draws("stock", code)
    price = float(np.exp(random.uniform(np.log(2_000), np.log(400_000))))
    shares = float(np.exp(random.normal(np.log(3e10 / price), 1.3)))
    return stock_name(code), price, shares, float(random.uniform(0.012, 0.035))


def index_close(seed: int, underlying: str, day: date) -> float:
    """Return the index at the close of `day`, index points (any weekday)."""
    line = np.interp(
        day.toordinal(),
        [known.toordinal() for known in KOSPI200_LEVELS],
        np.log(list(KOSPI200_LEVELS.values())),
    )
    scale = 1.55 if underlying == "KOSDAQ150" else 1.0
    return float(np.exp(line + DAILY_VOLATILITY * _wander(seed, underlying, day)) * scale)


@lru_cache(maxsize=16_384)  # a whole market, today and the day before
def stock_close(seed: int, code: str, day: date) -> float:
    """Return the price of a stock at the close of `day`, KRW, not yet on a tick."""
    _, price, _, volatility = stock_profile(code)
    market = index_close(seed, "KOSPI200", day) / KOSPI200_LEVELS[date(2026, 11, 20)]
    return float(price * np.sqrt(market) * np.exp(volatility * _wander(seed, code, day)))


def _wander(seed: int, name: str, day: date) -> float:
    return float(_path(seed, name)[day.toordinal() - _FIRST])


_FIRST = date(2013, 1, 1).toordinal()
_LAST = date(2030, 12, 31).toordinal()


@lru_cache(maxsize=512)
def _path(seed: int, name: str) -> NDArray[np.float64]:
    shocks = draws(seed, "level", name).standard_normal(_LAST - _FIRST + 1)
    steps = accumulate(shocks.tolist(), lambda so_far, shock: RETURN_TO_LINE * so_far + shock)
    return np.fromiter(steps, np.float64)
