"""Are the times in a file the starts of minutes or their ends? Seen, said, or refused."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.errors import InputError
from engine.history.bar_file import scan_bar_file
from tests.engine.history.bar_files import (
    CSAT,
    DAY,
    EXPIRY,
    FIRST_OF_YEAR,
    FUTURE,
    STOCK,
    as_read,
    bars_of,
    write,
)
from tests.stamps import session_on

SESSIONS = [
    (FUTURE, DAY),
    (STOCK, DAY),
    (FUTURE, CSAT),
    (STOCK, CSAT),
    (FUTURE, FIRST_OF_YEAR),
    (STOCK, FIRST_OF_YEAR),
    ("A01609", EXPIRY),  # no auction
    ("A01_FRONT", EXPIRY),
    (STOCK, date(2016, 7, 29)),  # the last day that closed at 15:00
    ("A01612_NIGHT", date(2026, 11, 20)),  # half of it on a Saturday
]
every_session = pytest.mark.parametrize(("symbol", "day"), SESSIONS)
TIME = pl.col("timestamp")


def read(frame: pl.DataFrame, folder: Path, times: Any = None, **metadata: str) -> pl.DataFrame:
    file = write(frame, folder / "bars.parquet", **metadata)
    return scan_bar_file(file, times=times).collect()


def refusal(frame: pl.DataFrame, folder: Path, times: Any = None, **metadata: str) -> str:
    with pytest.raises(InputError) as caught:
        read(frame, folder, times, **metadata)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_session
def test_starts_and_ends_of_minutes_are_told_apart(symbol: str, day: date, tmp_path: Path) -> None:
    labels, stamps = bars_of(symbol, day), bars_of(symbol, day, ends=True)
    assert not labels.equals(stamps)
    for frame in (labels, stamps):
        assert read(frame, tmp_path).equals(as_read(labels))


@every_session
def test_one_bar_of_the_first_or_last_minute_is_enough(
    symbol: str, day: date, tmp_path: Path
) -> None:
    labels, stamps = bars_of(symbol, day), bars_of(symbol, day, ends=True)
    last = -1 if session_on(symbol, day).auction is None else -2
    assert read(labels[:1], tmp_path).equals(as_read(labels[:1]))
    assert read(stamps[last:], tmp_path).equals(as_read(labels[last:]))


@every_session
def test_a_file_that_shows_neither_is_refused_until_it_is_said(
    symbol: str, day: date, tmp_path: Path
) -> None:
    labels, stamps = bars_of(symbol, day)[100:200], bars_of(symbol, day, ends=True)[100:200]
    for frame in (labels, stamps):
        said = refusal(frame, tmp_path)
        assert "say what its times are, --bar-times start or end: no bar" in said
    assert read(labels, tmp_path, "start").equals(as_read(labels))
    assert read(stamps, tmp_path, "end").equals(as_read(labels))


def test_a_file_that_shows_both_is_refused_until_it_is_said(tmp_path: Path) -> None:
    labels, stamps = bars_of(STOCK), bars_of(STOCK, CSAT, ends=True)
    both = pl.concat([labels, stamps])
    assert refusal(both, tmp_path).endswith(
        "say what its times are, --bar-times start or end: 005930 2026-11-16 09:00 can only be the"
        " start of a minute, 005930 2026-11-19 16:20 only the end"
    )
    assert read(both, tmp_path, "start")["timestamp"].is_in(labels["timestamp"].implode()).any()


def test_what_is_said_and_what_the_file_shows_must_agree(tmp_path: Path) -> None:
    labels, stamps = bars_of(FUTURE), bars_of(FUTURE, ends=True)
    assert refusal(labels, tmp_path, "end").endswith(
        "A01612 2026-11-16 08:45 can only be the start of a minute: --bar-times end is wrong"
    )
    assert "15:35 can only be the end of a minute" in refusal(stamps, tmp_path, "start")
    mark = {"krt.stamps": "end of minute"}
    assert "leave --bar-times out" in refusal(stamps[9:99], tmp_path, "start", **mark)
    assert read(stamps[9:99], tmp_path, "end", **mark).equals(as_read(bars_of(FUTURE)[9:99]))


def test_a_file_that_says_its_times_are_ends_is_read_so(tmp_path: Path) -> None:
    middle = bars_of(FUTURE, ends=True)[100:200]
    found = read(middle, tmp_path, **{"krt.stamps": "end of minute"})
    assert found.equals(as_read(bars_of(FUTURE)[100:200]))


def test_the_sessions_of_all_symbols_decide_together(tmp_path: Path) -> None:
    """The stock begins in the middle of its day; the future shows what the times are."""
    labels = pl.concat([bars_of(FUTURE), bars_of(STOCK)[50:60], bars_of(STOCK, CSAT)[50:60]])
    stamps = pl.concat(
        [
            bars_of(FUTURE, ends=True),
            bars_of(STOCK, ends=True)[50:60],
            bars_of(STOCK, CSAT, ends=True)[50:60],
        ]
    )
    assert read(labels, tmp_path).equals(as_read(labels))
    assert read(stamps, tmp_path).equals(as_read(labels))


def test_the_fillers_before_the_auction_prove_nothing(tmp_path: Path) -> None:
    """KIS repeats the last price there, in bars of volume 0, one of them at 15:20."""
    labels = bars_of(STOCK)
    filler = labels[-2:-1].with_columns(TIME.dt.offset_by("1m"), volume=pl.lit(0, pl.Int64))
    assert read(pl.concat([labels, filler]), tmp_path).equals(as_read(labels))
    assert "no bar of a session's first" in refusal(pl.concat([labels[9:30], filler]), tmp_path)


@every_session
def test_times_that_end_in_59_belong_to_the_minute_that_they_end(
    symbol: str, day: date, tmp_path: Path
) -> None:
    labels, stamps = bars_of(symbol, day), bars_of(symbol, day, ends=True)
    last_second = labels.with_columns(TIME.dt.offset_by("59s"))
    second_before = stamps.with_columns(TIME.dt.offset_by("-1s"))
    fraction = last_second.with_columns(TIME.dt.offset_by("999ms"))
    for frame in (last_second, second_before, fraction):
        assert read(frame, tmp_path).equals(as_read(labels))
        assert read(frame[100:110], tmp_path).equals(as_read(labels[100:110]))
    if session_on(symbol, day).auction is not None:
        auction_whole = pl.concat([last_second[:-1], labels[-1:]])
        assert read(auction_whole, tmp_path).equals(as_read(labels))


def test_seconds_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    labels = bars_of(FUTURE)
    odd = labels.with_columns(TIME.dt.offset_by("30s"))
    assert "timestamp is not a whole minute" in refusal(odd, tmp_path)
    mixed = pl.concat([labels[:9].with_columns(TIME.dt.offset_by("59s")), odd[9:]])
    assert "timestamp is not a whole minute" in refusal(mixed, tmp_path)
    mixed = pl.concat([labels[:9].with_columns(TIME.dt.offset_by("59s")), labels[9:]])
    said = refusal(mixed, tmp_path)
    assert "some of its times end in :59, and others, A01612 2026-11-16 08:54, do not" in said


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("symbol", [FUTURE, STOCK])
def test_times_in_utc_that_do_not_say_so_are_refused(
    symbol: str, ends: bool, tmp_path: Path
) -> None:
    utc = bars_of(symbol, ends=ends).with_columns(TIME.dt.offset_by("-9h"))
    said = refusal(utc, tmp_path)
    assert "its times are UTC without saying so" in said
    assert 'tz_localize("UTC")' in said
    zoned = utc.with_columns(TIME.dt.replace_time_zone("UTC"))
    assert read(zoned, tmp_path).equals(as_read(bars_of(symbol)))


@pytest.mark.parametrize("minutes", [2, 3, 5, 10])
@pytest.mark.parametrize("ends", [False, True])
def test_bars_of_several_minutes_are_refused(minutes: int, ends: bool, tmp_path: Path) -> None:
    first = minutes - 1 if ends else 0
    sessions = [bars_of(FUTURE, day, ends=ends) for day in (DAY, CSAT)]
    coarse = [pl.concat([bars[first:-1:minutes], bars[-1:]]) for bars in sessions]
    said = refusal(pl.concat(coarse), tmp_path)
    assert "or more minutes apart: bars of one minute are needed" in said


def test_times_in_no_session_are_refused(tmp_path: Path) -> None:
    saturday = bars_of(FUTURE).with_columns(TIME.dt.offset_by("5d"))
    assert "has no bar in a session of its symbol" in refusal(saturday, tmp_path)
    days = bars_of(FUTURE)[:1].with_columns(timestamp=pl.lit(datetime(2026, 11, 16)))
    assert "the first is A01612 2026-11-16 00:00" in refusal(days, tmp_path)
