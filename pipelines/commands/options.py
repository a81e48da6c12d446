"""The options that commands share: each with its type, its help and what it refuses."""

from __future__ import annotations

import datetime as dt
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from engine.clock import WallClock, today
from engine.errors import InputError
from engine.history.bar_file_times import BarTimes
from engine.market.trading_days import check_range
from engine.settings import DataKind


def known_day(_type: Any, day: dt.date | None) -> None:
    """Refuse a date that the calendar does not know. Raises CalendarRangeError."""
    if day is not None:
        check_range(day)


def _day(_type: Any, tokens: Sequence[Token]) -> dt.date:
    """Read YYYY-MM-DD, or `today`: the day in Seoul. Raises ValueError for anything else."""
    text = tokens[0].value
    if text == "today":
        return today(WallClock())
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is not a date: write YYYY-MM-DD, or today") from None


_DATE = Parameter(validator=known_day, converter=_day, accepts_keys=False)
Day = Annotated[dt.date | None, _DATE]
Start = Annotated[dt.date | None, _DATE, Parameter(name="--from")]
End = Annotated[dt.date | None, _DATE, Parameter(name="--to")]
Days = Annotated[int | None, Parameter(validator=Number(gte=1, lte=10_000))]  # 27 years
SessionCount = Annotated[int | None, Parameter(validator=Number(gte=1, lte=100_000))]
FirstSession = Annotated[
    dt.date | None,
    _DATE,
    Parameter(
        name="--from",
        help="the first session that counts; the sessions before it are warm-up",
    ),
]
LastSession = Annotated[dt.date | None, _DATE, Parameter(name="--to", help="the last session")]
StrategyName = Annotated[str, Parameter(help="its name")]
TradedSymbols = Annotated[
    tuple[str, ...],
    Parameter(
        name="--symbol",
        help="a code, or a product (A01) whose front month is meant; may be repeated",
    ),
]
Symbols = Annotated[tuple[str, ...], Parameter(name="--symbol")]
ParamTexts = Annotated[tuple[str, ...], Parameter(name="--param")]
Names = Annotated[tuple[str, ...], Parameter(name="--allow-host")]
Axes = Annotated[tuple[str, ...], Parameter(name="--grid")]
Format = Literal["table", "json", "csv"]
DatabaseOption = Annotated[
    DataKind | None,
    Parameter(
        help="live or simulation; by default live where there are credentials; a server of your"
        " own remembers which of the two it holds"
    ),
]
RecordedFile = Annotated[
    Path | None,
    Parameter(help="a simulated KIS serves the bars of this file (Parquet, CSV) instead of KIS"),
]
BarFile = Annotated[
    Path | None, Parameter(help="bars in a file (Parquet, CSV), else the stored history")
]
BarTimesOption = Annotated[
    BarTimes | None,
    Parameter(
        name="--bar-times",
        help="the times in the file are the start of each minute, as KIS labels bars, or its end;"
        " only needed where the file does not show it",
    ),
]
OpenOption = Annotated[
    bool | None,
    Parameter(
        name="--open",
        negative="--no-open",
        help="open the picture; by default only from a terminal, on a machine with a screen",
    ),
]
Port = Annotated[int, Parameter(validator=Number(gte=1, lte=65_535))]
PortOrAny = Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lte=2**32 - 1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=1, lte=86_400))]
Workers = Annotated[int | None, Parameter(validator=Number(gte=1))]


def require_file(option: str, file: Path | None, bar_times: BarTimes | None) -> None:
    """Refuse to hear what the times in a file are where no file is given. Raises InputError."""
    if bar_times and not file:
        raise InputError(f"--bar-times is about the bars of a file: give {option} too")


def time_of_day(option: str, text: str) -> dt.time:
    """Read a time in KST, such as 09:30. Raises InputError."""
    try:
        moment = dt.time.fromisoformat(text)
    except ValueError:
        moment = dt.time(tzinfo=dt.UTC)
    if moment.tzinfo is not None:
        raise InputError(f"{option} {text!r} is not a time of day in KST: write HH:MM, as in 09:30")
    return moment


def period(option: str, text: str) -> str:
    """Return a period such as 5s or 1m as it is written. Raises InputError."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}[sm]", text):
        raise InputError(f"{option} {text!r} is not a period: write 5s or 1m")
    return text


def require_folder(option: str, path: Path) -> None:
    """Refuse a path for files that is a file itself. Raises InputError."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{option} {path} is a file: name a folder")


def require_writable(file: Path) -> None:
    """Refuse a path where no file can be written, and leave it as it was. Raises InputError."""
    existed = file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
        if not existed:
            file.unlink()
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from None


def require_free_port(host: str, port: int) -> None:
    """Raise InputError if another program listens there: marimo would just take the next port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot listen on {host}:{port}: {reason}; see --port") from None
