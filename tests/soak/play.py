"""The parent: runs a season in a child process, plays what was drawn, checks the promise."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from tests.soak.child import Broken, Child, second_collector
from tests.soak.orders import MINUTE, Orders
from tests.soak.plan import ENDS_THE_PROCESS, Event, Season, SessionPlan
from tests.soak.promise import Found, Promise, is_spooled, left_behind
from tests.soak.server import Disk, Server

Say = Callable[[str], object]
MOST_CONNECTIONS = 4
LATER = datetime(9999, 1, 1)
SIGNALS = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM}


@dataclass
class Outcome:
    """The result of a season. `lives`: for each child, the figures at the end of its sessions."""

    drawn: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)  # kinds of KIS's faults, by sessions
    counts: Counter[str] = field(default_factory=Counter)
    gaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    lives: list[list[dict[str, Any]]] = field(default_factory=list)


class Player:
    """Plays sessions; keeps the child alive from one to the next."""

    def __init__(self, season: Season, server: Server, data: Disk, port: int, say: Say) -> None:
        self.outcome = Outcome()
        self._season = season
        self._server = server
        self._data = data
        self._port = port
        self._say = say
        self._errors = data.folder.parent / "child.err"
        self._promise = Promise(season, server.url)
        self._late: list[SessionPlan] = []  # to be looked at again after the next morning …
        self._repaired: dict[int, int] = {}  # … and in which session that was
        self._child: Child | None = None
        self._orders: Orders | None = None
        self._is_away = False  # the database, or its disk is full
        self.at = season.first  # the session that is played or checked

    def play(self, number: int) -> None:
        """Play a session and check it. Raises Broken."""
        session = self._season[number]
        self.at = number
        self._say(f"🚀 {session}")
        self.outcome.drawn.update(session.drawn)
        self.outcome.rules.update({rule.what for rule in session.scenario.rule})
        complete = self._run_child(session)
        self._bring_back()
        self._check(session, complete=complete)
        log = self._data.folder / "live" / "logs" / f"live-{session.day}.log"
        text = log.read_text("utf-8") if log.exists() else ""
        self.outcome.counts["outages noticed"] += text.count("batches go to the spool")

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _run_child(self, session: SessionPlan) -> bool:
        """Let the child go through the session; False if it is not there at its end."""
        marks = session.marks
        start = session.starts
        if self._child is not None:
            self._child.collect(session.orders)
        while True:
            if self._child is None:
                self._start(start)
                self._child.collect(session.orders)
            again = self._until_it_ends(session, marks, start)
            if again is None:
                return self._child is not None
            start = again

    def _start(self, start: datetime) -> None:
        season = self._season
        self._orders = Orders(
            seed=season.seed,
            days=season.days,
            first=season.first,
            kind=season.kind,
            start=start,
            url=self._server.url,
            folder=self._data.folder,
            port=self._port,
        )
        self._child = Child(self._orders, self._errors)
        self.outcome.lives.append([])

    def _until_it_ends(
        self, session: SessionPlan, marks: list[tuple[datetime, Event]], start: datetime
    ) -> datetime | None:
        """Return when it is to be started again; None at the end of the session."""
        child = self._child
        now = start
        assert child is not None
        for word in child.words():
            if word.kind == "done":
                self._note_end(orjson.loads(word.what))
                return None
            now = max(now, datetime.fromisoformat(word.what))
            if word.kind == "mark":
                while marks and marks[0][0] <= now:
                    moment, event = marks.pop(0)
                    if event.what in ENDS_THE_PROCESS:
                        return self._end(child, event, now, marks)
                    self._act(moment, event)
                child.go_on()
        self._child = None
        raise Broken(f"the collector ended by itself at {now:%H:%M} ({child.process.wait()})")

    def _note_end(self, figures: dict[str, Any]) -> None:
        """Note the figures of a session; KIS blocks who connects more often than that."""
        self.outcome.lives[-1].append(figures)
        self.outcome.counts["bars by the feed"] += figures["bars by the feed"]
        if (most := figures["feed connections in ten minutes"]) > MOST_CONNECTIONS:
            raise Broken(f"the feed connected {most} times in ten minutes")

    def _end(
        self, child: Child, event: Event, now: datetime, marks: list[tuple[datetime, Event]]
    ) -> datetime | None:
        """End the process a moment after the mark; go on to when it is to be started again."""
        child.go_on()
        time.sleep(random.Random(event.amount).random() * 0.2)  # noqa: S311
        if event.what == "kill":
            child.kill()
        else:
            child.ask_to_leave(SIGNALS[event.what])
        self._child = None
        for word in child.words():
            if word.kind in ("minute", "mark"):
                now = max(now, datetime.fromisoformat(word.what))
            if word.kind == "done":
                self._note_end(orjson.loads(word.what))
        start = max(event.until, now + MINUTE) if event.until else LATER
        while marks and marks[0][0] <= start:
            moment, missed = marks.pop(0)
            if missed.what not in ("second", *ENDS_THE_PROCESS):
                self._act(moment, missed)
        return start if event.until else None

    def _act(self, moment: datetime, event: Event) -> None:
        """Begin an event, or end it."""
        if event.what == "second":
            if self._orders is not None and not self._is_away:
                second_collector(self._orders)
        elif moment != event.at:
            self._bring_back()
        else:
            self._is_away = True
            self._take_away(event)

    def _take_away(self, event: Event) -> None:
        if event.what == "server":
            self._server.kill(alone=event.amount < 0.5)
        elif event.what == "away":
            self._server.shut_out()
        else:
            self._server.disk.fill()
        if event.what == "both disks":
            self._data.fill()

    def _bring_back(self) -> None:
        """End all events that are on, as a person would who was alerted."""
        self._data.empty()
        self._server.bring_back()
        self._is_away = False

    def _check(self, session: SessionPlan, *, complete: bool) -> None:
        """Check the session and those that were not finished by their evening."""
        found = self._promise.check(session)
        is_final = complete and not is_spooled(self._data.folder)
        broken = [*found.broken, *(found.unfinished if is_final else [])]
        if is_final:
            broken += left_behind(self._data.folder, [self._errors, *self._server.logs()])
        if broken:
            raise Broken("; ".join(broken))
        if is_final:
            for late in self._late:
                self._repaired[late.number] = session.number
                self._look_again(late)
            self._late = []
        if found.waiting or not is_final:
            self._late.append(session)
            self._say(f"⏱️ {session.day} has to wait: {[*found.waiting, *found.unfinished]}")
        else:
            self._count(found)

    def _look_again(self, session: SessionPlan) -> None:
        """Check a session after a later morning has repaired it. Raises Broken."""
        self.at = session.number
        found = self._promise.check(session, self._season[self._repaired[session.number]])
        self._count(found)
        if wrong := found.all:
            by = self._repaired[session.number]
            raise Broken(f"after it was repaired in session {by}: {'; '.join(wrong)}")

    def look_back(self) -> None:
        """Check every session once more: no later one may have damaged it. Raises Broken."""
        for number in range(self._season.first, self._season.last + 1):
            self.at = number
            after = self._repaired.get(number)
            later = self._season[after] if after else None
            if wrong := self._promise.check(self._season[number], later).all:
                raise Broken(f"looked at again in the end: {'; '.join(wrong)}")

    def _count(self, found: Found) -> None:
        self.outcome.counts.update(found.counts)
        self.outcome.gaps.update(found.gaps)


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
