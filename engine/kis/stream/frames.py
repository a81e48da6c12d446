"""Frames of the WebSocket to Arrow: all records, in order. No text makes it raise an error.

A frame is `0|TR|NNN|f^f^…`: NNN records of the same number of fields, one after another
(docs/kis.md#messages). A reader of the first record alone would lose half of the volume. A frame
that cannot be divided into records is kept whole as rejected, with the reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.kis.stream.books import book_rows
from engine.kis.stream.cipher import StreamKey, decrypt
from engine.kis.stream.fields import LAYOUTS, OPTION_VALUES, Layout
from engine.kis.stream.gather import NULL, SEPARATOR, Wholes
from engine.kis.stream.records import Columns, FrameGroup, Names, Records, no_records, read_part
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.sides import SIDES, Sums, sides
from engine.market.symbols import NIGHT_SUFFIX, Option
from engine.schemas import BOOK, REJECTED_ROWS, TIME, TRADES

_Rejected = tuple[int, str, str, str, str]  # frame, TR, symbol, reason, raw
_HEAD = len("0|H0IFCNT0|001|")
_EPOCH = datetime(1970, 1, 1)
Frame = tuple[datetime, str]  # time of receipt (KST without zone), text

_LONGEST_RAW = 20_000  # characters of a rejected frame that are kept; a real one has some thousand
_NAME = re.compile(r"[0-9A-Za-z_]{1,32}")

# Best bid and ask of a book.
QUOTES = pa.schema(
    [
        ("session", pa.date32()),
        ("symbol", pa.string()),
        ("traded_at", TIME),  # by the exchange's clock
        ("received_at", TIME),
        ("bid", pa.float64()),
        ("ask", pa.float64()),
        ("bid_size", pa.int64()),
        ("ask_size", pa.int64()),
    ]
)
# What an option's trade says, with the names and units of engine.schemas.OPTION_CHAIN.
OPTION_QUOTES = pa.schema(
    [
        *QUOTES,
        ("price", pa.float64()),
        ("volume", pa.int64()),
        ("open_interest", pa.int64()),
        ("turnover", pa.float64()),
        ("bought", pa.int64()),
        ("sold", pa.int64()),
        *((name, pa.float64()) for name in OPTION_VALUES),
    ]
)
# What a record of a future's trade says beside it, named as in engine.schemas.FUTURES_STATE.
# `basis` is the theoretical price less the index, `market_basis` the price less the index.
FUTURE_STATES = pa.schema(
    [
        *QUOTES,
        ("price", pa.float64()),
        ("day_volume", pa.int64()),
        ("day_turnover", pa.float64()),  # KRW
        ("open_interest", pa.int64()),
        ("open_interest_change", pa.int64()),
        *(
            (name, pa.float64())
            for name in ("theoretical_price", "basis", "market_basis", "deviation")
        ),
    ]
)


_DAY_SUMS = ("volume", "turnover", "bought", "sold")
_EMPTY = {
    schema: pa.RecordBatch.from_pylist([], schema)
    for schema in (TRADES, QUOTES, OPTION_QUOTES, FUTURE_STATES, BOOK, REJECTED_ROWS)
}
_NO_RECORDS = no_records()


@dataclass(frozen=True)
class StreamRows:
    """What frames hold.

    `newest` is the newest exchange time (KST) in them, of books as well. `sums` are each symbol's
    sums of the day after its last trade; given to the next call, they tell the side of its first
    trade there. `counts` has: frames, records, expected prices, without a trade, rejected; count
    corrected (frames whose NNN does not fit their fields, read by the width of a record);
    unreadable values (null in a good row).
    """

    trades: pa.RecordBatch  # engine.schemas.TRADES
    rejected: pa.RecordBatch  # engine.schemas.REJECTED_ROWS
    quotes: pa.RecordBatch  # QUOTES
    option_quotes: pa.RecordBatch  # OPTION_QUOTES
    future_states: pa.RecordBatch  # FUTURE_STATES, of day sessions
    books: pa.RecordBatch  # engine.schemas.BOOK, of the layouts that have levels
    newest: datetime | None
    sums: Sums
    counts: Counter[str] = field(default_factory=Counter)


class _Divided(NamedTuple):
    """A frame that can be divided into records."""

    layout: Layout
    width: int
    records: int
    body: str
    corrected: bool


def read_frames(
    frames: Sequence[Frame],
    *,
    sums: Sums | None = None,
    keys: Mapping[str, StreamKey] | None = None,
    registered: Collection[StreamRegistration] | None = None,
) -> StreamRows:
    """Read all records of the frames, in order. Never raises, whatever the texts are.

    `sums` are those that the call before returned, `keys` decrypt encrypted TRs. If `registered` is
    given, records of anything else are rejected: KIS sends such at times. Trades and quotes of a
    night get the symbols of nights (A01612_NIGHT), but quotes of options keep the codes that chains
    have.
    """
    counts = Counter({"frames": len(frames)})
    groups, rejected = _grouped(frames, keys or {}, counts)
    # Arrow reads moments in a seventh of numpy's time.
    received = pa.array([moment for moment, _ in frames], TIME).cast(pa.int64()).to_numpy()
    names = Names()
    trades: list[Columns] = []
    options: list[Columns] = []
    states: list[Columns] = []
    quotes: list[Columns] = []
    books: list[Columns] = []
    for part in groups:
        records = read_part(part, received, names, registered)
        counts.update(records.counts)
        rejected += _rejected_records(part, records)
        good = _named_for_nights(records.good, names) if part.layout.night else records.good
        (trades if part.layout.what == "trade" else quotes).append(good)
        if part.layout.kind is Option and part.layout.what == "trade":
            of_day = {name: records.good[f"day_{name}"] for name in _DAY_SUMS}
            options.append({**records.good, **of_day})
        if "market_basis" in part.layout.columns:
            states.append(records.good)
        if part.layout.levels:
            books.append(book_rows(part, records.good))
    counts["rejected"] = len(rejected)
    traded, quoted = _in_order(trades), _in_order(quotes)
    side, newest_sums = sides(traded, names, sums or {})
    return StreamRows(
        trades=_batch({**traded, "side": side}, names, TRADES),
        rejected=_rejected_rows(rejected, received),
        quotes=_batch(quoted, names, QUOTES),
        option_quotes=_batch(_in_order(options), names, OPTION_QUOTES),
        future_states=_batch(_in_order(states), names, FUTURE_STATES),
        books=_batch(_in_order(books), names, BOOK),
        newest=_newest(traded, quoted),
        sums=newest_sums,
        counts=counts,
    )


def _grouped(
    frames: Sequence[Frame], keys: Mapping[str, StreamKey], counts: Counter[str]
) -> tuple[list[FrameGroup], list[_Rejected]]:
    """Divide frames into records and group those of one TR and width.

    Most frames have the head and the number of fields of an earlier one, and are divided like it.
    """
    groups: dict[tuple[str, int], FrameGroup] = {}
    rejected: list[_Rejected] = []
    alike: dict[str, tuple[FrameGroup, int, int]] = {}  # by head: group, records, separators
    for number, (_, text) in enumerate(frames):
        known = alike.get(text[:_HEAD])
        if known and text.count(SEPARATOR) == known[2]:
            known[0].add(number, text[_HEAD:], known[1])
            continue
        found = _divided(text, keys)
        if isinstance(found, str):
            rejected.append((number, _tr_id(text), "", found, text))
            continue
        place = found.layout.tr_id, found.width
        group = groups.setdefault(place, FrameGroup(found.layout, found.width))
        group.add(number, found.body, found.records)
        counts["count corrected"] += found.corrected
        if not found.corrected and text[_HEAD:] == found.body:
            alike[text[:_HEAD]] = group, found.records, text.count(SEPARATOR)
    return list(groups.values()), rejected


def _divided(text: str, keys: Mapping[str, StreamKey]) -> _Divided | str:
    """Return how a frame is divided into records, or why it cannot be."""
    head = text.split("|", 3)
    if len(head) < 3 or head[0] not in ("0", "1"):
        return "not a frame of data"
    layout = LAYOUTS.get(head[1])
    if layout is None:
        return "no fields are known for this TR"
    if len(head) == 3 or SEPARATOR in head[2]:  # a frame without NNN has been seen
        written, body = None, text.split("|", 2)[2]
    else:
        written, body = (int(head[2]) if _is_count(head[2]) else None), head[3]
    if head[0] == "1":
        plain = decrypt(body, keys[layout.tr_id]) if layout.tr_id in keys else None
        if plain is None:
            return "cannot be decrypted"
        body = plain
    return _by_width(layout, written, body)


def _named_for_nights(rows: Columns, names: Names) -> Columns:
    """Return records of a night with the symbols of nights: A01612_NIGHT.

    The day and the night of one date both count their volume from zero, so with one symbol their
    trades would be taken for each other's.
    """
    found, places = np.unique(rows["symbol"], return_inverse=True)
    own = [names.number(f"{names.texts[number]}{NIGHT_SUFFIX}") for number in found.tolist()]
    return {**rows, "symbol": np.array(own, np.int64)[places]}


def _is_count(text: str) -> bool:
    return len(text) <= 6 and text.isascii() and text.isdecimal() and int(text) > 0


def _by_width(layout: Layout, written: int | None, body: str) -> _Divided | str:
    """Divide a body into records of the width that its fields and the written count give."""
    fields, known = body.count(SEPARATOR) + 1, layout.width
    if written and fields == written * known:
        return _Divided(layout, known, written, body, corrected=False)
    if fields < known:
        return f"torn: {fields} fields of {known}"
    widths = list(_possible_widths(fields, known, written))
    if not widths:
        return f"torn: {fields} fields are not {written or 'some'} records of {known} or more"
    values = body.split(SEPARATOR)
    width = next((width for width in widths if _begin_well(values, width)), widths[0])
    count = fields // width
    return _Divided(layout, width, count, body, corrected=count != written)


def _possible_widths(fields: int, known: int, written: int | None) -> Iterator[int]:
    """Yield the widths that a frame's records may have, the likeliest first.

    A record may have some more fields than are known, but not twice as many: believing that would
    lose half of the records.
    """
    if written and fields % written == 0 and known < fields // written < 2 * known:
        yield fields // written
    if fields % known == 0:
        yield known
    if not written:
        counts = range(fields // known, 0, -1)
        yield from (fields // n for n in counts if fields % n == 0 and fields // n < 2 * known)


def _begin_well(values: Sequence[str], width: int) -> bool:
    """Say whether each record begins with what may be a code and a time, as in every TR."""
    codes, times = values[::width], values[1::width]
    return all(code.isalnum() for code in codes) and all(
        len(time) == 6 and time.isdecimal() for time in times
    )


def _in_order(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all parts in the order in which they came."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _NO_RECORDS
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(joined["frame"], kind="stable")
    return {name: column[order] for name, column in joined.items()}


def _newest(*parts: Columns) -> datetime | None:
    newest = max(part["traded_at"].max(initial=NULL) for part in parts)
    return None if newest == NULL else _EPOCH + timedelta(microseconds=int(newest))


def _batch(rows: Columns, names: Names, schema: pa.Schema) -> pa.RecordBatch:
    if not len(rows["symbol"]):
        return _EMPTY[schema]
    arrays = [_array(rows[one.name], one, names) for one in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: npt.NDArray[Any], field: pa.Field, names: Names) -> pa.Array:
    if field.type == pa.string():
        return (
            pa.array(SIDES, field.type).take(column)
            if field.name == "side"
            else names.column(column)
        )
    if field.type == pa.date32():
        column = column.astype(np.int32)
    null = np.isnan(column) if field.type == pa.float64() else column == NULL
    if null.any():
        return pa.array(column, mask=null).view(field.type)
    data = pa.py_buffer(np.ascontiguousarray(column))
    return pa.Array.from_buffers(field.type, len(column), [None, data])


def _rejected_records(part: FrameGroup, records: Records) -> list[_Rejected]:
    """Return the rejected records of a part, each as it stood in its frame."""
    bodies = dict(zip(part.frames, part.bodies, strict=True))
    return [
        (
            frame,
            part.layout.tr_id,
            symbol,
            reason,
            SEPARATOR.join(bodies[frame].split(SEPARATOR)[record * part.width :][: part.width]),
        )
        for frame, record, symbol, reason in records.rejected
    ]


def _rejected_rows(rejected: list[_Rejected], received: Wholes) -> pa.RecordBatch:
    """Return rejected frames and records in REJECTED_ROWS, in the order in which they came."""
    if not rejected:
        return _EMPTY[REJECTED_ROWS]
    rejected.sort(key=lambda row: row[0])
    frames, tr_ids, symbols, reasons, raws = zip(*rejected, strict=True)
    columns = [
        pa.array(received[list(frames)]).view(TIME),
        [_name(text) for text in tr_ids],
        [_name(text) for text in symbols],
        reasons,
        [json.dumps(raw[:_LONGEST_RAW]) for raw in raws],  # escapes what Postgres cannot store
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, REJECTED_ROWS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=REJECTED_ROWS)


def _tr_id(text: str) -> str:
    return text.split("|", 2)[1] if "|" in text else ""


def _name(text: str) -> str:
    """Return a TR id or symbol; empty if the text cannot be one, as in a garbled frame."""
    return text if _NAME.fullmatch(text) else ""
