"""The WebSocket of one app key: connected, registered and read for as long as it is wanted.

Of all processes on this machine one has the connection of an app key: the one that holds a lock
file. Nothing here raises for what KIS or the network does: the connection is made again, slower
each time and never more than four times in ten minutes, and REST carries on meanwhile
(docs/kis.md#connection). Reading never waits until frames are taken.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiohttp
from filelock import FileLock, Timeout

from engine.clock import Clock
from engine.errors import KisError, KisKeyRefused
from engine.kis.answer import without_secrets
from engine.kis.stream.allowance import Allowance
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.cipher import StreamKey
from engine.kis.stream.frames import Frame
from engine.kis.stream.messages import (
    PINGPONG,
    StreamAnswer,
    Verdict,
    read_message,
    registration_of_frame,
    registration_text,
)
from engine.kis.stream.queue import FrameQueue
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.registry import Registry
from engine.kis.stream.silence import Silence, Trading
from engine.kis.stream.state import StreamState
from engine.kis.transport import open_feed_session

log = logging.getLogger(__name__)

_REAL_HOST = "openapi.koreainvestment.com"
_REAL, _PAPER = "ws://ops.koreainvestment.com:21000", "ws://ops.koreainvestment.com:31000"
_TO_SERVER = "-to-server"  # appended to a connection's name: what its simulator receives
_LARGEST = 4 << 20  # bytes of a message
_LOCK_POLL = 30.0  # seconds between looks whether another process has let go
_CONNECT_TIMEOUT = 10.0
_FAREWELL = aiohttp.ClientWSTimeout(ws_close=2.0)  # a dead server does not answer a close frame
_PACE = 0.1  # seconds between registrations; others found 0.05 to 0.5 to be safe
_LOOK = 2.0  # seconds between looks at silence and at what is wanted
# Seconds before the next try, by failures in a row. The first comes soon; the others are spread, as
# there may be no more than four in ten minutes.
_WAITS = (2.0, 30.0, 120.0)
_WAIT_IN_USE = (60.0, 120.0, 300.0)
_WAIT_REFUSED = 600.0
_GOOD_AFTER = timedelta(seconds=60)  # a connection that lasted so long was a success


def stream_address(base_url: str) -> str:
    """Return the address of the WebSocket that belongs to KIS's REST address, or a simulator's."""
    parts = urlsplit(base_url)
    if parts.hostname == _REAL_HOST:
        return _REAL
    if parts.hostname == "openapivts.koreainvestment.com":
        return _PAPER
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path, "", ""))


@dataclass(frozen=True)
class _Ending:
    """Why a connection ended, and how long to wait (seconds) after one, two … failures in a row."""

    why: str
    waits: tuple[float, ...] = _WAITS


_CLOSED = _Ending("the connection was closed")
_SILENT = _Ending("no data came")
_IN_USE = _Ending(Verdict.KEY_IN_USE.value, _WAIT_IN_USE)
_REFUSED = _Ending(Verdict.KEY_REFUSED.value, (_WAIT_REFUSED,))
_UNKNOWN = _Ending(Verdict.APPROVAL_UNKNOWN.value, (_WAIT_REFUSED,))
_WORTH_A_LINE = (Verdict.INVALID, Verdict.FAILED)
_ENDINGS = {Verdict.KEY_IN_USE: _IN_USE, Verdict.KEY_REFUSED: _REFUSED}


def _ending_of(error: KisError) -> _Ending:
    """Return the ending if KIS gave no approval key; a refused app key takes a longer wait."""
    refused = isinstance(error, KisKeyRefused)
    return _Ending(str(error), (_WAIT_REFUSED,) if refused else _WAITS)


class StreamConnection:
    """Keeps the connection of one app key. Use from one event loop; close when done.

    `url` is the address of the WebSocket without a path. `stem` is what the paths of the app key's
    files begin with (engine.kis.auth.file_stem). `trading` says whether a registration must have
    data at a moment; without it silence is never taken for a fault.
    """

    def __init__(
        self,
        url: str,
        approvals: ApprovalKeeper,
        stem: Path,
        clock: Clock,
        *,
        trading: Trading | None = None,
        chance: random.Random | None = None,
        queue: FrameQueue | None = None,
    ) -> None:
        self.keys: dict[str, StreamKey] = {}  # of encrypted TRs, for read_frames
        self._allowance = Allowance(stem.with_name(f"{stem.name}-stream.json"), clock)
        self._registry = Registry(self._allowance.limit)
        self.state = StreamState(limit=self._registry.limit, paper=url.startswith(_PAPER))
        self._queue = FrameQueue() if queue is None else queue
        self._url = url.rstrip("/")
        self._approvals = approvals
        self._approval_key = ""
        self._link = ""  # the connection's name for the clock, see Clock.announce
        self._unknown_key: str | None = None  # the approval key that KIS said it does not know
        self._clock = clock
        self._lock = FileLock(stem.with_name(f"{stem.name}-stream.lock"))
        self._silence = Silence(trading or (lambda _one, _moment: False))
        self._chance = chance or random.Random()  # noqa: S311  spreads retries, guards nothing
        self._wanted: tuple[StreamRegistration, ...] = ()
        self.ever_wanted: set[StreamRegistration] = set()  # frames of these may still come
        self._changed = asyncio.Event()
        self._failures = 0
        self._slow = False  # whether frames wait for a reader
        self._told: set[str] = set()  # KIS's codes that were logged for this connection
        self._task: asyncio.Task[None] | None = None

    def want(self, registrations: Iterable[StreamRegistration]) -> None:
        """Set what is wanted from now on, the most important first; the last may find no room."""
        self._wanted = tuple(dict.fromkeys(registrations))
        self.ever_wanted.update(self._wanted)
        self._changed.set()

    def start(self) -> None:
        """Begin to connect, in a task of its own."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def take(self) -> list[Frame]:
        """Wait for frames and return all that have come; empty once the connection is closed."""
        frames = await self._queue.take()
        self._slow = False
        return frames

    async def close(self) -> None:
        """Close the connection and release it. Frames that have come can still be taken."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._queue.close()
        self.state.doing = "closed"

    async def _run(self) -> None:
        await self._acquire()
        try:
            async with open_feed_session(self._url) as session:
                while True:
                    await self._await_wish()
                    await self._await_allowance()
                    began = self._clock.now()
                    try:
                        ending = await self._connect(session)
                    except Exception as error:  # noqa: BLE001 - nobody waits for this task
                        ending = _Ending(
                            f"the connection crashed: {self._without_keys(repr(error))}"
                        )
                    await self._wait_after(ending, self._clock.now() - began)
        finally:
            self._lock.release()

    async def _acquire(self) -> None:
        """Take the lock; while another process has it, say so and look again now and then."""
        while not self._try_lock():
            if not self.state.held_elsewhere:
                log.warning(
                    "⚠️ feed: another process has the connection of this app key; its symbols are"
                    " polled here"
                )
            self.state.held_elsewhere = True
            self.state.doing = "another process has the connection"
            await self._clock.sleep(_LOCK_POLL)
        self.state.held_elsewhere = False

    def _try_lock(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except (Timeout, OSError):
            return False
        return True

    async def _await_wish(self) -> None:
        while not self._wanted:
            self.state.doing = "nothing is registered"
            self._changed.clear()
            await self._changed.wait()

    async def _await_allowance(self) -> None:
        while wait := self._allowance.wait():
            until = self._clock.now() + wait
            if self.state.paused_until is None:
                log.warning(
                    "⚠️ feed: four connections in ten minutes; none until %s, REST carries on",
                    f"{until:%H:%M:%S}",
                )
            self.state.paused_until = until
            self.state.doing = f"pauses until {until:%H:%M:%S}"
            await self._clock.sleep(wait.total_seconds())
        self.state.paused_until = None

    async def _wait_after(self, ending: _Ending, lasted: timedelta) -> None:
        self._failures = 1 if lasted >= _GOOD_AFTER else self._failures + 1
        wait = ending.waits[min(self._failures, len(ending.waits)) - 1]
        wait *= self._chance.uniform(0.8, 1.2)
        log.warning("🔄 feed: %s; the next try is in %.0f s, REST carries on", ending.why, wait)
        self.state.doing = ending.why
        await self._clock.sleep(wait)

    async def _connect(self, session: aiohttp.ClientSession) -> _Ending:
        """Make the connection once and keep it; return why it ended."""
        self.state.doing = "connects"
        try:
            self._approval_key = await self._approvals.approval_key()
        except KisError as error:
            return _ending_of(error)
        if not self._allowance.note_connection():
            return _Ending("connections cannot be counted", (_WAIT_REFUSED,))
        self.state.made_at.append(self._clock.now())
        link = self._link = uuid4().hex
        try:
            # Pings of our own are off: KIS wants none but its own back.
            async with self._clock.busy(link), self._clock.timeout(_CONNECT_TIMEOUT):
                socket = await session.ws_connect(
                    f"{self._url}/tryitout/{self._wanted[0].tr_id}",
                    headers={"gt_uid": link},
                    heartbeat=None,
                    max_msg_size=_LARGEST,
                    timeout=_FAREWELL,
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return _Ending(f"no connection: {type(error).__name__}")
        try:
            return await self._serve(socket)
        except (aiohttp.ClientError, OSError):
            return _CLOSED
        finally:
            self.state.connected_since = None
            self.state.registered = self.state.silent = ()
            self._clock.forget(link)
            self._clock.forget(link + _TO_SERVER)
            await socket.close()

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> _Ending:
        """Read and register until one of the two ends."""
        now = self._clock.now()
        self.state.connected_since, self.state.doing = now, "connected"
        self._unknown_key = None
        self._registry.forget()
        self._told.clear()
        self._silence.begin(None, now)
        tasks = [asyncio.create_task(self._read(socket)), asyncio.create_task(self._tend(socket))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> _Ending:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                text: str = message.data
            elif message.type is aiohttp.WSMsgType.BINARY:
                text = message.data.decode("utf-8", "replace")
            else:
                break
            if ending := await self._handle(socket, text):
                return ending
            self._clock.receive(self._link)
        return _CLOSED

    async def _handle(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> _Ending | None:
        if text.startswith(("0|", "1|")):
            self._note_frame(text)
            return None
        found = read_message(text)
        if isinstance(found, StreamAnswer):
            return self._note_answer(found)
        if found == PINGPONG:
            await self._send(socket, text)
        else:
            self._put(text)  # the reader of frames keeps it as rejected
        return None

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        self._clock.announce(self._link + _TO_SERVER)
        await socket.send_str(text)

    def _note_frame(self, text: str) -> None:
        now = self._clock.now()
        self._put(text)
        found = registration_of_frame(text)
        if found is None:
            return
        if self._registry.note_data(found, now):
            self.state.registered = self._registry.registered
        self._silence.note(found, now)

    def _put(self, text: str) -> None:
        self._queue.put((self._clock.now(), text))
        self.state.frames += 1
        self.state.dropped = self._queue.dropped
        if self._queue.half_full and not self._slow:
            self._slow = True
            log.warning(
                "⚠️ feed: %d frames wait to be read; the oldest may be lost", len(self._queue)
            )

    def _note_answer(self, answer: StreamAnswer) -> _Ending | None:
        """Note an answer to a registration; return why the connection must end, if it must."""
        now = self._clock.now()
        unknown_key = self._registry.note_answer(answer, now)
        if answer.verdict is Verdict.REGISTERED:
            self._silence.begin(answer.registration, now)
        if answer.secret:
            self.keys[answer.registration.tr_id] = answer.secret
        self.state.registered = self._registry.registered
        if self._registry.limit < self.state.limit:
            self.state.limit = self._registry.limit
            self._allowance.note_limit(self.state.limit)
            log.warning("⚠️ feed: KIS takes %d registrations; the rest is polled", self.state.limit)
        elif answer.verdict in _WORTH_A_LINE and answer.code not in self._told:
            self._told.add(answer.code)
            log.warning(
                "⚠️ feed: %s is not registered: %s",
                answer.registration,
                self._without_keys(f"{answer.text} ({answer.code})"),
            )
        if answer.verdict is Verdict.APPROVAL_UNKNOWN:
            self._unknown_key = unknown_key or self._approval_key
            self._changed.set()
        return _ENDINGS.get(answer.verdict)

    def _without_keys(self, text: str) -> str:
        return without_secrets(self._approvals.secrets(), text)

    async def _tend(self, socket: aiohttp.ClientWebSocketResponse) -> _Ending:
        """Register what is wanted, one after another, and look whether data comes."""
        while True:
            if self._unknown_key is not None and (ending := await self._renew()):
                return ending
            now = self._clock.now()
            self.state.silent = tuple(self._silence.silent(self._registry.registered, now))
            if self._silence.is_down(now):
                self._silence.note_fault()
                return _SILENT
            step = self._registry.next_step(self._wanted, now)
            if step is None:
                await self._await_change()
                continue
            self._registry.note_sent(step, now, self._approval_key)
            await self._send(
                socket,
                registration_text(self._approval_key, step.registration, remove=step.remove),
            )
            await self._clock.sleep(_PACE)

    async def _await_change(self) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with self._clock.timeout(_LOOK):
                await self._changed.wait()

    async def _renew(self) -> _Ending | None:
        """Replace the approval key that KIS does not know, once; the connection stays."""
        unknown, self._unknown_key = self._unknown_key or "", None
        if unknown != self._approval_key:
            return None  # the answer to a message that went out before the new key
        try:
            renewed = await self._approvals.replace(unknown)
        except KisError as error:
            return _ending_of(error)
        if renewed is None:
            return _UNKNOWN
        self._approval_key = renewed
        return None
