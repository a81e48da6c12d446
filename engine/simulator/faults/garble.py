"""What the rules of a scenario make of a frame's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from engine.market.codes import code_under_product, product_of
from engine.market.products import PRODUCTS
from engine.market.symbols import Stock, parse
from engine.simulator.faults.stream_rules import (
    AddedFields,
    DoubledFrames,
    ForeignRecords,
    FrameRule,
    LostFrames,
    MissingCount,
    QuietFeed,
    TornFrames,
    WrongTime,
)

SYMBOL, TIME = 0, 1  # where these are in a record of every TR that is served
Record = list[str]


def garbled(text: str, rules: Sequence[FrameRule]) -> list[str]:
    """Return the texts that come instead of a frame: usually one, none if it is lost."""
    texts = [text]
    for rule in rules:
        change = _CHANGES.get(type(rule))
        if change:  # cuts and delays have none: the connection makes them
            texts = [changed for text in texts for changed in change(text, rule)]
    return texts


def _without_count(text: str) -> str:
    parts = text.split("|", 3)
    return "|".join([*parts[:2], *parts[3:]])


def _each_record(text: str, change: Callable[[Record], Record]) -> str:
    """Change each record of a whole frame; what an earlier rule has torn stays as it is."""
    parts = text.split("|", 3)
    if len(parts) < 4 or not parts[2].isdigit():
        return text
    fields, count = parts[3].split("^"), int(parts[2])
    if len(fields) % count:
        return text
    width = len(fields) // count
    records = [change(fields[start : start + width]) for start in range(0, len(fields), width)]
    return "|".join([*parts[:3], "^".join("^".join(record) for record in records)])


def _later(record: Record, *, seconds: int) -> Record:
    hour = record[TIME]
    if len(hour) != 6 or not hour.isdigit():
        return record
    moment = timedelta(hours=int(hour[:2]), minutes=int(hour[2:4]), seconds=int(hour[4:]) + seconds)
    of_day = max(0, int(moment.total_seconds()))
    shown = f"{of_day // 3600:02d}{of_day // 60 % 60:02d}{of_day % 60:02d}"
    return [*record[:TIME], shown, *record[TIME + 1 :]]


def _of_another_symbol(record: Record) -> Record:
    """Return a record to another symbol of its kind: a mini for a future or option, and back."""
    code = record[SYMBOL]
    if isinstance(parse(code), Stock):
        return ["000020" if code != "000020" else "000040", *record[1:]]
    own = product_of(code)
    name = "KOSPI200" if own.name == "MINI_KOSPI200" else "MINI_KOSPI200"
    other = next(one for one in PRODUCTS if (one.name, one.kind) == (name, own.kind))
    return [code_under_product(code, other), *record[1:]]


_CHANGES: dict[type[FrameRule], Callable[[str, Any], list[str]]] = {
    LostFrames: lambda _text, _rule: [],
    QuietFeed: lambda _text, _rule: [],
    DoubledFrames: lambda text, rule: [text] * rule.times,
    TornFrames: lambda text, rule: [text[: max(1, int(len(text) * rule.share))]],
    MissingCount: lambda text, _rule: [_without_count(text)],
    AddedFields: lambda text, rule: [
        _each_record(text, lambda record: [*record, *["0"] * rule.fields])
    ],
    WrongTime: lambda text, rule: [_each_record(text, partial(_later, seconds=rule.seconds))],
    ForeignRecords: lambda text, _rule: [text, _each_record(text, _of_another_symbol)],
}
