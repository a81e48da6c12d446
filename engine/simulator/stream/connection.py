"""One connection of a client: its registrations, its frames, its PINGPONG, its end.

A client in this process that gives a key in the header `gt_uid` of its handshake shares the virtual
clock honestly: what is sent to it is announced under that key (`Clock.announce`), and what it sends
it may announce under the key with `TO_SERVER` appended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta

from aiohttp import WSMsgType, web

from engine.errors import CalendarRangeError
from engine.market.hours import DAY, Market, Session, session
from engine.simulator.exchange import is_forgotten, served_session
from engine.simulator.faults.garble import garbled
from engine.simulator.faults.rule import WEBSOCKET
from engine.simulator.faults.stream_rules import HeldFrames, StreamCut
from engine.simulator.quotations.programmes import CODES
from engine.simulator.stream.frames import BLOCK_LENGTH, Frame
from engine.simulator.stream.hub import Hub
from engine.simulator.stream.market_states import state_frames
from engine.simulator.stream.requests import (
    CLOSING,
    Malformed,
    Registration,
    answer,
    is_pingpong,
    pingpong,
    read_registration,
)
from engine.simulator.stream.services import (
    EXPECTATIONS,
    MARKET_STATES,
    PROGRAMMES,
    SERVICES,
    problem,
)
from engine.simulator.stream.told_once import LEAD, expectation_frames, programme_frames

PATH = "/tryitout"  # and below: one connection carries all TRs, whichever it names
TO_SERVER = "-to-server"  # after the client's key: messages that the client announces
LOOK_AHEAD = 10  # days in which a registration finds the symbol's next session
EARLY = timedelta(minutes=5)  # before a session its frames are written

Key = tuple[str, str]  # TR and its key
_OF_STOCKS = {  # what is written of a whole session of the stock market, by TR
    MARKET_STATES: state_frames,
    EXPECTATIONS: expectation_frames,
    PROGRAMMES: programme_frames,
}


class ClientConnection:
    """Serves the WebSocket of one client."""

    def __init__(self, hub: Hub, request: web.BaseRequest) -> None:
        self._hub = hub
        self._clock = hub.clock
        self._request = request
        self._key = request.headers.get("gt_uid", "")
        # KIS's own pings are texts; aiohttp's would be answered by the client's library.
        self._socket = web.WebSocketResponse(
            autoping=False, compress=False, writer_limit=1 << 30, timeout=1.0
        )
        self._registered: dict[Key, asyncio.Task[None]] = {}
        self._echoed_at = self._clock.now()
        self._has_cut = False

    async def run(self) -> web.StreamResponse:
        """Serve until either side ends the connection."""
        await self._socket.prepare(self._request)
        self._hub.counts["connections"] += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                pings = tasks.create_task(self._ping())
                try:
                    await self._read()
                finally:
                    for task in (pings, *self._registered.values()):
                        task.cancel()
        finally:
            self._hub.release(self)
            self._forget()
        return self._socket

    # What the client sends

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                await self._hear(message.data)
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                # The official sample answers so: by a pong that holds the text.
                self._hear_echo(bytes(message.data).decode("utf-8", "replace"))
            elif message.type is not WSMsgType.BINARY:
                return
            if self._key:
                self._clock.receive(self._key + TO_SERVER)

    async def _hear(self, text: str) -> None:
        if self._hear_echo(text):
            return
        try:
            asked = read_registration(text)
        except Malformed as found:
            await self._answer(found.code, found.tr_id, found.tr_key)
            return
        code = self._hub.refusal(self, asked) or self._decide(asked)
        await self._answer(code, asked.tr_id, asked.tr_key)

    def _hear_echo(self, text: str) -> bool:
        if not is_pingpong(text):
            return False
        self._echoed_at = self._clock.now()
        return True

    async def _answer(self, code: str, tr_id: str, tr_key: str) -> None:
        self._hub.counts[code] += 1
        await self._send(answer(code, "(null)" if code in CLOSING else tr_id, tr_key))
        if code in CLOSING:
            await self.cut(politely=True)

    def _decide(self, asked: Registration) -> str:
        """Register or remove, and return the code of the answer."""
        key = (asked.tr_id, asked.tr_key)
        if not asked.is_wanted:
            task = self._registered.pop(key, None)
            if task:
                task.cancel()
            return "OPSP0001" if task else "OPSP0003"
        wrong = problem(asked.tr_id, asked.tr_key)
        if wrong:
            return "OPSP8991" if wrong == "tr_id" else "OPSP8992"
        if self._is_unknown(asked):
            return "OPSP8992"
        if key in self._registered:
            return "OPSP0002"
        if len(self._registered) >= self._hub.registrations():
            return "OPSP0008"
        self._registered[key] = self._tasks.create_task(self._send_frames(*key))
        return "OPSP0000"

    def _is_unknown(self, asked: Registration) -> bool:
        service = SERVICES.get(asked.tr_id)
        is_derivative = service is not None and not asked.tr_id.startswith("H0ST")
        return is_derivative and is_forgotten(asked.tr_key, self._clock.now())

    # What the server sends

    async def _send(self, text: str) -> None:
        """Send a text; cut the client off if too much of what was sent has not been read."""
        transport = self._request.transport
        if transport is None or self._socket.closed:
            return
        if transport.get_write_buffer_size() > self._hub.limits.unsent_bytes:
            self._hub.counts["slow clients"] += 1
            await self.cut()
            return
        if self._key:
            self._clock.announce(self._key)
        with contextlib.suppress(ConnectionError):  # gone meanwhile; the reading side ends it
            await self._socket.send_str(text)

    async def cut(self, *, politely: bool = False) -> None:
        """End the connection; `politely`: with a close frame."""
        self._hub.counts["cuts"] += 1
        self._has_cut = True
        if self._key:
            self._clock.announce(self._key)  # that it ends
        if politely:
            await self._socket.close()
        elif self._request.transport is not None:
            self._request.transport.abort()

    def _forget(self) -> None:
        """Let time go on without the client; one that was cut off has to notice that first."""
        if self._key:
            self._clock.forget(self._key + TO_SERVER)
            if not self._has_cut:
                self._clock.forget(self._key)

    async def _ping(self) -> None:
        limits = self._hub.limits
        while True:
            await self._clock.sleep(limits.ping_every)
            if self._hub.faults.is_down(WEBSOCKET, self._clock.now()):
                await self.cut()
                return
            if self._clock.now() - self._echoed_at >= timedelta(seconds=limits.echo_within):
                self._hub.counts["no echo"] += 1
                await self.cut()
                return
            if not self._hub.faults.is_dead(self._clock.now()):
                await self._send(pingpong(self._clock.now()))

    async def _send_frames(self, tr_id: str, symbol: str) -> None:
        """Send the frames of a registration from now on, each at its time."""
        registered_at = self._clock.now()
        async for frame in self._frames(tr_id, symbol):
            if frame.leaves_at < registered_at:
                continue
            if frame.leaves_at > self._clock.now():
                await self._clock.sleep_until(frame.leaves_at)
            await self._send_frame(tr_id, symbol, frame.text)

    async def _send_frame(self, tr_id: str, symbol: str, text: str) -> None:
        """Send one frame, or what the scenario makes of it."""
        rules = self._hub.faults.rules_for_frame(tr_id, symbol, self._clock.now())
        for rule in rules:
            if isinstance(rule, HeldFrames):
                await self._clock.sleep(rule.seconds)
            if isinstance(rule, StreamCut):
                await self.cut(politely=rule.farewell)
                return
        for changed in garbled(text, rules):
            self._hub.counts["frames"] += 1
            await self._send(changed)

    async def _frames(self, tr_id: str, symbol: str) -> AsyncIterator[Frame]:
        """Yield the frames of the running session and of those that follow."""
        writer = self._hub.frames
        service = SERVICES.get(tr_id)
        if write := _OF_STOCKS.get(tr_id):
            async for session in self._sessions(Market.STOCKS, symbol, LEAD + EARLY):
                for frame in await self._clock.thread(write, self._hub.exchange, symbol, session):
                    yield frame
        if service is None:
            return
        async for session in self._sessions(service.market, symbol):
            blocks = await self._clock.thread(writer.blocks, symbol, session)
            number = max(0, int((self._clock.now() - session.opens) / BLOCK_LENGTH))
            for block in range(number, blocks):
                for frame in await self._clock.thread(
                    writer.block, service.tr_id, symbol, session, block
                ):
                    yield frame

    async def _sessions(
        self, market: Market, symbol: str, early: timedelta = EARLY
    ) -> AsyncIterator[Session]:
        """Yield the running session, then each next one shortly before it begins."""
        day = self._clock.now().date() - DAY  # a night may have begun the day before
        while True:
            found = self._next_session(market, symbol, day)
            if found is None:
                return
            day = found.date + DAY
            if self._clock.now() - found.opens > DAY:
                continue
            if self._clock.now() < found.opens - early:
                await self._clock.sleep_until(found.opens - early)
            yield found

    def _next_session(self, market: Market, symbol: str, day: date) -> Session | None:
        for ahead in range(LOOK_AHEAD):
            try:
                if symbol in CODES.values():  # of a whole market
                    found = session(market, day + ahead * DAY)
                else:
                    found = served_session(symbol, market, day + ahead * DAY)
            except CalendarRangeError:
                return None
            if found is not None:
                return found
        return None
