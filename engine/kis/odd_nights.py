"""Nights that the calendar does not expect: asked for once, and kept if KIS has bars of them.

No night was held so far on the eve of some holidays. That is a belief, and it must not decide what
is collected: on such an evening KIS is asked, and what it gives counts. The nights of which it gave
bars are kept in a file, for whoever validates or fills them later.
"""

from __future__ import annotations

import logging
from datetime import date, timedelta
from pathlib import Path

import orjson

from engine.files import read_file, write_atomically
from engine.market.trading_days import (
    expect_nights,
    expected_nights,
    is_trading_day,
    why_unlikely_night,
)

log = logging.getLogger(__name__)

NIGHTS_FILE = "odd_nights.json"  # in the folder of tokens and paces


def load_odd_nights(path: Path, *, doubted: date | None = None) -> None:
    """Expect the nights in the file.

    With a `doubted` day also its night and the one before, which may be on, if the calendar does
    not: a collector is about to ask KIS for them. A file that is missing or cannot be read teaches
    nothing.
    """
    asked = [doubted - timedelta(days=1), doubted] if doubted else []
    unlikely = (day for day in asked if is_trading_day(day) and why_unlikely_night(day))
    expect_nights({*_read(path), *unlikely})


def believe_held(path: Path, night: date) -> None:
    """Remember that KIS has given bars of a night."""
    known = sorted({*_read(path), night})
    try:
        write_atomically(path, orjson.dumps(known), private=True)
    except OSError as error:  # a full disk must not end the night
        log.warning("⚠️ the night of %s cannot be remembered: %s", night, error)
    expect_nights({*expected_nights(), night})


def believe_not_held(night: date) -> None:
    """Expect a night no more that was only asked for."""
    expect_nights(expected_nights() - {night})


def _read(path: Path) -> list[date]:
    try:
        return [date.fromisoformat(day) for day in orjson.loads(read_file(path))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        log.warning("⚠️ the nights in %s cannot be read: %s", path, error)
        return []
