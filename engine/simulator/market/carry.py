"""Interest: what a future is worth above the index. KIS's own greeks imply about 2 % a year."""

from __future__ import annotations

from datetime import date
from math import exp

RATE = 0.02  # black76.RATE, too; here on its own, so that a wrong change there shows
YEAR = 365.0


def carry(day: date, expiry: date) -> float:
    """Return the forward divided by the index: calendar days / 365, without dividends."""
    return exp(RATE * max((expiry - day).days, 0) / YEAR)
