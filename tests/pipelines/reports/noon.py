"""Noon of the day that the filled database has, and the words of a page."""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape

from engine.clock import WallClock
from pipelines.texts import Texts

NOON = datetime(2026, 11, 16, 12, 0)
KO, EN = Texts("ko"), Texts("en")


class Noon(WallClock):
    """Noon of the day that is stored."""

    def now(self) -> datetime:
        return NOON


def cells(html: str, symbol: str, name: str) -> str:
    """The text of the cell with a name of a symbol."""
    found = re.search(rf'data-krt="{name}" data-symbol="{symbol}">([^<]*)<', html)
    assert found, (symbol, name)
    return found[1]


def words(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)))
