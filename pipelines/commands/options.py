"""What an option may be, for the command line to refuse the rest before anything is done."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from engine.errors import InputError
from engine.market.trading_days import check_range


def known_day(_type: Any, day: dt.date | None) -> None:
    """Refuse a date that the calendar does not know. Raises CalendarRangeError."""
    if day is not None:
        check_range(day)


Day = Annotated[dt.date | None, Parameter(validator=known_day)]
Days = Annotated[int | None, Parameter(validator=Number(gte=1, lte=10_000))]  # 27 years
Port = Annotated[int, Parameter(validator=Number(gte=1, lte=65_535))]
PortOrAny = Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lte=2**32 - 1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=1, lte=86_400))]
Workers = Annotated[int | None, Parameter(validator=Number(gte=1))]


def time_of_day(option: str, text: str) -> dt.time:
    """Read a time in KST, such as 09:30. Raises InputError."""
    try:
        moment = dt.time.fromisoformat(text)
    except ValueError:
        moment = dt.time(tzinfo=dt.UTC)
    if moment.tzinfo is not None:
        raise InputError(f"{option} {text!r} is no time of day in KST: write HH:MM, as in 09:30")
    return moment


def period(option: str, text: str) -> str:
    """Return a period such as 5s or 1m as it is written. Raises InputError."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}[sm]", text):
        raise InputError(f"{option} {text!r} is no period: write 5s or 1m")
    return text


def must_be_folder(option: str, place: Path) -> None:
    """Refuse a place for files that is a file itself. Raises InputError."""
    if place.exists() and not place.is_dir():
        raise InputError(f"{option} {place} is a file: name a folder")


def must_be_writable(file: Path) -> None:
    """Refuse a place where no file can be written, and leave it as it was. Raises InputError."""
    there = file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
        if not there:
            file.unlink()
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from None
