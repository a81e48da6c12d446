"""On which days the exchange opens, according to KIS: asked once a day, kept in a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import polars as pl

from engine.clock import today
from engine.files import read_file, write_atomically
from engine.kis import codec
from engine.kis.endpoints.markets import Holidays
from engine.kis.pacing import Priority
from engine.market.trading_days import is_usual_trading_day, learn_closed_days

if TYPE_CHECKING:  # commands that only read history need not load what asks KIS
    from engine.kis.client import KisClient

log = logging.getLogger(__name__)

DAYS_FILE = "opening_days.json"  # in the folder of tokens and paces
_AHEAD = timedelta(days=90)
_PAGES = 20  # of 24 days, so more than a year: stops an answer whose keys never end


async def opening_days(client: KisClient, start: date, until: date) -> dict[date, bool]:
    """Return date → does the exchange open, from `start` to `until` as far as KIS tells.

    KIS asks for at most one such call a day (docs/kis.md#holidays): `learn_opening_days` keeps to
    that. Days that cannot be read are left out. Raises KisError.
    """
    request = Holidays(start)
    known: dict[date, bool] = {}
    for _ in range(_PAGES):
        answer = await client.call(request, priority=Priority.BACKFILL)
        page = _read_days(answer.rows("output"))
        fresh = {day: is_open for day, is_open in page.items() if day not in known}
        known |= fresh
        next_key, first_key = (answer.body.get(key) for key in ("ctx_area_nk", "ctx_area_fk"))
        if not fresh or max(known) >= until or not _is_key(next_key):
            break
        request = Holidays(start, str(next_key), str(first_key or ""))
    return {day: is_open for day, is_open in sorted(known.items()) if day <= until}


async def learn_opening_days(client: KisClient, path: Path) -> bool:
    """Ask KIS about the coming days, once a day; the calendar follows its answers from now on.

    While KIS calls today closed and the built-in calendar does not, each call asks again, until it
    is certain (`believe_closed`, `believe_open`): one wrong answer would cost a day.

    The answers are kept in `path`, for a start when KIS cannot be reached; the file beside it says
    when KIS was last asked. Returns whether it was asked now. Raises KisError.
    """
    now = today(client.clock)
    asked = path.with_suffix(".asked")
    due = _read_day(asked) != now or (says_closed(path, now) and not _is_certain(path, now))
    try:
        if due:
            _write_day(asked, now)  # before the call: KIS counts failed ones too
            store_kis_days(path, await opening_days(client, now, now + _AHEAD))
    finally:  # also after a restart, and if KIS does not answer today
        load_kis_days(path, doubted=now)
    return due


def asked_on(path: Path) -> date | None:
    """Return on which day KIS was last asked; None if it never was."""
    return _read_day(path.with_suffix(".asked"))


def says_closed(path: Path, day: date) -> bool:
    """Say whether KIS's last answer calls a day closed that the built-in calendar does not."""
    return _read_file(path).get(day) is False and is_usual_trading_day(day)


def believe_closed(path: Path, day: date) -> None:
    """Take it for certain that the day is closed: KIS has no bars of it."""
    _write_day(path.with_suffix(".closed"), day)
    load_kis_days(path)


def believe_open(path: Path, day: date) -> None:
    """Correct KIS's answer about a day: it has given bars of it."""
    store_kis_days(path, {day: True})
    load_kis_days(path)


def store_kis_days(path: Path, days: Mapping[date, bool]) -> None:
    """Add KIS's answer (date → does the exchange open) to the JSON file that start-up reads."""
    known = _read_file(path) | dict(days)
    text = {day.isoformat(): known[day] for day in sorted(known)}
    try:
        write_atomically(path, orjson.dumps(text, option=orjson.OPT_INDENT_2), private=True)
    except OSError as error:  # a full disk must not end the day
        log.warning("⚠️ KIS's holidays cannot be kept: %s", error)


def load_kis_days(path: Path, *, doubted: date | None = None) -> list[date]:
    """Have the calendar follow the file; return the days on which the built-in one differs.

    A file that is missing or cannot be read changes nothing. That a `doubted` day is closed is not
    believed unless it is certain.
    """
    known = _read_file(path)
    if doubted and known.get(doubted) is False and not _is_certain(path, doubted):
        del known[doubted]
    return learn_closed_days(known)


def _is_certain(path: Path, day: date) -> bool:
    return _read_day(path.with_suffix(".closed")) == day


def _read_day(path: Path) -> date | None:
    try:
        return date.fromisoformat(read_file(path).decode("ascii"))
    except (OSError, ValueError):
        return None


def _write_day(path: Path, day: date) -> None:
    try:
        write_atomically(path, day.isoformat().encode(), private=True)
    except OSError as error:
        log.warning("⚠️ %s cannot be written: %s", path, error)


def _read_file(path: Path) -> dict[date, bool]:
    """Return what the file says: nothing if it is missing, or half written."""
    try:
        told = {
            date.fromisoformat(day): is_open
            for day, is_open in orjson.loads(read_file(path)).items()
        }
        if all(isinstance(is_open, bool) for is_open in told.values()):
            return told
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        log.debug("unreadable %s: %s", path, error)
    log.warning("⚠️ %s cannot be read; KIS tells its holidays again", path)
    return {}


def _read_days(rows: list[object]) -> dict[date, bool]:
    text = codec.columns(rows, ["bass_dt", "opnd_yn"])
    flag = pl.col("opnd_yn").str.extract(r"^\s*([YN])\s*$")
    return dict(text.select(codec.day("bass_dt"), flag == "Y").drop_nulls().iter_rows())


def _is_key(key: object) -> bool:
    return isinstance(key, str) and bool(key.strip())
