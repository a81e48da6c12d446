"""What the times in a file of bars are: the starts of minutes, KIS's labels, or their ends, stamps.

A session has one time that only a start can be, its open (08:45 of a future, 09:00 of a stock), and
one that only the end of a minute with a trade can be, the close of its continuous trading (15:35,
15:20). One such bar proves what the file has. Times that end in :59 are those of minutes that end a
second later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from engine.errors import InputError
from engine.history.bar_file_checks import RowCheck
from engine.history.bar_file_forms import BarTable
from engine.market.hours import MINUTE, Session
from engine.market.nights import session_of
from engine.market.symbols import parse

BarTimes = Literal["start", "end"]
OPTION = "--bar-times"
_SESSION = "session_number"
_SEOUL_AHEAD = "9h"  # of UTC
_KEY = ["symbol", "timestamp"]
_ENOUGH = 30  # bars of one minute that are never all the same number of minutes apart
_MOST = 0.9  # of a file's bars, so many are in a session if its times are moved rightly


@dataclass(frozen=True)
class SessionBars:
    """The bars of one session, of whichever symbols; None where no session is held."""

    session: Session | None
    bars: pl.DataFrame


def by_session(bars: pl.DataFrame) -> list[SessionBars]:
    """Part bars (symbol, timestamp) by the session that their symbol has then, of day or night."""
    day = session_of(*map(pl.col, _KEY))
    pairs = bars.select("symbol", day=day).unique()
    sessions = [parse(symbol).session(on) for symbol, on in pairs.iter_rows()]
    numbers = {session: number for number, session in enumerate(dict.fromkeys(sessions))}
    numbered = pairs.with_columns(
        pl.Series(_SESSION, [numbers[session] for session in sessions], pl.Int64)
    )
    joined = bars.with_columns(day=day).join(numbered, on=["symbol", "day"], how="left")
    parts = joined.drop("day").partition_by(_SESSION, as_dict=True, include_key=False)
    of_number = {number: session for session, number in numbers.items()}
    return [SessionBars(of_number[number], part) for (number,), part in parts.items()]


def minute_check() -> RowCheck:
    """Return the check that every time is a whole minute, or ends in :59."""
    return RowCheck(
        "timestamp is not a whole minute", ~(_is_whole() | _ends_in_59()), ["timestamp"]
    )


def _is_whole() -> pl.Expr:
    return pl.col("timestamp") == pl.col("timestamp").dt.truncate("1m")


def _ends_in_59() -> pl.Expr:
    return pl.col("timestamp").dt.second() == 59


def with_labels(table: BarTable, bars: pl.DataFrame, times: BarTimes | None) -> pl.DataFrame:
    """Turn the times into KIS's labels and add `expected`: whether a session has that label.

    `times` is what the user says they are. Raises InputError where nothing tells what they are, or
    where the bars contradict what is said.
    """
    if table.says_ends and times == "start":
        raise InputError(f"{table.path} says itself that its times are ends: leave {OPTION} out")
    parts = by_session(bars.with_columns(pl.col("timestamp").dt.truncate("1m"), whole=_is_whole()))
    _require_sessions(table, bars, parts)
    _require_minutes(table, parts)
    if not bars.select(_is_whole().all()).item():
        return pl.concat(_floored_labels(table, part) for part in parts).drop("whole")
    said: BarTimes | None = "end" if table.says_ends else times
    label = _labels_of_ends if _recognise(table, parts, said) == "end" else _labels_of_starts
    return pl.concat(label(part) for part in parts).drop("whole")


def _labels_of_starts(part: SessionBars) -> pl.DataFrame:
    expected = part.session.is_label(pl.col("timestamp")) if part.session else pl.lit(value=False)
    return part.bars.with_columns(expected=expected)


def _labels_of_ends(part: SessionBars) -> pl.DataFrame:
    """Return labels, and for rows that are outside the session the minute before their time."""
    before = pl.col("timestamp") - MINUTE
    if part.session is None:
        return part.bars.with_columns(before, expected=pl.lit(value=False))
    label = part.session.label_of_stamp(pl.col("timestamp"))
    return part.bars.with_columns(pl.coalesce(label, before), expected=label.is_not_null())


def _floored_labels(table: BarTable, part: SessionBars) -> pl.DataFrame:
    """Return labels of times that ended in :59 and are floored.

    The auction may stand at its own time, whole; a second before its stamp it stood in the minute
    before. Raises InputError for other whole minutes: they mean something else.
    """
    auction, time = part.session.auction if part.session else None, pl.col("timestamp")
    is_auction = pl.lit(value=False) if auction is None else time == auction
    if first := _first_bar(part.bars.filter(pl.col("whole") & ~is_auction)):
        raise InputError(f"{table.path}: some of its times end in :59, and others, {first}, do not")
    if auction is None:
        return _labels_of_starts(part)
    is_before = (time == auction - MINUTE) & _is_traded()
    label = pl.when(is_before).then(pl.lit(auction)).otherwise(time).alias("timestamp")
    return _labels_of_starts(SessionBars(part.session, part.bars.with_columns(label)))


def _is_traded() -> pl.Expr:
    """Leave out the bars of volume 0 with which KIS fills the wait for the auction."""
    return pl.col("volume") > 0


def _recognise(table: BarTable, parts: list[SessionBars], said: BarTimes | None) -> BarTimes:
    """Return what the times are. Raises InputError where that is not certain."""
    proof = {"start": _first(parts, "start"), "end": _first(parts, "end")}
    proven: list[BarTimes] = [kind for kind in ("start", "end") if proof[kind]]
    if said and (said in proven or not proven):
        return said
    if said:
        other = proven[0]
        raise InputError(
            f"{table.path}: {proof[other]} can only be the {other} of a minute: {OPTION} {said} is"
            " wrong"
        )
    if len(proven) == 1:
        return proven[0]
    reason = (
        f"{proof['start']} can only be the start of a minute, {proof['end']} only the end"
        if proven
        else "no bar of a session's first or last minute shows whether they are starts or ends"
    )
    raise InputError(f"{table.path}: say what its times are, {OPTION} start or end: {reason}")


def _first(parts: list[SessionBars], kind: BarTimes) -> str:
    """Return the first bar whose time proves the kind, else an empty text."""
    found = [
        part.bars.filter(_proves(part.session, kind)).head(1) for part in parts if part.session
    ]
    return _first_bar(pl.concat(found))


def _first_bar(bars: pl.DataFrame) -> str:
    """Return symbol and time of the earliest bar, an empty text without bars."""
    first = bars.sort("timestamp").head(1).select(_KEY)
    return "".join(f"{symbol} {at:%Y-%m-%d %H:%M}" for symbol, at in first.iter_rows())


def _proves(session: Session, kind: BarTimes) -> pl.Expr:
    time = pl.col("timestamp")
    is_label, is_stamp = session.is_label(time), session.label_of_stamp(time).is_not_null()
    return is_label & ~is_stamp if kind == "start" else is_stamp & ~is_label & _is_traded()


def _require_sessions(table: BarTable, bars: pl.DataFrame, parts: list[SessionBars]) -> None:
    """Refuse a file without any bar in a session, and say so if its times look like UTC."""
    if _in_session(parts):
        return
    moved = bars.with_columns(pl.col("timestamp").dt.truncate("1m").dt.offset_by(_SEOUL_AHEAD))
    first = _first_bar(bars)
    if _in_session(by_session(moved)) >= _MOST * bars.height:
        raise InputError(
            f"{table.path}: its times are UTC without saying so (the first is {first}): give them"
            ' their zone, as in pandas\' tz_localize("UTC"), or write them in KST'
        )
    raise InputError(
        f"{table.path} has no bar in a session of its symbol: its times have to be KST, the first"
        f" is {first}"
    )


def _require_minutes(table: BarTable, parts: list[SessionBars]) -> None:
    """Refuse bars of 2, 3, 5 or more minutes: they would be read as minutes with gaps between."""
    time = pl.col("timestamp")
    minutes = pl.concat(
        part.bars.filter(time >= part.session.opens, time < part.session.continuous_end)[
            "timestamp"
        ]
        for part in parts
        if part.session
    ).dt.minute()
    if minutes.len() < _ENOUGH:
        return
    for distance in (5, 3, 2):
        if (minutes % distance).n_unique() == 1:
            raise InputError(
                f"{table.path}: its bars are {distance} or more minutes apart: bars of one minute"
                " are needed"
            )


def _in_session(parts: list[SessionBars]) -> int:
    """Return how many times are a label or a stamp of their session."""
    time = pl.col("timestamp")
    return sum(
        part.bars.filter(
            part.session.is_label(time) | part.session.label_of_stamp(time).is_not_null()
        ).height
        for part in parts
        if part.session
    )
