"""A scenario at work: which rules hit this call, and what they do to this session's bars."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import blake2b

from engine.market import instruments
from engine.simulator.faults.scenario import (
    BarRule,
    CallRule,
    CorrectedBar,
    LateBar,
    Maintenance,
    MissingBar,
    Pace,
    Rule,
    Scenario,
)
from engine.simulator.market.data import draws
from engine.simulator.partial_bar import bar_row
from engine.simulator.session_rows import Late, Sheet

Numbered = tuple[int, CallRule]


def dice(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=7).digest(), "big") / 2**56


class Disturbance:
    """The rules of a scenario with what they remember. `counts` is by kind of rule.

    Rules about bars leave the sessions before `first_day` alone: history has long settled.
    """

    def __init__(self, scenario: Scenario, first_day: date, counts: Counter[str]) -> None:
        self.seed, self._first_day, self.counts = scenario.seed, first_day, counts
        numbered = list(enumerate(scenario.rule, start=1))
        self._bar_rules = [(n, rule) for n, rule in numbered if isinstance(rule, BarRule)]
        standing = (BarRule, Pace, Maintenance)
        self._call_rules = [(n, rule) for n, rule in numbered if not isinstance(rule, standing)]
        self._standing = [rule for _, rule in numbered if isinstance(rule, Pace | Maintenance)]
        self._asked: Counter[tuple[int, str, str]] = Counter()
        self._fired: Counter[int] = Counter()

    def down(self, tr_id: str, now: datetime) -> bool:
        """Say whether there is maintenance."""
        for rule in self._standing:
            if isinstance(rule, Maintenance) and tr_id in rule.endpoints and _during(rule, now):
                self.counts[rule.what] += 1
                return True
        return False

    def pace(self, usual: float, now: datetime) -> float:
        """Return how many calls a second are let through now."""
        paces = [rule for rule in self._standing if isinstance(rule, Pace) and _during(rule, now)]
        return min([usual, *(rule.calls_per_second for rule in paces)])

    def hits(self, tr_id: str, symbol: str, now: datetime) -> list[Numbered]:
        """Return the rules that this call meets, with their numbers, in the scenario's order."""
        return [
            (number, rule)
            for number, rule in self._call_rules
            if tr_id in rule.endpoints and _during(rule, now) and fnmatchcase(symbol, rule.symbol)
            if self._strikes(number, rule, symbol, tr_id)
        ]

    def _strikes(self, number: int, rule: Rule, symbol: str, tr_id: str) -> bool:
        if rule.limit is not None and self._fired[number] >= rule.limit:
            return False
        self._asked[number, symbol, tr_id] += 1
        nth = self._asked[number, symbol, tr_id]
        if rule.every is not None:
            struck = nth % rule.every == 0
        else:
            struck = dice(self.seed, number, symbol, tr_id, nth) < (rule.probability or 1.0)
        self._fired[number] += struck
        if struck:
            self.counts[rule.what] += 1
        return struck

    def sheet(self, sheet: Sheet) -> Sheet:
        """Return the session with its late, missing and corrected bars."""
        if sheet.session.date < self._first_day or not self._bar_rules:
            return sheet
        late: dict[int, Late] = {}
        for number, rule in self._bar_rules:
            if fnmatchcase(sheet.symbol, rule.symbol):
                for place in self._places(number, rule, sheet):
                    late.setdefault(place, self._late(number, rule, sheet, place))
        return replace(sheet, late=late)

    def _places(self, number: int, rule: BarRule, sheet: Sheet) -> list[int]:
        share = rule.probability if rule.probability is not None else 1.0 / (rule.every or 1)
        thrown = draws(self.seed, number, sheet.symbol, sheet.session).random(24 * 60).tolist()
        struck = [
            place
            for place, label in enumerate(sheet.labels)
            if thrown[label.hour * 60 + label.minute] < share and _during(rule, label)
        ][: rule.limit]
        self.counts[rule.what] += len(struck)
        return struck

    def _late(self, number: int, rule: BarRule, sheet: Sheet, place: int) -> Late:
        end, sealed = sheet.ends[place], sheet.session.sealed_at
        if isinstance(rule, LateBar):
            return Late(shown_from=min(end + timedelta(seconds=rule.seconds), sealed))
        if isinstance(rule, MissingBar):
            return Late(shown_from=sealed if rule.until == "sealed" else None)
        until = sealed if rule.minutes == "sealed" else end + timedelta(minutes=rule.minutes)
        wrong = self._wrong(number, rule, sheet, place)
        return Late(sheet.labels[place], wrong, min(until, sealed))

    def _wrong(self, number: int, rule: CorrectedBar, sheet: Sheet, place: int) -> bytes:
        """Return the bar as KIS has it first: fewer trades, another close."""
        label, opened, high, low, close, volume = sheet.bars.row(place)
        up = 1 if dice(self.seed, number, sheet.symbol, place, "up") < 0.5 else -1
        tick = instruments.tick_size(sheet.symbol, close)
        close = round(max(tick, close + up * rule.ticks * tick), 2)
        volume = volume + 1 if volume < 3 else volume * 2 // 3
        wrong = (label, opened, max(high, close), min(low, close), close, volume)
        return bar_row(sheet.finished(place), wrong, volume)


def _during(rule: Rule, moment: datetime) -> bool:
    return rule.start <= moment.time() < rule.end
