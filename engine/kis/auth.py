"""KIS's access token: one for all processes of this user, asked for at most once a minute.

The token lives in a file that only its owner can read, next to a lock. KIS issues one a minute per
app key and answers EGW00133 to whoever is faster, so the moment of the last request is written to
the file *before* the request goes out: whatever becomes of it, no other process asks too soon.

KIS gives the same token, with its first expiry, to who asks again within six hours. Only the
absolute time `access_token_token_expired` says how long it lives; `expires_in` does not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import orjson
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.clock import Clock
from engine.errors import KisKeyRefused, KisUnreachable
from engine.kis.answer import GATEWAY, PACE, without
from engine.kis.transport import Reply, Transport
from engine.settings import AppKey

log = logging.getLogger(__name__)

PATH = "/oauth2/tokenP"
_ONE_A_MINUTE = timedelta(seconds=61)  # KIS's minute and a second for the way there
_RENEW_BEFORE = timedelta(hours=1)
_SAME_TOKEN = timedelta(hours=6)  # until then KIS would only give the same one again
_AGAIN_AFTER = 5.0  # seconds, where the request cannot have reached KIS
_LOOK_AGAIN = 0.2  # seconds between looks at a lock that another process holds


class Token(BaseModel):
    """A token as the file keeps it; all times KST without zone."""

    model_config = ConfigDict(frozen=True)

    access_token: str = Field(repr=False)
    issued_at: datetime
    expires_at: datetime


class _Kept(BaseModel):
    """The file: the token, if there is one, and when KIS was last asked for one."""

    requested_at: datetime | None = None
    token: Token | None = None


class _Answer(BaseModel):
    """What KIS answers to a good request; it has more, we trust no more."""

    access_token: str = Field(min_length=1)
    access_token_token_expired: datetime


def file_stem(base_url: str, app_key: str) -> str:
    """Name the files of one app key at one address; the name tells neither."""
    return hashlib.sha256(f"{base_url}\n{app_key}".encode()).hexdigest()[:16]


class TokenKeeper:
    """Gives the token of one app key, and gets another when it must."""

    def __init__(
        self,
        transport: Transport,
        key: AppKey,
        stem: Path,
        clock: Clock,
        hidden: Callable[[], Iterable[str]],
    ) -> None:
        self._transport, self._key, self._clock = transport, key, clock
        self._hidden = hidden  # what KIS's words must not show, secrets of other keys among it
        self._file = stem.with_suffix(".json")
        self._lock = FileLock(stem.with_suffix(".lock"))
        self._kept = _Kept()
        self._had: set[str] = set()
        self._renewal: asyncio.Task[Token] | None = None

    async def token(self) -> Token:
        """Return a token that is not about to expire.

        In its last hour the old one goes on serving while the new one is fetched. Raises
        KisKeyRefused if KIS does not know the app key. Waits as long as it takes otherwise: callers
        bound it with their own deadline.
        """
        token, now = self._kept.token, self._clock.now()
        if token is None:
            token = self._load().token
        if token is None or token.expires_at <= now:
            return await self._renewed(token)
        if token.expires_at - now < _RENEW_BEFORE and now - token.issued_at > _SAME_TOKEN:
            self._start_renewal(token)
        return token

    async def replacement(self, rejected: Token) -> Token:
        """Return a token issued after the one that KIS rejected; many tasks get the same one."""
        current = self._kept.token
        if current is not None and current.issued_at > rejected.issued_at:
            return current
        return await self._renewed(rejected)

    def secrets(self) -> list[str]:
        """Return what must never be shown: the key, and every token, also those of before."""
        key, secret = self._key.app_key, self._key.app_secret
        return [key.get_secret_value(), secret.get_secret_value(), *self._had]

    async def close(self) -> None:
        """Give up a renewal under way."""
        if self._renewal and not self._renewal.done():
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    async def _renewed(self, old: Token | None) -> Token:
        # Shielded: if one caller's deadline comes, the others must still get the answer.
        return await asyncio.shield(self._start_renewal(old))

    def _start_renewal(self, old: Token | None) -> asyncio.Task[Token]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(old))
            self._renewal.add_done_callback(_seen)
        return self._renewal

    async def _renew(self, old: Token | None) -> Token:
        """Get a token newer than `old`: from the file if another process was quicker, or KIS."""
        while True:
            async with self._locked():
                kept = self._load()
                if _newer(kept.token, old, self._clock.now()):
                    return kept.token  # type: ignore[return-value]  # _newer says it is there
                if not (wait := self._too_soon(kept)):
                    try:
                        return await self._ask(kept)
                    except KisUnreachable as error:
                        log.warning("🔄 no token yet: %s", error)
            # Outside the lock: others may look at the file meanwhile.
            await self._clock.sleep(wait or _AGAIN_AFTER)

    def _too_soon(self, kept: _Kept) -> float:
        """Return the seconds until KIS may be asked again."""
        if kept.requested_at is None:
            return 0.0
        wait = kept.requested_at + _ONE_A_MINUTE - self._clock.now()
        return min(max(wait, timedelta(0)), _ONE_A_MINUTE).total_seconds()  # the clock may be set

    async def _ask(self, kept: _Kept) -> Token:
        now = self._clock.now()
        self._save(kept.model_copy(update={"requested_at": now}))
        reply = await self._transport.send("POST", PATH, content=self._body())
        answer = _read(reply, self._hidden())
        token = Token(
            access_token=answer.access_token,
            issued_at=now,
            expires_at=answer.access_token_token_expired,
        )
        self._save(_Kept(requested_at=now, token=token))
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
        """Hold the lock between processes, waiting for it on the clock."""
        while True:
            try:
                self._lock.acquire(blocking=False)
                break
            except Timeout:
                await self._clock.sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            self._lock.release()

    def _load(self) -> _Kept:
        """Return what the file knows, or this process, if the file cannot be read."""
        if not self._file.exists():
            return self._kept
        try:
            found = _Kept.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            log.warning("⚠️ the token file %s cannot be read; it is written anew", self._file.name)
            return self._kept
        return self._keep(max(self._kept, found, key=_asked_at))

    def _keep(self, kept: _Kept) -> _Kept:
        self._kept = kept
        if kept.token:
            self._had.add(kept.token.access_token)
        return kept

    def _save(self, kept: _Kept) -> None:
        self._keep(kept)
        try:
            write_private(self._file, kept.model_dump_json().encode())
        except OSError as error:  # a full disk must not end the day: this process has the token
            log.warning("⚠️ the token cannot be kept for other processes: %s", error)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and never wider open."""
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _asked_at(kept: _Kept) -> datetime:
    return kept.requested_at or datetime(1970, 1, 1)


def _newer(token: Token | None, old: Token | None, now: datetime) -> bool:
    if token is None or token.expires_at <= now:
        return False
    return old is None or token.issued_at > old.issued_at


def _read(reply: Reply, secrets: Iterable[str]) -> _Answer:
    """Read the answer to a token request; raises KisKeyRefused or KisUnreachable."""
    try:
        body = orjson.loads(reply.body)
        return _Answer.model_validate(body)
    except ValidationError:
        code = str(body.get("error_code") or body.get("msg_cd") or "") if _is_object(body) else ""
    except orjson.JSONDecodeError:
        code = ""
    code = without(secrets, code)
    if code == "EGW00133":
        raise KisUnreachable("KIS issues one token a minute; waiting", msg_cd=code)
    if code and reply.status < 500 and code not in {PACE, *GATEWAY}:
        text = without(secrets, str(body.get("error_description") or body.get("msg1") or ""))
        raise KisKeyRefused(
            f"KIS gives no token: {text}; check app_key, app_secret and base_url", msg_cd=code
        )
    raise KisUnreachable(f"KIS gave no token: HTTP {reply.status}", msg_cd=code or None)


def _is_object(body: object) -> bool:
    return isinstance(body, dict)


def _seen(renewal: asyncio.Task[Token]) -> None:
    """Take note of how a renewal ended: the callers that wait for it get the error itself."""
    if not renewal.cancelled() and (error := renewal.exception()):
        log.debug("a renewal of the token failed: %s", error)
