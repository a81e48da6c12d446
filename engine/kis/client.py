"""The client: a typed request in, a successful answer out, or one KisError.

Failures that may pass are tried again until the call's deadline: no answer, a refused pace, a
rejected token. stamina is not used for that, since it waits by the event loop: here every wait goes
through the clock, so that a simulated storm takes no real time.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable
from datetime import datetime, timedelta
from pathlib import Path

from engine.backoff import Backoff
from engine.clock import Clock
from engine.errors import (
    InputError,
    KisAccessRefused,
    KisError,
    KisKeyRefused,
    KisPaceExceeded,
    KisTokenRejected,
    KisUnreachable,
)
from engine.files import private_folder, remove_unfinished
from engine.kis.accounts import KeyAccount, pick_account
from engine.kis.answer import Answer, read_body, without_secrets
from engine.kis.auth import SAME_TOKEN, Token, TokenKeeper, file_stem
from engine.kis.circuit import Circuit
from engine.kis.endpoints.request import Request, correct_tr_ids, sent_tr_id
from engine.kis.pacing import FIRST_IN_LINE, Pace, Priority
from engine.kis.skew import Skew
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection, stream_address
from engine.kis.stream.silence import Trading
from engine.kis.transport import Reply, Transport
from engine.settings import AppKey, KisSettings

log = logging.getLogger(__name__)

__all__ = ["KisClient", "Priority"]

_TRIES = 5  # of a call without a deadline
_BETWEEN_TRIES = Backoff(first=0.5, longest=8.0, jitter=0.5)


class KisClient:
    """Talks to KIS within the budgets of its app keys. Use from one event loop; close when done.

    `folder` holds tokens, paces and their locks; all processes of this user must share it. A
    simulation needs a new folder, since its address is new each time. `chance` is for the jitter of
    waits between tries: with a seed, a simulated day repeats exactly. `transport` is for tests.
    Raises InputError if the settings have no app key.
    """

    def __init__(
        self,
        settings: KisSettings,
        clock: Clock,
        *,
        folder: Path,
        chance: random.Random | None = None,
        transport: Transport | None = None,
    ) -> None:
        if not settings.app_keys:
            raise InputError("no app key of KIS is configured: set app_key and app_secret")
        self.clock = clock
        self.counts = Counter[str]()
        self._settings = settings
        self._folder = private_folder(folder)
        remove_unfinished(folder)  # a token that a killed process was writing
        self._chance = chance or random.Random()  # noqa: S311  spreads retries, guards nothing
        self._tr_ids = correct_tr_ids(settings.tr_id)
        self._transport = transport or Transport(
            settings.base_url, clock, timeout=settings.request_timeout
        )
        self._circuit = Circuit(clock)
        self._skew = Skew(tells_time=self._transport.tells_time)
        self._accounts = [self._open_account(key) for key in settings.app_keys]

    @property
    def calls(self) -> int:
        """Requests sent, retries included, token requests not."""
        return self.counts["calls"]

    @property
    def refusals(self) -> int:
        """Requests that KIS refused as too fast (EGW00201)."""
        return self.counts["refusals"]

    @property
    def ahead(self) -> timedelta:
        """How far this machine's clock is ahead of KIS's, as far as answers tell."""
        return self._skew.ahead

    @property
    def per_second(self) -> float:
        """Calls a second at the present pace, all app keys together."""
        return sum(account.pace.per_second for account in self._accounts)

    @property
    def master_url(self) -> str:
        """The address of the master file: all index futures and options."""
        return self._settings.master_url

    @property
    def trouble(self) -> str | None:
        """Why no call can succeed: no app key has a token that KIS takes. None if one may.

        App keys that KIS refuses do not count here: for these calls raise KisKeyRefused.
        """
        troubles = [account.trouble for account in self._accounts if not account.refused]
        return troubles[0] if troubles and all(troubles) else None

    @property
    def clock_trouble(self) -> str | None:
        """How far this machine's clock is from KIS's, by its last answer; None if they agree."""
        return self._skew.trouble

    @property
    def certificate_trouble(self) -> str | None:
        """Why KIS's certificate was not believed at the last call; None if it was."""
        return self._transport.certificate_trouble

    async def call(
        self,
        request: Request,
        *,
        priority: Priority = Priority.LIVE,
        deadline: datetime | None = None,
        minute: datetime | None = None,
    ) -> Answer:
        """Return KIS's answer, trying until `deadline` (KST; without one: five times).

        `minute` is the minute that the call is for; errors name it. Raises KisKeyRefused if KIS
        takes no app key, KisAccessRefused or KisRefused for refusals that another try would not
        change; KisUnreachable, KisPaceExceeded or KisTokenRejected when time is up. Every error
        has tr_id, msg_cd, symbol and minute.
        """
        attempt = _Attempt()
        try:
            if deadline is None:
                return await self._try(request, priority, deadline, attempt)
            left = (deadline - self.clock.now()).total_seconds()
            async with self.clock.timeout(max(left, 0.0)):
                return await self._try(request, priority, deadline, attempt)
        except TimeoutError:
            error: KisError = attempt.error()
        except KisError as failed:
            error = failed
        self.counts["failed"] += 1
        raise self._with_context(error, request, minute) from None

    def _with_context(self, error: KisError, request: Request, minute: datetime | None) -> KisError:
        """Return the error with tr_id, symbol and minute, and without secrets."""
        secrets = self.secrets()
        return type(error)(
            without_secrets(secrets, str(error.args[0]), 400),
            tr_id=sent_tr_id(request, self._tr_ids),
            msg_cd=without_secrets(secrets, error.msg_cd or "") or None,
            symbol=request.symbol,
            minute=minute,
        )

    async def download(self, url: str) -> bytes:
        """Return a public file of KIS, such as the master file. Raises KisUnreachable.

        It needs no token and counts for no pace.
        """
        reply = await self._transport.send("GET", url)
        if reply.status != 200:
            raise KisUnreachable(f"KIS's file server answered HTTP {reply.status} for {url}")
        return reply.body

    def stream_connections(self, trading: Trading) -> list[StreamConnection]:
        """Return a WebSocket connection for each app key, not started; the caller closes them.

        `trading` says whether a registration must have data at a moment.
        """
        address, secrets = stream_address(self._settings.base_url), self.secrets
        parts = [(account.key, account.stem) for account in self._accounts]
        keepers = [ApprovalKeeper(self._transport, *part, self.clock, secrets) for part in parts]
        return [
            StreamConnection(
                address, keeper, stem, self.clock, trading=trading, chance=self._chance
            )
            for keeper, (_, stem) in zip(keepers, parts, strict=True)
        ]

    async def close(self) -> None:
        """Close connections and files."""
        self._circuit.close()
        for account in self._accounts:
            await account.close()
        await self._transport.close()

    async def _try(
        self,
        request: Request,
        priority: Priority,
        deadline: datetime | None,
        attempt: _Attempt,
    ) -> Answer:
        while True:
            try:
                patient = deadline is not None
                return await self._send_once(request, priority, attempt, patient=patient)
            except KisTokenRejected as error:
                attempt.note_failure(error)
                if attempt.rejections > 1:  # a new token, and still rejected: a third is no help
                    raise
                continue
            except _KeyRefused:
                continue  # with another key; if none is left, pick_account raises KIS's refusal
            except (KisPaceExceeded, KisUnreachable) as error:
                attempt.note_failure(error)
                if deadline is None and attempt.failures >= _TRIES:
                    raise
            await self.clock.sleep(_BETWEEN_TRIES.wait_after(attempt.failures, self._chance))

    async def _send_once(
        self, request: Request, priority: Priority, attempt: _Attempt, *, patient: bool
    ) -> Answer:
        account = pick_account(self._accounts, self.clock.now())
        account.queue += 1
        try:
            attempt.waits_for = "a token"
            token = await self._await_token(account, account.tokens.valid_token(patient=patient))
            account.refused = None
            attempt.waits_for = "its turn"
            probing = await self._wait_turn(account, request, priority, attempt)
        finally:
            account.queue -= 1
        attempt.waits_for = "an answer"
        sent_at = self.clock.now()
        try:
            async with self._circuit.watch(request.symbol, probing=probing):
                reply = await self._send(request, account.key, token)
                body = read_body(reply)
        except KisPaceExceeded:
            self.counts["refusals"] += 1
            account.pace.slow_down()
            raise
        except (KisTokenRejected, KisAccessRefused) as error:
            is_old = self.clock.now() - token.issued_at > SAME_TOKEN
            if isinstance(error, KisAccessRefused) and not is_old:  # KIS would give the same token
                raise
            self.counts["token rejections"] += 1
            account.rejections += 1
            await self._await_token(account, account.tokens.replace(token, patient=patient))
            raise KisTokenRejected(*error.args, msg_cd=error.msg_cd) from None
        except KisKeyRefused as error:
            if len(self._accounts) > 1:  # a single key stays: the next call tries it again
                account.suspend(error, self.clock.now())
                raise _KeyRefused from error
            raise
        account.rejections = 0
        self._skew.note(sent_at, self.clock.now(), reply.dated)
        return Answer(
            tr_id=sent_tr_id(request, self._tr_ids),
            symbol=request.symbol,
            body=body,
            as_of=self._skew.as_of(sent_at, reply.dated),
            received_at=self.clock.now(),
            clocks_agree=self._skew.agrees(sent_at, reply.dated),
        )

    async def _wait_turn(
        self, account: KeyAccount, request: Request, priority: Priority, attempt: _Attempt
    ) -> bool:
        """Wait for the paces and, while KIS is down, for its return. True if this call probes."""
        if request.own_pace:
            own = account.own_pace(request, self.clock)
            await own.wait_turn(priority, attempt.failures)
            await account.pace.wait_turn(priority, FIRST_IN_LINE)
            own.postpone()
        else:
            await account.pace.wait_turn(priority, attempt.failures)
        if not self._circuit.open:
            return False
        attempt.waits_for = "KIS to be back"
        probing = await self._circuit.admit()
        try:
            await account.pace.wait_turn(priority, FIRST_IN_LINE if probing else attempt.failures)
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
                "tr_id": sent_tr_id(request, self._tr_ids),
                "custtype": "P",
            },
        )

    async def _await_token(self, account: KeyAccount, token: Awaitable[Token]) -> Token:
        """Return the token once it is there; suspend the key if KIS gives none for it."""
        try:
            return await token
        except KisKeyRefused as error:
            account.suspend(error, self.clock.now())
            raise _KeyRefused from error

    def _open_account(self, key: AppKey) -> KeyAccount:
        stem = self._folder / file_stem(self._settings.base_url, key.app_key.get_secret_value())
        file = stem.with_name(f"{stem.name}-token")
        tokens = TokenKeeper(self._transport, key, file, self.clock, self.secrets)
        path = stem.with_name(f"{stem.name}.pace")
        return KeyAccount(
            key, stem, tokens, Pace(path, self._settings.calls_per_second, self.clock)
        )

    def secrets(self) -> list[str]:
        """Return what must never be shown, of all app keys: KIS's words might repeat any of it."""
        held = (secret for account in self._accounts for secret in account.tokens.secrets())
        return [secret for secret in held if secret]


class _KeyRefused(Exception):
    """KIS does not accept the key that was chosen for a call."""


class _Attempt:
    """What has happened to a call so far."""

    def __init__(self) -> None:
        self.failures = 0
        self.rejections = 0  # of its token, counted among the failures
        self.last: KisError | None = None
        self.waits_for = "its turn"

    def note_failure(self, error: KisError) -> None:
        """Note that a try failed."""
        self.failures += 1
        self.rejections += isinstance(error, KisTokenRejected)
        self.last = error

    def error(self) -> KisError:
        """Return why the last try failed; if none has ended, what the call was waiting for."""
        return self.last or KisUnreachable(f"time was up while waiting for {self.waits_for}")
