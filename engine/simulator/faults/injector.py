"""Which rules of a scenario apply to a call, and what they do to the bars of a session."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import blake2b

from engine.simulator.faults.rule import Rule
from engine.simulator.faults.scenario import (
    BarRule,
    CallRule,
    CorrectedBar,
    ImpossibleBar,
    LateBar,
    LowerPace,
    Maintenance,
    MissingBar,
    Scenario,
)
from engine.simulator.faults.stream_rules import (
    FrameRule,
    QuietFeed,
    RefuseRegistration,
    RegistrationLimit,
    StreamRule,
)
from engine.simulator.market.data import draws, instrument
from engine.simulator.partial_bar import bar_row
from engine.simulator.session_rows import FOREVER, BarFault, SessionRows

NumberedRule = tuple[int, CallRule]


def dice(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=7).digest(), "big") / 2**56


class FaultInjector:
    """Decides which rules of a scenario apply. `counts` counts what was applied, by kind of rule.

    Rules about bars leave the sessions before `first_day` alone: KIS's answers about them are
    final.
    """

    def __init__(self, scenario: Scenario, first_day: date, counts: Counter[str]) -> None:
        self.seed = scenario.seed
        self.counts = counts
        self._first_day = first_day
        numbered = list(enumerate(scenario.rule, start=1))
        self._bar_rules = [(n, rule) for n, rule in numbered if isinstance(rule, BarRule)]
        self._state_rules = [
            rule for _, rule in numbered if isinstance(rule, LowerPace | Maintenance)
        ]
        self._stream_rules = [(n, rule) for n, rule in numbered if isinstance(rule, StreamRule)]
        others = (BarRule, LowerPace, Maintenance, StreamRule)
        self._call_rules = [(n, rule) for n, rule in numbered if not isinstance(rule, others)]
        self._asked: Counter[tuple[int, str, str]] = Counter()
        self._applied: Counter[int] = Counter()

    def is_down(self, tr_id: str, now: datetime) -> bool:
        """Say whether there is maintenance."""
        for rule in self._state_rules:
            if isinstance(rule, Maintenance) and tr_id in rule.endpoints and _during(rule, now):
                self.counts[rule.what] += 1
                return True
        return False

    def pace(self, usual: float, now: datetime) -> float:
        """Return how many calls a second are let through now: `usual`, or fewer."""
        paces = [
            rule for rule in self._state_rules if isinstance(rule, LowerPace) and _during(rule, now)
        ]
        return min([usual, *(rule.calls_per_second for rule in paces)])

    def rules_for_call(self, tr_id: str, symbol: str, now: datetime) -> list[NumberedRule]:
        """Return the rules that apply to this call, with their numbers, in the scenario's order."""
        return [
            (number, rule)
            for number, rule in self._call_rules
            if tr_id in rule.endpoints and _during(rule, now) and fnmatchcase(symbol, rule.symbol)
            if self._applies(number, rule, symbol, tr_id)
        ]

    def rules_for_frame(self, tr_id: str, symbol: str, now: datetime) -> list[FrameRule]:
        """Return the rules that apply to a frame that leaves now, in the scenario's order."""
        return [
            rule
            for number, rule in self._stream_rules
            if isinstance(rule, FrameRule) and tr_id in rule.endpoints
            if _during(rule, now) and fnmatchcase(symbol, rule.symbol)
            if self._applies(number, rule, symbol, tr_id)
        ]

    def refused_registration(self, tr_id: str, symbol: str, now: datetime) -> str | None:
        """Return the code with which a registration is refused now; None if it is not."""
        for number, rule in self._stream_rules:
            if (
                isinstance(rule, RefuseRegistration)
                and (rule.endpoint == "all" or tr_id in rule.endpoints)
                and _during(rule, now)
                and fnmatchcase(symbol, rule.symbol)
                and self._applies(number, rule, symbol, tr_id)
            ):
                return rule.code
        return None

    def registrations(self, usual: int, now: datetime) -> int:
        """Return how many registrations a connection may have now: `usual`, or fewer."""
        limits = [
            rule.registrations
            for _, rule in self._stream_rules
            if isinstance(rule, RegistrationLimit) and _during(rule, now)
        ]
        return min([usual, *limits])

    def is_dead(self, now: datetime) -> bool:
        """Say whether the feed is so silent now that not even PINGPONG comes."""
        return any(
            isinstance(rule, QuietFeed) and not rule.pings and _during(rule, now)
            for _, rule in self._stream_rules
        )

    def _applies(self, number: int, rule: Rule, symbol: str, tr_id: str) -> bool:
        if rule.limit is not None and self._applied[number] >= rule.limit:
            return False
        self._asked[number, symbol, tr_id] += 1
        nth = self._asked[number, symbol, tr_id]
        if rule.every is not None:
            applies = nth % rule.every == 0
        else:
            applies = dice(self.seed, number, symbol, tr_id, nth) < (rule.probability or 1.0)
        self._applied[number] += applies
        if applies:
            self.counts[rule.what] += 1
        return applies

    def add_faults(self, session_rows: SessionRows) -> SessionRows:
        """Return the session with its late, missing and corrected bars."""
        if session_rows.session.date < self._first_day or not self._bar_rules:
            return session_rows
        faults: dict[int, BarFault] = {}
        for number, rule in self._bar_rules:
            if fnmatchcase(session_rows.symbol, rule.symbol):
                for index in self._bars_hit(number, rule, session_rows):
                    faults.setdefault(index, self._bar_fault(number, rule, session_rows, index))
        return replace(session_rows, faults=faults)

    def _bars_hit(self, number: int, rule: BarRule, session_rows: SessionRows) -> list[int]:
        share = rule.probability if rule.probability is not None else 1.0 / (rule.every or 1)
        random = draws(self.seed, number, session_rows.symbol, session_rows.session)
        thrown = random.random(24 * 60).tolist()
        hit = [
            index
            for index, label in enumerate(session_rows.labels)
            if thrown[label.hour * 60 + label.minute] < share and _during(rule, label)
        ][: rule.limit]
        self.counts[rule.what] += len(hit)
        return hit

    def _bar_fault(
        self, number: int, rule: BarRule, session_rows: SessionRows, index: int
    ) -> BarFault:
        end = session_rows.ends[index]
        sealed_at = session_rows.session.sealed_at
        if isinstance(rule, LateBar):
            return BarFault(shown_from=min(end + timedelta(seconds=rule.seconds), sealed_at))
        if isinstance(rule, MissingBar):
            return BarFault(shown_from=sealed_at if rule.until == "sealed" else None)
        if isinstance(rule, ImpossibleBar):
            until = sealed_at if rule.until == "sealed" else FOREVER
            return BarFault(session_rows.labels[index], _impossible_row(session_rows, index), until)
        until = sealed_at if rule.minutes == "sealed" else end + timedelta(minutes=rule.minutes)
        wrong_row = self._wrong_row(number, rule, session_rows, index)
        return BarFault(session_rows.labels[index], wrong_row, min(until, sealed_at))

    def _wrong_row(
        self, number: int, rule: CorrectedBar, session_rows: SessionRows, index: int
    ) -> bytes:
        """Return the bar as KIS has it first: fewer trades, another close."""
        label, opened, high, low, close, volume = session_rows.bars.row(index)
        up = 1 if dice(self.seed, number, session_rows.symbol, index, "up") < 0.5 else -1
        tick = instrument(session_rows.symbol).tick_size(close)
        close = round(max(tick, close + up * rule.ticks * tick), 2)
        volume = volume + 1 if volume < 3 else volume * 2 // 3
        wrong = (label, opened, max(high, close), min(low, close), close, volume)
        return bar_row(session_rows.finished_bar(index), wrong, volume)


def _during(rule: Rule, moment: datetime) -> bool:
    return rule.start <= moment.time() < rule.end


def _impossible_row(session_rows: SessionRows, index: int) -> bytes:
    """Return the bar with a high a tick below its low."""
    label, opened, _, low, close, volume = session_rows.bars.row(index)
    tick = instrument(session_rows.symbol).tick_size(low)
    wrong = (label, opened, round(max(low - tick, tick / 2), 2), low, close, volume)
    return bar_row(session_rows.finished_bar(index), wrong, volume)
