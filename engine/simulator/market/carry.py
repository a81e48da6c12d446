"""Interest: what a future is worth above the index. KIS's own greeks imply about 2 % a year."""

from __future__ import annotations

from datetime import date
from math import exp

RATE = 0.02
YEAR = 365.0


def carry(day: date, expiry: date) -> float:
    """Return the forward over the index, for a maturity in calendar days / 365, no dividend."""
    return exp(RATE * max((expiry - day).days, 0) / YEAR)
