"""The client: a typed request in, an answer that KIS calls fine out, or one KisError.

What can pass is tried again within the time the call belongs to: no answer, a refused pace, a
rejected token. stamina, which we would otherwise take for retries, waits by the event loop's own
sleep; here every wait is the clock's, so that a simulated storm takes no real time.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from engine.clock import Clock
from engine.errors import (
    InputError,
    KisError,
    KisKeyRefused,
    KisPaceExceeded,
    KisTokenRejected,
    KisUnreachable,
)
from engine.files import private_folder
from engine.kis.answer import Answer, read_body, without
from engine.kis.auth import Token, TokenKeeper, file_stem
from engine.kis.circuit import Circuit
from engine.kis.endpoints import Request, correct_tr_ids, tr_id_of
from engine.kis.pacing import FRONT, Pace, Priority
from engine.kis.skew import Skew
from engine.kis.transport import Reply, Transport
from engine.settings import AppKey, KisSettings

log = logging.getLogger(__name__)

__all__ = ["KisClient", "Priority"]

_TRIES = 5  # of a call that has no deadline
_KEY_AGAIN = timedelta(minutes=10)  # a key that was refused is tried again: it may be renewed
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0  # seconds before the next try, doubled each time


@dataclass
class _Account:
    """One app key: its token and its budget."""

    key: AppKey
    tokens: TokenKeeper
    pace: Pace
    queue: int = 0  # calls that wait for a token or their turn
    refused: KisKeyRefused | None = None  # why KIS did not take this key, …
    refused_at: datetime | None = None  # … and when it was last asked


class KisClient:
    """Talks to KIS under the budgets of its app keys. Use from one event loop; close when done.

    `folder` holds tokens, paces and their locks; all processes of this user must share it. A
    simulation needs a folder of its own life, since its address is another each time. `jitter`
    is the source of chance for the waits between tries: seeded, a simulated day repeats exactly.
    """

    def __init__(
        self,
        settings: KisSettings,
        clock: Clock,
        *,
        folder: Path,
        jitter: random.Random | None = None,
    ) -> None:
        if not settings.app_keys:
            raise InputError("no app key of KIS is configured: set app_key and app_secret")
        self.clock, self.counts = clock, Counter[str]()
        self._settings, self._folder = settings, private_folder(folder)
        self._jitter = jitter or random.Random()  # noqa: S311  spreads retries, guards nothing
        self._tr_ids = correct_tr_ids(settings.tr_id)
        self._transport = Transport(settings.base_url, clock, timeout=settings.request_timeout)
        self._circuit, self._skew = Circuit(clock), Skew()
        self._accounts = [self._account(key) for key in settings.app_keys]
        self._own_paces: dict[tuple[int, str], Pace] = {}

    @property
    def calls(self) -> int:
        """Requests sent, tries included, tokens not."""
        return self.counts["calls"]

    @property
    def refusals(self) -> int:
        """Requests that KIS refused as too fast."""
        return self.counts["refusals"]

    @property
    def per_second(self) -> float:
        """Calls a second that KIS takes just now, all app keys together."""
        return sum(account.pace.per_second for account in self._accounts)

    @property
    def master_url(self) -> str:
        """Where the list of index futures and options lies."""
        return self._settings.master_url

    @property
    def reachable(self) -> bool:
        """Whether KIS answers."""
        return not self._circuit.open

    async def call(
        self,
        request: Request,
        *,
        priority: Priority = Priority.LIVE,
        deadline: datetime | None = None,
        minute: datetime | None = None,
    ) -> Answer:
        """Return KIS's answer, trying until `deadline` (without one: five times).

        `minute` is the minute that the call is for, named in errors. Raises KisKeyRefused if KIS
        takes no app key, KisRefused for what else another try cannot mend; KisUnreachable,
        KisPaceExceeded or KisTokenRejected when time is up. Every error carries tr_id, msg_cd,
        symbol and minute.
        """
        progress = _Progress()
        try:
            if deadline is None:
                return await self._try(request, priority, deadline, progress)
            left = (deadline - self.clock.now()).total_seconds()
            async with self.clock.timeout(max(left, 0.0)):
                return await self._try(request, priority, deadline, progress)
        except TimeoutError:
            error: KisError = progress.error()
        except KisError as failed:
            error = failed
        self.counts["failed"] += 1
        raise self._told(error, request, minute) from None

    def _told(self, error: KisError, request: Request, minute: datetime | None) -> KisError:
        """Return the error with its context."""
        secrets = self._secrets()
        return type(error)(
            without(secrets, str(error.args[0]), 400),
            tr_id=tr_id_of(request, self._tr_ids),
            msg_cd=without(secrets, error.msg_cd or "") or None,
            symbol=request.symbol,
            minute=minute,
        )

    async def download(self, url: str) -> bytes:
        """Return a public file of KIS, such as the master; no turn. Raises KisUnreachable."""
        reply = await self._transport.send("GET", url)
        if reply.status != 200:
            raise KisUnreachable(f"KIS's file server answered HTTP {reply.status} for {url}")
        return reply.body

    async def close(self) -> None:
        """Close connections and files."""
        self._circuit.close()
        for account in self._accounts:
            await account.tokens.close()
        for pace in [*(a.pace for a in self._accounts), *self._own_paces.values()]:
            pace.close()
        await self._transport.close()

    async def _try(
        self, request: Request, priority: Priority, deadline: datetime | None, was: _Progress
    ) -> Answer:
        while True:
            try:
                return await self._once(request, priority, was)
            except KisTokenRejected as error:
                was.failed(error)
                if was.rejections > 1:  # it is new and still rejected; renewing would not help
                    raise
                continue
            except _KeyRefused:
                continue  # with another key; without any, _pick raises what KIS said
            except (KisPaceExceeded, KisUnreachable) as error:
                was.failed(error)
                if deadline is None and was.tries >= _TRIES:
                    raise
            await self.clock.sleep(self._wait_before(was.tries))

    async def _once(self, request: Request, priority: Priority, was: _Progress) -> Answer:
        account = self._pick()
        account.queue += 1
        try:
            was.waits_for = "a token"
            token = await self._token(account)
            was.waits_for = "its turn"
            probing = await self._turn(account, request, priority, was)
        finally:
            account.queue -= 1
        was.waits_for = "an answer"
        sent_at = self.clock.now()
        try:
            async with self._circuit.watch(request.symbol, probing=probing):
                reply = await self._send(request, account.key, token)
                body = read_body(reply)
        except KisPaceExceeded:
            self.counts["refusals"] += 1
            account.pace.refused()
            raise
        except KisTokenRejected:
            self.counts["token rejections"] += 1
            await self._taken(account, account.tokens.replacement(token))
            raise
        except KisKeyRefused as error:
            if len(self._accounts) > 1:  # else nobody could go on: the next call tries it again
                self._leave_out(account, error)
                raise _KeyRefused from error
            raise
        return Answer(
            tr_id=tr_id_of(request, self._tr_ids),
            symbol=request.symbol,
            body=body,
            as_of=self._skew.as_of(sent_at, reply.dated),
            received_at=self.clock.now(),
        )

    async def _turn(
        self, account: _Account, request: Request, priority: Priority, was: _Progress
    ) -> bool:
        """Wait for the paces and, while KIS is down, for its return. True: this call probes it."""
        if request.own_pace:
            own = self._own_pace(account, request)
            await own.turn(priority, was.tries)
            await account.pace.turn(priority, FRONT)
            own.postpone()
        else:
            await account.pace.turn(priority, was.tries)
        if not self._circuit.open:
            return False
        was.waits_for = "KIS to be back"
        probing = await self._circuit.admit()
        try:
            await account.pace.turn(priority, FRONT if probing else was.tries)
        except BaseException:
            if probing:
                self._circuit.hand_back()
            raise
        return probing

    async def _send(self, request: Request, key: AppKey, token: Token) -> Reply:
        self.counts["calls"] += 1
        return await self._transport.send(
            "GET",
            request.path,
            params=request.params(),
            headers={
                "content-type": "application/json; charset=utf-8",
                "authorization": f"Bearer {token.access_token}",
                "appkey": key.app_key.get_secret_value(),
                "appsecret": key.app_secret.get_secret_value(),
                "tr_id": tr_id_of(request, self._tr_ids),
                "custtype": "P",
            },
        )

    async def _token(self, account: _Account) -> Token:
        token = await self._taken(account, account.tokens.token())
        account.refused = None
        return token

    async def _taken(self, account: _Account, coming: Awaitable[Token]) -> Token:
        try:
            return await coming
        except KisKeyRefused as error:
            self._leave_out(account, error)
            raise _KeyRefused from error

    def _leave_out(self, account: _Account, error: KisKeyRefused) -> None:
        """Make no calls with an app key for a while; the others go on."""
        if account.refused is None:
            log.error("❌ an app key is out: %s", error)
        account.refused, account.refused_at = error, self.clock.now()

    def _pick(self) -> _Account:
        """Choose the key with the shortest queue: that spreads any mix of symbols evenly."""
        good = [account for account in self._accounts if self._worth_a_try(account)]
        if not good:
            known = self._accounts[0].refused
            raise KisKeyRefused(
                known.args[0] if known else "no key", msg_cd=known.msg_cd if known else None
            )
        return min(good, key=lambda account: account.queue / account.pace.per_second)

    def _worth_a_try(self, account: _Account) -> bool:
        if account.refused is None or account.refused_at is None:
            return True
        return self.clock.now() - account.refused_at >= _KEY_AGAIN

    def _own_pace(self, account: _Account, request: Request) -> Pace:
        where = (self._accounts.index(account), request.path)
        if where not in self._own_paces:
            stem = self._stem(account.key)
            path = stem.with_name(f"{stem.name}-{request.tr_id}.pace")
            self._own_paces[where] = Pace(path, request.own_pace or 1.0, self.clock)
        return self._own_paces[where]

    def _account(self, key: AppKey) -> _Account:
        stem = self._stem(key)
        file = stem.with_name(f"{stem.name}-token")
        tokens = TokenKeeper(self._transport, key, file, self.clock, self._secrets)
        path = stem.with_name(f"{stem.name}.pace")
        return _Account(key, tokens, Pace(path, self._settings.calls_per_second, self.clock))

    def _secrets(self) -> list[str]:
        """Return what must never be shown, of all keys: KIS's words might repeat any."""
        return [secret for account in self._accounts for secret in account.tokens.secrets()]

    def _stem(self, key: AppKey) -> Path:
        app_key = key.app_key.get_secret_value()
        return self._folder / file_stem(self._settings.base_url, app_key)

    def _wait_before(self, tries: int) -> float:
        longest = min(_FIRST_WAIT * 2.0 ** (tries - 1), _LONGEST_WAIT)
        return longest * self._jitter.uniform(0.5, 1.0)


class _KeyRefused(Exception):
    """KIS does not take the key that a call was to be made with."""


class _Progress:
    """How far a call has come."""

    def __init__(self) -> None:
        self.tries = self.rejections = 0
        self.last: KisError | None = None
        self.waits_for = "its turn"

    def failed(self, error: KisError) -> None:
        """Note a failed try."""
        self.tries += 1
        self.rejections += isinstance(error, KisTokenRejected)
        self.last = error

    def error(self) -> KisError:
        """Return why the last try failed, or what the first one still waited for."""
        return self.last or KisUnreachable(f"time was up while waiting for {self.waits_for}")
