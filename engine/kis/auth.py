"""KIS's access token: one for all processes of this user, asked for at most once a minute.

The token is kept in a file that only its owner can read, next to a lock. KIS issues one a minute
for each app key and answers EGW00133 to faster requests, so the time of the last request is written
to the file *before* the request goes out: whatever its outcome, no other process asks too soon.

KIS returns the same token, with its original expiry, for six hours. Only the absolute time
`access_token_token_expired` says how long it lives; `expires_in` does not (docs/kis.md#token).

Neither an answer nor the file is trusted: a token that cannot be sent as a header is neither used
nor kept, and an expiry that cannot be right is replaced by one in six hours.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
from filelock import FileLock, Timeout
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from engine.clock import Clock, to_kst_naive
from engine.errors import KisKeyRefused, KisUnreachable
from engine.files import read_file, write_atomically
from engine.kis.answer import GATEWAY, ONE_A_MINUTE, PACE, json_object, oauth_refusal
from engine.kis.transport import Reply, Transport
from engine.settings import AppKey

log = logging.getLogger(__name__)

PATH = "/oauth2/tokenP"
_BETWEEN_REQUESTS = timedelta(seconds=61)  # KIS's minute, and a second for the network
_RENEW_BEFORE = timedelta(hours=1)
SAME_TOKEN = timedelta(hours=6)  # for so long after its issue KIS returns the same one
_LONGEST_LIFE = timedelta(hours=24)
_RETRY_AFTER = 5.0  # seconds, where the request cannot have reached KIS
_LOCK_POLL = 0.2  # seconds between tries for a lock that another process holds


def _without_zone(moment: datetime) -> datetime:
    try:
        return to_kst_naive(moment)
    except OverflowError:
        raise ValueError("beyond the calendar") from None


_Moment = Annotated[datetime, AfterValidator(_without_zone)]
_MOMENT: TypeAdapter[datetime] = TypeAdapter(_Moment)
# What a header may hold; a real token has some 350 characters.
_HeaderText = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,4096}$")]
_TOKEN: TypeAdapter[str] = TypeAdapter(_HeaderText)


class Token(BaseModel):
    """A token as it stands in the file; all times KST without zone."""

    model_config = ConfigDict(frozen=True)

    access_token: _HeaderText = Field(repr=False)
    issued_at: _Moment
    expires_at: _Moment


class _TokenFile(BaseModel):
    """The file: the token, if there is one, and when KIS was last asked for one."""

    requested_at: _Moment | None = None
    token: Token | None = None


def file_stem(base_url: str, app_key: str) -> str:
    """Return the name for the files of one app key at one address; it reveals neither."""
    return hashlib.sha256(f"{base_url}\n{app_key}".encode()).hexdigest()[:16]


class TokenKeeper:
    """Provides the token of one app key, and renews it when needed."""

    def __init__(
        self,
        transport: Transport,
        key: AppKey,
        stem: Path,
        clock: Clock,
        all_secrets: Callable[[], Iterable[str]],
    ) -> None:
        self._transport = transport
        self._key = key
        self._clock = clock
        self._all_secrets = all_secrets  # of all keys: KIS's words might repeat any
        self._file = stem.with_suffix(".json")
        self._lock = FileLock(stem.with_suffix(".lock"), mode=0o600)
        self._known = _TokenFile()
        self._tokens_seen: set[str] = set()
        self._renewal: asyncio.Task[Token] | None = None
        self._rejected_issue: datetime | None = None  # when the last rejected token was issued
        self._failures = 0  # requests in a row that gave no token, …
        self._failing_since = clock.now()  # … the time of the first, …
        self._why: KisUnreachable | None = None  # … and why the last gave none
        self._hopeless = asyncio.Event()  # set after two of them: only the patient go on waiting

    @property
    def trouble(self) -> str | None:
        """Say since when and why there is no usable token; None if there is one, or may soon be."""
        if self._why is None or self._has_usable_token():
            return None
        if self._failures == 1 and self._why.msg_cd == ONE_A_MINUTE:
            return None  # another program has just asked: one comes in a minute
        return f"no token since {self._failing_since:%H:%M}: {self._why}"

    def _has_usable_token(self) -> bool:
        token = self._known.token
        return (
            token is not None
            and token.expires_at > self._clock.now()
            and token.issued_at != self._rejected_issue
        )

    async def valid_token(self, *, patient: bool = True) -> Token:
        """Return a token that has not expired.

        In its last hour it stays in use while a new one is fetched. A patient caller waits as long
        as it takes, and sets a deadline of its own. Raises KisKeyRefused if KIS does not know the
        app key; for callers that are not patient, KisUnreachable once two requests in a row, a
        minute apart, gave no token.
        """
        now = self._clock.now()
        token = self._known.token
        if token is None:
            token = self._load().token
        if token is None or token.expires_at <= now:
            return await self._await_renewal(token, patient=patient)
        if token.expires_at - now < _RENEW_BEFORE and now - token.issued_at > SAME_TOKEN:
            self._start_renewal(token)
        return token

    async def replace(self, rejected: Token, *, patient: bool = True) -> Token:
        """Return another token than the one that KIS rejected; all tasks that ask get the same one.

        Waits and raises as `valid_token` does.
        """
        current = self._known.token
        if current is not None and current.issued_at != rejected.issued_at:
            return current
        self._rejected_issue = rejected.issued_at
        return await self._await_renewal(rejected, patient=patient)

    def secrets(self) -> list[str]:
        """Return what must never be shown: the key, and every token seen, replaced ones too."""
        key = self._key.app_key.get_secret_value()
        secret = self._key.app_secret.get_secret_value()
        return [key, secret, *self._tokens_seen]

    async def close(self) -> None:
        """Cancel a renewal that is under way."""
        if self._renewal and not self._renewal.done():
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    async def _await_renewal(self, old: Token | None, *, patient: bool) -> Token:
        renewal = self._start_renewal(old)
        if not patient:
            hopeless = asyncio.create_task(self._hopeless.wait())
            try:
                await asyncio.wait({renewal, hopeless}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hopeless.cancel()
            if not renewal.done():
                raise KisUnreachable(f"no token since {self._failing_since:%H:%M}: {self._why}")
        # Shielded: one caller's deadline must not cost the others the answer.
        return await asyncio.shield(renewal)

    def _start_renewal(self, old: Token | None) -> asyncio.Task[Token]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(old))
            self._renewal.add_done_callback(_note_end)
        return self._renewal

    async def _renew(self, old: Token | None) -> Token:
        """Return another token than `old`: from KIS, or the file if another process was quicker."""
        while True:
            async with self._locked():
                known = self._load()
                if _is_newer(known.token, old, self._clock.now()):
                    self._note_success()
                    return known.token  # type: ignore[return-value]  # _is_newer excludes None
                if not (wait := self._seconds_until_allowed(known)):
                    try:
                        token = await self._request_token(known)
                    except KisUnreachable as error:
                        self._note_failure(error)
                    else:
                        self._note_success()
                        return token
            # Outside the lock: others may read the file meanwhile.
            await self._clock.sleep(wait or _RETRY_AFTER)

    def _note_success(self) -> None:
        self._failures, self._why = 0, None
        self._hopeless.clear()

    def _note_failure(self, error: KisUnreachable) -> None:
        """Remember the failure; log it at once, and again after longer and longer pauses."""
        self._failures += 1
        self._why = error
        if self._failures == 1:
            self._failing_since = self._clock.now()
        else:
            self._hopeless.set()
        if self._failures.bit_count() == 1:  # after 1, 2, 4, 8 … minutes
            log.warning("🔄 no token yet: %s", error)

    def _seconds_until_allowed(self, known: _TokenFile) -> float:
        """Return the seconds until KIS may be asked again."""
        if known.requested_at is None:
            return 0.0
        wait = known.requested_at - self._clock.now() + _BETWEEN_REQUESTS
        # Bounded: the clock may have been set back.
        return min(max(wait, timedelta(0)), _BETWEEN_REQUESTS).total_seconds()

    async def _request_token(self, known: _TokenFile) -> Token:
        now = self._clock.now()
        self._save(known.model_copy(update={"requested_at": now}))
        reply = await self._transport.send("POST", PATH, content=self._body())
        body = _read_answer(reply, self._all_secrets())
        token = Token(
            access_token=body["access_token"],
            issued_at=now,
            expires_at=_expiry(body.get("access_token_token_expired"), now),
        )
        self._save(_TokenFile(requested_at=now, token=token))
        log.info("✅ token from KIS, good until %s", f"{token.expires_at:%Y-%m-%d %H:%M}")
        return token

    def _body(self) -> bytes:
        return orjson.dumps(
            {
                "grant_type": "client_credentials",
                "appkey": self._key.app_key.get_secret_value(),
                "appsecret": self._key.app_secret.get_secret_value(),
            }
        )

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Hold the lock between processes, waiting for it by the clock.

        Where no lock can be made (the disk is full, or the folder is read-only) none is held: KIS
        itself refuses a second request within a minute.
        """
        while True:
            try:
                self._lock.acquire(blocking=False)
                break
            except Timeout:
                await self._clock.sleep(_LOCK_POLL)
            except OSError as error:
                log.debug("no lock for the token: %s", error)
                break
        try:
            yield
        finally:
            self._lock.release()

    def _load(self) -> _TokenFile:
        """Return what the file says; if it cannot be read, what this process knows."""
        try:
            found = _TokenFile.model_validate_json(read_file(self._file))
        except FileNotFoundError:
            return self._known
        except (OSError, ValidationError):
            log.warning("⚠️ the token file %s cannot be read; a new one is written", self._file.name)
            return self._known
        return self._remember(max(self._known, found, key=_written_at))

    def _remember(self, known: _TokenFile) -> _TokenFile:
        self._known = known
        if known.token:
            self._tokens_seen.add(known.token.access_token)
        return known

    def _save(self, known: _TokenFile) -> None:
        self._remember(known)
        try:
            write_atomically(self._file, known.model_dump_json().encode(), private=True)
        except OSError as error:  # a full disk must not end the day: this process has the token
            log.warning("⚠️ the token cannot be kept for other processes: %s", error)


def _written_at(known: _TokenFile) -> tuple[datetime, datetime]:
    """Return when KIS was asked, and when it gave the token: the file is written before and after.

    A process that read it in between knows of the request and has yet to learn of the token.
    """
    never = datetime(1970, 1, 1)
    return known.requested_at or never, known.token.issued_at if known.token else never


def _is_newer(token: Token | None, old: Token | None, now: datetime) -> bool:
    """Say whether a token can be used in place of the old one."""
    if token is None or token.expires_at <= now:
        return False
    # Not compared by time: the clock may have been set back since the old one was issued.
    return old is None or token.issued_at != old.issued_at


def _read_answer(reply: Reply, secrets: Iterable[str]) -> dict[str, Any]:
    """Return the body of an answer that holds a usable token.

    Raises KisKeyRefused or KisUnreachable for any other answer.
    """
    body = json_object(reply)
    if "access_token" in body:
        _check_token(body["access_token"])
        return body
    code, words = oauth_refusal(body, secrets)
    if code == ONE_A_MINUTE:
        raise KisUnreachable("KIS issues one token a minute; waiting", msg_cd=code)
    if code and reply.status < 500 and code not in {PACE, *GATEWAY}:
        raise KisKeyRefused(
            f"KIS gives no token: {words}; check app_key, app_secret and base_url", msg_cd=code
        )
    raise KisUnreachable(f"KIS gave no token: HTTP {reply.status}", msg_cd=code or None)


def _check_token(given: object) -> None:
    """Refuse a token that no header can carry. Raises KisUnreachable, which does not show it."""
    try:
        _TOKEN.validate_python(given)
    except ValidationError:
        what = f"{len(given)} characters" if isinstance(given, str) else type(given).__name__
        raise KisUnreachable(
            f"KIS gave a token that cannot be used ({what}): it is not text that a header may hold"
        ) from None


def _expiry(given: object, now: datetime) -> datetime:
    """Return until when a token counts as good (KST), whatever KIS wrote.

    A time that cannot be read or is past is not believed: the token is used for six hours, and KIS
    rejects it if it becomes invalid sooner. No token lives longer than a day.
    """
    if isinstance(given, str) and re.fullmatch(r"[0-9]{14}", given):
        given = f"{given[:8]}T{given[8:]}"
    try:
        expires = _without_zone(datetime.fromisoformat(given)) if isinstance(given, str) else None
    except ValueError:
        expires = None
    try:
        expires = expires or _MOMENT.validate_python(given)
    except ValidationError:
        expires = now
    if expires <= now:
        log.warning("⚠️ the time at which the token ends cannot be believed; it is used for 6 hours")
        return now + SAME_TOKEN
    return min(expires, now + _LONGEST_LIFE)


def _note_end(renewal: asyncio.Task[Token]) -> None:
    """Retrieve a renewal's error, or asyncio logs it; callers that wait get the error itself."""
    if not renewal.cancelled() and (error := renewal.exception()):
        log.debug("a renewal of the token failed: %s", error)
