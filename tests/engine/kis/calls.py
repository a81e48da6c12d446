"""A moment, and a call to be made at it."""

from __future__ import annotations

from datetime import datetime

from engine.kis.endpoints.options import DerivativeQuote

START = datetime(2026, 11, 20, 10, 5, 2)
QUOTE = DerivativeQuote("B01612A97")
