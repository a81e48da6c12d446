"""Tokens and the pace: which calls are let in, and how many a second.

A token is valid for 24 h; a second request within 6 h gets the same one with its original expiry;
a second issue within a minute is refused with EGW00133 (docs/kis.md#token). The pace is counted in
the time of the simulated day. Tokens may live by another clock, the client's own: a client with a
real clock would take a token of a simulated day for expired.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b

from engine.clock import Clock
from engine.simulator import refusals
from engine.simulator.approvals import Approvals
from engine.simulator.refusals import Refusal

LIFETIME = timedelta(hours=24)
SAME_TOKEN_FOR = timedelta(hours=6)
BETWEEN_ISSUES = timedelta(minutes=1)
PACE_WINDOW = timedelta(seconds=1)


@dataclass
class IssuedToken:
    """One issued token. KIS can take it back before it expires."""

    text: str
    issued_at: datetime
    dead: tuple[str, str] | None = None  # msg_cd and msg1 of the refusal of a call with it

    @property
    def expires_at(self) -> datetime:
        """When it expires, unless KIS takes it back before."""
        return self.issued_at + LIFETIME


@dataclass
class Account:
    """One app key: its secret, tokens and the calls of the last second."""

    app_key: str
    secret: str
    tokens: list[IssuedToken] = field(default_factory=list)
    answered_at: datetime | None = None  # the last request for a token that was granted
    calls: deque[datetime] = field(default_factory=deque)


class Admission:
    """Lets calls in, or raises Refusal."""

    def __init__(
        self, app_keys: Mapping[str, str], calls_per_second: float, token_clock: Clock
    ) -> None:
        self.accounts = {key: Account(key, secret) for key, secret in app_keys.items()}
        self._limit = calls_per_second
        self._token_clock = token_clock
        self.approvals = Approvals(token_clock)

    def issue(self, body: Mapping[str, str]) -> IssuedToken:
        """Return the token that a request gets. Raises Refusal."""
        now = self._token_clock.now()
        account = self._account(body.get("appkey", ""), body.get("appsecret", ""), of_gateway=True)
        if account.answered_at and now - account.answered_at < BETWEEN_ISSUES:
            raise Refusal(*refusals.TOKEN_TOO_SOON, status=403, of_gateway=True)
        account.answered_at = now
        last = account.tokens[-1] if account.tokens else None
        if last is None or last.dead or now - last.issued_at >= SAME_TOKEN_FOR:
            account.tokens.append(IssuedToken(self._text(account), now))
        return account.tokens[-1]

    def approve(self, body: Mapping[str, str]) -> str:
        """Return the approval key that a request gets; the WebSocket wants it. Raises Refusal."""
        secret = body.get("secretkey", "")
        return self.approvals.issue(
            self._account(body.get("appkey", ""), secret, of_gateway=True).app_key
        )

    def knows(self, app_key: str, secret: str) -> bool:
        """Say whether the secret is that of the app key."""
        account = self.accounts.get(app_key)
        return account is not None and account.secret == secret

    def admit(
        self, headers: Mapping[str, str], now: datetime, pace: Callable[[float, datetime], float]
    ) -> None:
        """Check key, token and pace of a call. Raises Refusal. `pace` may lower the usual one."""
        account = self._account(headers.get("appkey", ""), headers.get("appsecret", ""))
        _check_token(account, headers.get("authorization", ""), self._token_clock.now())
        self._count(account, now, pace(self._limit, now))

    def kill_tokens(self, code: str) -> Refusal:
        """Take back every token, as KIS's maintenance does, and return the refusal of the call."""
        expired = code == refusals.TOKEN_EXPIRED[0]
        reason = refusals.TOKEN_EXPIRED if expired else refusals.TOKEN_INVALID
        for account in self.accounts.values():
            for token in account.tokens:
                token.dead = token.dead or reason
        return Refusal(*reason, injected=True)

    def _account(self, app_key: str, secret: str, *, of_gateway: bool = False) -> Account:
        account = self.accounts.get(app_key)
        if account is None:
            reason = refusals.BAD_APP_KEY if app_key else refusals.NO_APP_KEY
            raise Refusal(*reason, status=403, of_gateway=of_gateway)
        if account.secret != secret:
            reason = refusals.BAD_APP_SECRET if secret else refusals.NO_APP_SECRET
            raise Refusal(*reason, status=403, of_gateway=of_gateway)
        return account

    def _count(self, account: Account, now: datetime, limit: float) -> None:
        calls = account.calls
        while calls and now - calls[0] >= PACE_WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            raise Refusal(*refusals.TOO_MANY_CALLS)
        calls.append(now)

    def _text(self, account: Account) -> str:
        key = f"{account.app_key}/{len(account.tokens)}"
        return "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9." + blake2b(key.encode()).hexdigest()


def _check_token(account: Account, authorization: str, now: datetime) -> None:
    scheme, _, text = authorization.partition(" ")
    if authorization and scheme != "Bearer":
        raise Refusal(*refusals.NOT_BEARER)
    if not text:
        raise Refusal(*refusals.TOKEN_NOT_FOUND)
    token = next((token for token in account.tokens if token.text == text), None)
    if token is None:
        raise Refusal(*refusals.TOKEN_INVALID)
    if token.dead:
        raise Refusal(*token.dead)
    if now >= token.expires_at:
        raise Refusal(*refusals.TOKEN_EXPIRED)
