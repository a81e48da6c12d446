"""What one connection has registered, and which message to send next for what is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.backoff import Backoff
from engine.kis.stream.messages import StreamAnswer, Verdict
from engine.kis.stream.registrations import StreamRegistration

_SHORTEST_STAY = timedelta(seconds=60)  # of a registration, before it is removed
_RETRY = Backoff(first=60.0, longest=600.0)  # seconds, after KIS failed or did not answer
_ANSWER_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True)
class Step:
    """A message to send: to register, or to remove."""

    registration: StreamRegistration
    remove: bool = False


@dataclass(frozen=True)
class _Sent:
    step: Step
    when: datetime
    approval_key: str


class Registry:
    """Follows what KIS answers. `limit` is how many registrations it takes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._registered: dict[StreamRegistration, datetime] = {}
        self._sent: dict[StreamRegistration, _Sent] = {}
        self._not_before: dict[StreamRegistration, datetime] = {}
        self._failures = Counter[StreamRegistration]()
        self._refusals = 0  # for want of room although nothing is registered on this connection
        self._full_until: datetime | None = None
        self._invalid: set[StreamRegistration] = set()

    @property
    def registered(self) -> tuple[StreamRegistration, ...]:
        """What KIS has confirmed, or sent data of."""
        return tuple(self._registered)

    def forget(self) -> None:
        """Begin a new connection: nothing is registered; what KIS called invalid stays invalid."""
        self._registered.clear()
        self._sent.clear()
        self._not_before.clear()
        self._failures.clear()
        self._refusals, self._full_until = 0, None

    def next_step(self, wanted: Sequence[StreamRegistration], now: datetime) -> Step | None:
        """Return the next message; None if none is to be sent now."""
        self._drop_unanswered(now)
        target = [one for one in wanted if one not in self._invalid][: self.limit]
        for one, since in self._registered.items():
            old = one not in target and one not in self._sent and now - since >= _SHORTEST_STAY
            if old and now >= self._not_before.get(one, now):
                return Step(one, remove=True)
        occupied = self._registered.keys() | self._sent.keys()
        if len(occupied) >= self.limit or (self._full_until and now < self._full_until):
            return None
        missing = (one for one in target if one not in occupied)
        free = (one for one in missing if now >= self._not_before.get(one, now))
        return next(map(Step, free), None)

    def note_sent(self, step: Step, now: datetime, approval_key: str) -> None:
        """Note that a message went out."""
        self._sent[step.registration] = _Sent(step, now, approval_key)

    def note_data(self, one: StreamRegistration, now: datetime) -> bool:
        """Note that data came: so it is registered, whatever was answered. True if that is news."""
        sent = self._sent.get(one)
        if one in self._registered or sent is None or sent.step.remove:
            return False
        self._confirm(one, now)
        return True

    def note_answer(self, answer: StreamAnswer, now: datetime) -> str | None:
        """Note KIS's answer; return the approval key if the answer was that it is unknown.

        A refusal for want of room lowers `limit` to the number of registrations.
        """
        one = self._answered(answer.registration)
        sent = self._sent.pop(one, None)
        removing = sent is not None and sent.step.remove
        if answer.verdict is Verdict.APPROVAL_UNKNOWN:
            return sent.approval_key if sent else None
        if answer.verdict is Verdict.REGISTERED and not removing:
            self._confirm(one, now)
        elif (removing and answer.verdict is Verdict.INVALID) or (
            answer.verdict is Verdict.REMOVED and (removing or sent is None)
        ):
            self._registered.pop(one, None)
        elif answer.verdict is Verdict.INVALID:
            self._invalid.add(one)
        else:
            self._postpone(one, now)
            if answer.verdict is Verdict.FULL and not removing:
                self._note_full(now)
        return None

    def _note_full(self, now: datetime) -> None:
        if self._registered:
            self.limit = min(self.limit, len(self._registered))
        else:
            self._refusals += 1
            self._full_until = now + _wait(self._refusals)

    def _confirm(self, one: StreamRegistration, now: datetime) -> None:
        self._sent.pop(one, None)
        self._registered.setdefault(one, now)

    def _postpone(self, one: StreamRegistration, now: datetime) -> None:
        self._failures[one] += 1
        self._not_before[one] = now + _wait(self._failures[one])

    def _answered(self, named: StreamRegistration) -> StreamRegistration:
        """Return what an answer is about: what it names, else the oldest unanswered message."""
        return named if named in self._sent else next(iter(self._sent), named)

    def _drop_unanswered(self, now: datetime) -> None:
        for one, sent in list(self._sent.items()):
            if now - sent.when > _ANSWER_WITHIN:
                del self._sent[one]
                self._postpone(one, now)
                if sent.step.remove:
                    self._registered.pop(one, None)


def _wait(failures: int) -> timedelta:
    return timedelta(seconds=_RETRY.wait_after(failures))
