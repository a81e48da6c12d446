"""Carry: what a future is worth above the index, interest less dividends."""

from __future__ import annotations

from datetime import date
from math import exp

# Per year: interest of 3 % less dividends of 1 %. KIS's December futures of autumn 2026 stood 1.8 %
# (2026-09-17) and 2.7 % (2026-10-07) a year above the index. Not taken from the rate of
# engine.features: the simulated market is the truth that shows a wrong rate there.
NET_CARRY = 0.02
DIVIDEND_YIELD = 0.01
YEAR = 365.0


def carry(day: date, expiry: date) -> float:
    """Return the forward divided by the index; time is calendar days / 365."""
    return exp(NET_CARRY * max((expiry - day).days, 0) / YEAR)
