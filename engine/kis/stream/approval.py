"""KIS's approval key, with which a connection registers: one for each app key and address.

It is good for 24 hours and needed only to register: an open connection goes on without a new one
(docs/kis.md#connection). It is kept beside the access token, readable by its owner alone. Only the
process that holds the lock of the connection asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, NaiveDatetime, ValidationError

from engine.clock import Clock
from engine.errors import KisKeyRefused, KisUnreachable
from engine.files import read_file, write_atomically
from engine.kis.answer import GATEWAY, ONE_A_MINUTE, PACE, json_object, oauth_refusal
from engine.kis.transport import Reply, Transport
from engine.settings import AppKey

log = logging.getLogger(__name__)

PATH = "/oauth2/Approval"
_LIFE = timedelta(hours=23)  # KIS's 24, less an hour in which to register
_BETWEEN_RENEWALS = timedelta(minutes=10)


class _Approval(BaseModel):
    """The file; `issued_at` is KST without zone."""

    approval_key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,4096}$", repr=False)]
    issued_at: NaiveDatetime


class ApprovalKeeper:
    """Provides the approval key of one app key, and renews it when KIS no longer knows it."""

    def __init__(
        self,
        transport: Transport,
        key: AppKey,
        stem: Path,
        clock: Clock,
        all_secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._transport = transport
        self._key = key
        self._path = stem.with_name(f"{stem.name}-approval.json")
        self._clock = clock
        self._all_secrets = all_secrets  # of all keys: KIS's words might repeat any
        self._known: _Approval | None = None
        self._replaced_at: datetime | None = None

    async def approval_key(self) -> str:
        """Return a key that is still good. Raises KisKeyRefused, KisUnreachable."""
        known = self._known or self._load()
        age = self._clock.now() - known.issued_at if known else None
        if known is None or age is None or not timedelta(0) <= age < _LIFE:
            known = await self._request()
        self._known = known
        return known.approval_key

    async def replace(self, rejected: str) -> str | None:
        """Return another key than the one that KIS does not know (OPSP0011).

        None if a key was replaced less than ten minutes ago: to ask again would not help. Raises
        what `approval_key` raises.
        """
        known, now = self._known, self._clock.now()
        if known is None or known.approval_key == rejected:
            if self._replaced_at and now - self._replaced_at < _BETWEEN_RENEWALS:
                return None
            self._replaced_at = now
            self._known = await self._request()
        return await self.approval_key()

    def secrets(self) -> list[str]:
        """Return what must never be shown."""
        own = [self._key.app_key.get_secret_value(), self._key.app_secret.get_secret_value()]
        return [*own, *([self._known.approval_key] if self._known else [])]

    async def _request(self) -> _Approval:
        now = self._clock.now()
        content = orjson.dumps(
            {
                "grant_type": "client_credentials",
                "appkey": self._key.app_key.get_secret_value(),
                "secretkey": self._key.app_secret.get_secret_value(),
            }
        )
        headers = {"content-type": "application/json; charset=utf-8"}
        reply = await self._transport.send("POST", PATH, headers=headers, content=content)
        body = json_object(reply)
        try:
            given = {"approval_key": body.get("approval_key"), "issued_at": now}
            found = _Approval.model_validate(given)
        except ValidationError:
            raise self._refusal(reply, body) from None
        self._save(found)
        return found

    def _refusal(self, reply: Reply, body: dict[str, Any]) -> KisKeyRefused | KisUnreachable:
        secrets = [*self._all_secrets(), *self.secrets()]
        code, words = oauth_refusal(body, secrets)
        if code and reply.status < 500 and code not in {PACE, ONE_A_MINUTE, *GATEWAY}:
            return KisKeyRefused(f"KIS gives no approval key: {words}", msg_cd=code)
        return KisUnreachable(f"KIS gave no approval key: HTTP {reply.status}", msg_cd=code or None)

    def _load(self) -> _Approval | None:
        try:
            return _Approval.model_validate_json(read_file(self._path))
        except (OSError, ValidationError):  # a new one is asked for
            return None

    def _save(self, found: _Approval) -> None:
        try:
            write_atomically(self._path, found.model_dump_json().encode(), private=True)
        except OSError as error:  # this process has the key
            log.warning("⚠️ the approval key cannot be kept for the next start: %s", error)
