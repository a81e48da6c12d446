"""Two virtual clocks in two processes that show the same time, coupled over one connection.

The collector's clock leads, the simulator's follows. Where the leader would jump, it permits the
follower to go on until that moment. The follower then goes through its own wake-ups alone and says
when it has come to the moment, or stops before it: at once when it sends its client anything. The
leader goes on to where the follower stands, and not further. So a frame is heard at the moment at
which it was sent, and what is asked is answered at the moment at which it was asked.

A line of the leader is one of

    until NUMBER HEARD MOMENT    go on until the moment, or stop if it has passed; I have heard so
                                 many lines of yours
    anything else                an order, for the owner of the follower

and a line of the follower is `MOMENT NUMBER WORD REST`: what its clock shows, the number of the
permission that ends with it (0: of none), and what happened:

    announce KEY, forget KEY     as in `Clock`: of messages to the leader's side
    receive KEY                  as in `Clock`: of a message that the leader has announced
    park KEY, unpark KEY         the request KEY waits for time, or no longer does
    here                         it has come to the moment
    late                         the permission was given before our last line was heard
    anything else                an answer, for the owner of the leader

What the follower writes here before it sends a frame or an answer, the leader's event loop reads
before any task wakes for that: both lie in the sockets by then, and tasks run in the next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import datetime

from engine.clock import VirtualClock

NEVER = datetime(9999, 12, 31)  # as a moment to wait for: nobody waits for time
Hear = Callable[[str], object]


class Line(asyncio.Protocol):
    """The connection, in lines. `hear` gets each, `lost` is called when it has ended."""

    def __init__(self) -> None:
        self.hear: Hear = lambda _line: None
        self.lost: Callable[[], object] = lambda: None
        self.made = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.made.set_result(None)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.hear(line.decode())

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost()

    def say(self, line: str) -> None:
        """Write a line; nothing if the connection has ended."""
        if not self._transport.is_closing():
            self._transport.write(f"{line}\n".encode())

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


class LeadingClock(VirtualClock):
    """The clock of the side that asks. `answered` gets what the follower says beside the clock."""

    def __init__(self, start: datetime, line: Line, answered: Hear) -> None:
        super().__init__(start)
        self._line: Line | None = line
        self._answered = answered
        self._heard = 0
        self._number = 0
        self._allowed: datetime | None = None  # how far the follower may go now
        # Received before they were announced, they are below zero for a while. What has ended must
        # not come back by an announcement that was on its way: a key names one connection.
        self._ended: set[Hashable] = set()
        self._words: dict[str, Callable[[str], object]] = {
            "announce": self._hear_announced,
            "forget": self.forget,
            "receive": super().receive,
            "park": self._waiting_for_time.add,
            "unpark": self._waiting_for_time.discard,
            "here": lambda _: None,
            "late": lambda _: None,
        }
        line.hear = self._hear
        self._wake_at(NEVER, lambda: None, lambda: False)  # the follower may have what we wait for

    def let_go(self) -> None:
        """Go on alone: the follower has ended."""
        self._line = None
        self._under_way.clear()
        self._waiting_for_time.clear()
        self._consider_soon()

    @asynccontextmanager
    async def busy(self, key: Hashable) -> AsyncIterator[None]:
        self._call_back()
        async with super().busy(key):
            yield

    def announce(self, key: Hashable) -> None:
        self._call_back()
        super().announce(key)

    def receive(self, key: Hashable) -> None:
        self._count(key, -1)

    def forget(self, key: Hashable) -> None:
        self._ended.add(key)
        super().forget(key)

    def _hear_announced(self, key: str) -> None:
        self._count(key, +1)

    def _count(self, key: Hashable, messages: int) -> None:
        if key not in self._ended:
            self._under_way[key] += messages
            if not self._under_way[key]:
                super().forget(key)

    def _hear(self, line: str) -> None:
        moment, number, word, *rest = line.split(" ", 3)
        self._heard += 1
        if int(number) == self._number:
            self._allowed = None
        if act := self._words.get(word):
            act(rest[0] if rest else "")
        else:
            self._answered(" ".join([word, *rest]))
        self._go_to(datetime.fromisoformat(moment))

    def _go_to(self, when: datetime) -> None:
        """Follow the follower; to the moment that was allowed, or to one before it."""
        while self._wakeups[0][0] <= when:
            super()._jump(self._wakeups[0][0])
        self._now = max(when, self._now)
        self._consider_soon()

    def _jump(self, when: datetime) -> None:
        if when <= self._now:
            super()._jump(when)
        elif self._line is None:
            if when != NEVER:
                super()._jump(when)
        elif self._allowed is None or when < self._allowed:
            self._allow(when)

    def _call_back(self) -> None:
        """Stop the follower: we work, although nothing that the clock knows of has woken us."""
        if self._allowed is not None and self._allowed > self._now:
            self._allow(self._now)

    def _allow(self, until: datetime) -> None:
        if self._line is not None:
            self._allowed = until
            self._number += 1
            self._line.say(f"until {self._number} {self._heard} {until.isoformat()}")


class FollowingClock(VirtualClock):
    """The clock of the side that is asked. `ordered` gets what the leader says beside the clock."""

    def __init__(self, start: datetime, line: Line, ordered: Hear) -> None:
        super().__init__(start)
        self._line = line
        self._ordered = ordered
        self._said = 0
        self._number = 0  # of the permission to go on, 0 without one
        line.hear = self._hear

    def say(self, what: str) -> None:
        """Say something to the leader, with the time; what was allowed goes on."""
        self._say(what, 0)

    def announce(self, key: Hashable) -> None:
        self._stop(f"announce {key}")

    def receive(self, key: Hashable) -> None:
        self._say(f"receive {key}", 0)

    def forget(self, key: Hashable) -> None:
        self._say(f"forget {key}", 0)

    @asynccontextmanager
    async def parked(self, key: Hashable) -> AsyncIterator[None]:
        self._say(f"park {key}", 0)
        try:
            async with super().parked(key):
                yield
        finally:
            self._stop(f"unpark {key}")

    def _stop(self, what: str) -> None:
        number, self._number = self._number, 0
        self._say(what, number)

    def _say(self, what: str, number: int) -> None:
        self._said += 1
        self._line.say(f"{self._now.isoformat()} {number} {what}")

    def _hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word != "until":
            self._ordered(line)
            return
        number, heard, moment = rest.split(" ")
        allowed, until = int(number), datetime.fromisoformat(moment)
        self._number = allowed
        if int(heard) != self._said:
            self._stop("late")
        elif until <= self._now:
            self._stop("here")
        else:
            self._wake_at(until, lambda: self._stop("here"), lambda: self._number != allowed)

    def _jump(self, when: datetime) -> None:
        if when <= self._now or (self._number and when != NEVER):
            super()._jump(when)
