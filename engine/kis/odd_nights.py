"""Nights that the calendar does not expect: asked for once, and kept if KIS has bars of them.

On the eve of some holidays no night has been held so far. That it stays so is a belief, which must
not decide what is collected: on such an evening KIS is asked, and what it gives counts. The nights
of which it gave bars are kept in a file, for later validation and backfill.
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
    """Expect the nights in the file; a file that is missing or cannot be read has none.

    With a `doubted` day, about whose night a collector will ask KIS, that night and the one before,
    which may still be on, are expected, too, if the calendar expects none.
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
    """No longer expect a night that KIS was only asked about."""
    expect_nights(expected_nights() - {night})


def _read(path: Path) -> list[date]:
    try:
        return [date.fromisoformat(day) for day in orjson.loads(read_file(path))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        log.warning("⚠️ the nights in %s cannot be read: %s", path, error)
        return []
