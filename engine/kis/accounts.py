"""The app keys of a client: for each its token, its budget and whether KIS takes it at present."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from engine.clock import Clock
from engine.errors import KisKeyRefused
from engine.kis.auth import TokenKeeper
from engine.kis.endpoints.request import Request
from engine.kis.pacing import Pace
from engine.settings import AppKey

log = logging.getLogger(__name__)

_KEY_RETRY = timedelta(minutes=10)  # a refused key is tried again: it may have been renewed
_REJECTIONS = 5  # of tokens in a row, after which the key counts as useless


@dataclass
class KeyAccount:
    """One app key: its token and its budget."""

    key: AppKey
    stem: Path  # which the names of its files begin with
    tokens: TokenKeeper
    pace: Pace
    queue: int = 0  # calls that wait for a token or their turn
    refused: KisKeyRefused | None = None  # why KIS did not accept this key, …
    refused_at: datetime | None = None  # … and when it was last tried
    rejections: int = 0  # of its tokens by KIS, since the last answer
    own_paces: dict[str, Pace] = field(default_factory=dict)  # of single paths, beside `pace`

    @property
    def trouble(self) -> str | None:
        """Say why no call with this key can succeed at present; None if one may."""
        if self.rejections >= _REJECTIONS:
            return "KIS rejects the tokens that it gives"
        return self.tokens.trouble

    def is_usable(self, now: datetime) -> bool:
        """Say whether KIS takes the key, or refused it long enough ago to try it again."""
        if self.refused is None or self.refused_at is None:
            return True
        return now - self.refused_at >= _KEY_RETRY

    def suspend(self, error: KisKeyRefused, now: datetime) -> None:
        """Make no calls with this app key for a while; the others go on."""
        if self.refused is None:
            log.error("❌ an app key is suspended: %s", error)
        self.refused = error
        self.refused_at = now

    def own_pace(self, request: Request, clock: Clock) -> Pace:
        """Return the pace that KIS advises for this path, opened at its first use."""
        if request.path not in self.own_paces:
            path = self.stem.with_name(f"{self.stem.name}-{request.tr_id}.pace")
            self.own_paces[request.path] = Pace(path, request.own_pace or 1.0, clock)
        return self.own_paces[request.path]

    async def close(self) -> None:
        """Close the token's file and the paces."""
        await self.tokens.close()
        for pace in (self.pace, *self.own_paces.values()):
            pace.close()


def pick_account(accounts: Sequence[KeyAccount], now: datetime) -> KeyAccount:
    """Return the key with the shortest queue: that spreads any mix of symbols evenly.

    Raises KisKeyRefused if KIS takes none of them, with what it said about the first.
    """
    usable = [account for account in accounts if account.is_usable(now)]
    if not usable:
        known = accounts[0].refused
        raise KisKeyRefused(
            known.args[0] if known else "no key", msg_cd=known.msg_cd if known else None
        )
    usable = [account for account in usable if not account.trouble] or usable
    if len(usable) == 1:  # its pace need not be read, from a file
        return usable[0]
    return min(usable, key=lambda account: account.queue / account.pace.per_second)
