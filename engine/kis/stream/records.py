"""Records of one TR to columns of trades or quotes, and to rejected records.

No belief about the market removes a record: one without a readable symbol, time, price, size or
cumulative volume is kept as rejected, with the reason; any other value that cannot be read is null.
Two kinds of records are no trades and are only counted: expected prices of an auction, and records
of size zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import InputError
from engine.kis.stream.fields import LAYOUTS, OPTION_VALUES, Kind, Layout
from engine.kis.stream.gather import NULL, FieldArrays, Wholes, gather
from engine.kis.stream.registrations import NOT_REGISTERED, StreamRegistration
from engine.market.symbols import parse
from engine.market.trading_days import depends_on_days
from engine.text import visible

Mask = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]  # a row for each record; null is NULL or NaN

NUMBERS = (
    *("price", "day_turnover", "bid", "ask", *OPTION_VALUES),
    *("basis", "market_basis", "deviation"),
)
WHOLES = (
    "time",
    "date",
    "aggressor",  # 1 bought, 5 sold; of stocks
    "size",
    "day_volume",
    "day_bought",
    "day_sold",
    "bid_size",
    "ask_size",
    "open_interest",
    "open_interest_change",
)
_TEXTS = ("symbol", "limit_state", "phase")
_REQUIRED = ("time", "size", "day_volume", "price")  # a record without one of them is rejected
DAY = 86_400_000_000  # microseconds, in which moments are counted here, from 1970 on
_HALF_DAY = DAY // 2
_IN_SESSION, _EXPECTED = "0", "ABCD"  # HOUR_CLS_CODE: a trade, an expected price
_FARTHEST = 7  # days from a record's date to its receipt; a date farther off is not believed


class Names:
    """The texts of a batch, each once and numbered: columns of text hold the numbers.

    They are KIS's words, so characters that would act on a terminal are escaped; among them is NUL,
    which Postgres does not take.
    """

    def __init__(self) -> None:
        self.texts: list[str | None] = [None]
        self._numbers: dict[str | None, int] = {None: 0}

    def number(self, text: str) -> int:
        """Return the number of a text, a new one for a new text."""
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(visible(text))
        return self._numbers[text]

    def numbers(self, column: pa.StringArray) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Return the numbers of a column of texts, and each of its texts once."""
        encoded = pc.dictionary_encode(column)
        texts = encoded.dictionary.to_pylist()
        return np.array([self.number(text) for text in texts])[encoded.indices.to_numpy()], texts

    def column(self, numbers: npt.NDArray[np.int64]) -> pa.StringArray:
        """Return the texts of numbers."""
        return pa.array(self.texts, pa.string()).take(pa.array(numbers))


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one layout and width, as parallel lists."""

    layout: Layout
    width: int
    bodies: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)  # number of each in the batch
    counts: list[int] = field(default_factory=list)  # records of each

    def add(self, frame: int, body: str, records: int) -> None:
        """Add a frame."""
        self.bodies.append(body)
        self.frames.append(frame)
        self.counts.append(records)


@dataclass(frozen=True)
class Records:
    """The good records of a part; and the rejected ones: frame, number in it, symbol, reason."""

    good: Columns
    rejected: list[tuple[int, int, str, str]]
    counts: Counter[str]


def no_records() -> Columns:
    """Return the columns without a record."""
    whole = (
        *WHOLES,
        "record",
        "frame",
        "received_at",
        "traded_at",
        "session",
        "far",
        "symbol",
        "limit_state",
    )
    columns: Columns = {name: np.empty(0, np.int64) for name in whole}
    return columns | {name: np.empty(0) for name in NUMBERS}


def read_part(
    part: FrameGroup,
    received: Wholes,
    names: Names,
    registered: Collection[StreamRegistration] | None = None,
) -> Records:
    """Read all records of a part. `received` has the time of receipt of each frame of the batch.

    If `registered` is given, records of any other symbol are rejected.
    """
    layout = part.layout
    kept, places = _kept(layout.tr_id)
    fields = gather(part.bodies, part.width, *places)
    rows = _columns(fields, kept, names)
    counts = np.array(part.counts)
    rows["record"] = np.arange(counts.sum())
    rows["frame"] = np.repeat(np.array(part.frames), counts)
    rows["received_at"] = received[rows["frame"]]
    _add_moment(rows, night=layout.night)
    texts = dict(zip(kept[2], fields.texts, strict=True))
    rows["symbol"], codes = names.numbers(texts["symbol"])
    expected, unknown_phase = _phases(texts.get("phase"), len(rows["frame"]))
    unknown = [names.number(code) for code in codes if not is_code(code, layout.kind)]
    foreign = [
        names.number(code)
        for code in codes
        if registered is not None and StreamRegistration(layout.tr_id, code) not in registered
    ]
    reasons = [
        (np.isin(rows["symbol"], unknown), "another symbol") if unknown else None,
        (np.isin(rows["symbol"], foreign), NOT_REGISTERED) if foreign else None,
        *_reasons(rows, layout),
        (unknown_phase, "HOUR_CLS_CODE is unknown") if unknown_phase is not None else None,
    ]
    bad = [reason for reason in reasons if reason is not None and reason[0].any()]
    good = ~expected
    for mask, _ in bad:
        good &= ~mask
    found = Counter({"records": len(good), "expected prices": int(expected.sum())})
    rejected = _rejected(rows, np.flatnonzero(~good & ~expected), bad, part, names) if bad else []
    if layout.what == "trade":
        found["without a trade"] = int((good & (rows["size"] == 0)).sum())
        good &= rows["size"] != 0
        rows["day_turnover"] = rows["day_turnover"] * layout.turnover_unit
    found["unreadable values"] = _unreadable(rows, fields, kept, good)
    if not good.all():
        rows = {name: column[good] for name, column in rows.items()}
    return Records(rows, rejected, found)


@lru_cache
def _kept(tr_id: str) -> tuple[list[list[str]], list[list[int]]]:
    """Return the columns that are read from a TR's records, and their places in a record.

    Both in three lists: whole numbers, other numbers, texts.
    """
    layout = LAYOUTS[tr_id]
    kept = [[n for n in group if n in layout.columns] for group in (WHOLES, NUMBERS, _TEXTS)]
    return kept, [[layout.fields.index(layout.columns[name]) for name in group] for group in kept]


def _columns(fields: FieldArrays, kept: Sequence[Sequence[str]], names: Names) -> Columns:
    wholes, numbers, texts = kept
    rows = fields.lengths.shape[1]
    # All columns that the TR lacks share one array, since none is ever written into.
    columns: Columns = dict.fromkeys(WHOLES, np.full(rows, NULL))
    columns |= dict.fromkeys(NUMBERS, np.full(rows, np.nan))
    columns |= dict(zip(wholes, fields.wholes, strict=True))
    columns |= dict(zip(numbers, fields.numbers, strict=True))
    for name, digits in (("time", 6), ("date", 8)):
        if name in wholes:
            written = fields.lengths[wholes.index(name)] == digits
            columns[name] = np.where(written, columns[name], NULL)
    if "limit_state" in texts:
        columns["limit_state"], _ = names.numbers(fields.texts[texts.index("limit_state")])
    else:
        columns["limit_state"] = np.zeros(rows, np.int64)
    return columns


def _add_moment(rows: Columns, *, night: bool) -> None:
    """Add `traded_at` (exchange time) and `session` (days since 1970 of the session's date).

    A record tells HHMMSS: its day is the one on which that time is nearest to its receipt, or its
    own date if it has one. Hours of a night may go on past midnight (24 to 30).
    """
    time = rows["time"]
    hour, minute, second = time // 10_000, time // 100 % 100, time % 100
    readable = (time >= 0) & (hour <= 30) & (minute < 60) & (second < 60)
    of_day = (hour % 24 * 3_600 + minute * 60 + second) * 1_000_000
    day = (rows["received_at"] - of_day + _HALF_DAY) // DAY
    named = _days(rows["date"])
    day = np.where(np.abs(named - day) <= _FARTHEST, named, day)
    rows["traded_at"] = np.where(readable, of_day + day * DAY, NULL)
    rows["session"] = (rows["traded_at"] - _HALF_DAY) // DAY if night else day
    rows["far"] = (named != NULL) & (named != day)


def _days(date: Wholes) -> Wholes:
    """Return the days since 1970 of dates written YYYYMMDD; NULL where a date is not one."""
    if len(date) and date.min() == date.max():  # nearly always
        return np.full(len(date), _day(int(date[0])))
    different, places = np.unique(date, return_inverse=True)
    return np.array([_day(int(one)) for one in different], np.int64)[places]


@lru_cache(maxsize=4_096)
def _day(written: int) -> int:
    try:
        text = f"{max(written, 0):08d}"
        return int(np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}", "D").astype(np.int64))
    except ValueError:
        return int(NULL)


def _phases(texts: pa.StringArray | None, rows: int) -> tuple[Mask, Mask | None]:
    """Return which records are expected prices, and which have an unknown phase (HOUR_CLS_CODE)."""
    if texts is None:
        return np.zeros(rows, bool), None
    encoded = pc.dictionary_encode(texts)
    phases, of_row = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    expected = np.array([len(phase) == 1 and phase in _EXPECTED for phase in phases])
    known = np.array([phase in ("", _IN_SESSION) for phase in phases])
    return expected[of_row], ~(known | expected)[of_row]


def _reasons(rows: Columns, layout: Layout) -> Iterator[tuple[Mask, str]]:
    """Yield which records cannot be used and why; the first reason counts."""
    yield rows["traded_at"] == NULL, "time cannot be read"
    yield rows["far"], "another date"
    if layout.what == "trade":
        yield np.isnan(rows["price"]), "price cannot be read"
        yield rows["price"] <= 0, "price not above zero"
        yield rows["size"] == NULL, "size cannot be read"
        yield rows["size"] < 0, "size below zero"
        yield rows["day_volume"] == NULL, "cumulative volume cannot be read"


def _rejected(
    rows: Columns,
    places: npt.NDArray[np.intp],
    bad: Sequence[tuple[Mask, str]],
    part: FrameGroup,
    names: Names,
) -> list[tuple[int, int, str, str]]:
    first = np.argmax([mask[places] for mask, _ in bad], axis=0)
    begins = np.cumsum(part.counts) - part.counts
    begin_of = dict(zip(part.frames, begins.tolist(), strict=True))
    return [
        (frame, place - begin_of[frame], names.texts[symbol] or "", bad[reason][1])
        for frame, place, symbol, reason in zip(
            rows["frame"][places].tolist(),
            places.tolist(),
            rows["symbol"][places].tolist(),
            first.tolist(),
            strict=True,
        )
    ]


def _unreadable(
    rows: Columns, fields: FieldArrays, kept: Sequence[Sequence[str]], good: Mask
) -> int:
    """Return how many values of good records are null although something stands there."""
    count = 0
    for index, name in enumerate([*kept[0], *kept[1]]):
        if name not in _REQUIRED:
            column = rows[name]
            null = column == NULL if name in WHOLES else np.isnan(column)
            if null.any():
                count += int((null & good & (fields.lengths[index] > 0)).sum())
    return count


@depends_on_days
@lru_cache(maxsize=4_096)
def is_code(text: str, kind: Kind) -> bool:
    """Say whether a text is the code of a symbol of this kind."""
    try:
        return isinstance(parse(text), kind)
    except InputError:
        return False
