"""Approval keys: what a client of the feed shows instead of its app key and secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from engine.clock import Clock

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class Approval:
    """An approval key: a connection needs it to begin, and then goes on without it."""

    text: str
    app_key: str
    issued_at: datetime


class Approvals:
    """Issues approval keys, one to an app key while it is good, and knows whose each is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, Approval] = {}
        self._number = 0

    def issue(self, app_key: str) -> str:
        """Return an approval key of the app key."""
        for approval in self._issued.values():
            if approval.app_key == app_key and self._is_good(approval):
                return approval.text
        self._number += 1
        digest = blake2b(f"{app_key}/{self._number}".encode(), digest_size=16).digest()
        text = str(UUID(bytes=digest))
        self._issued[text] = Approval(text, app_key, self._clock.now())
        return text

    def app_key(self, text: str) -> str | None:
        """Return the app key that an approval key is of; None if it is unknown or too old."""
        approval = self._issued.get(text)
        return approval.app_key if approval and self._is_good(approval) else None

    def withdraw(self) -> None:
        """Forget all approval keys, as KIS does when it restarts its servers."""
        self._issued.clear()

    def _is_good(self, approval: Approval) -> bool:
        return self._clock.now() - approval.issued_at < LIFETIME
