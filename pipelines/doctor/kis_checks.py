"""Does KIS answer, is this machine's clock right, and does KIS take the key?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import KisError, KisKeyRefused, KisUnreachable
from engine.kis.client import KisClient
from engine.kis.endpoints.bars import StockMinutesToday
from engine.kis.skew import AGREE
from engine.kis.transport import LOOPBACK, Reply, Transport
from engine.settings import AppKey
from pipelines.day.machine import LAST_DAYS, certificate_end
from pipelines.day.run import usable_folder
from pipelines.doctor.finding import Finding, Situation
from pipelines.doctor.settings_checks import placeholders

_KNOWN_STOCK = "005930"  # KIS answers about it on every day
_WORTH_A_LINE = timedelta(seconds=3)
_SECONDS = 10.0  # for a token and an answer


def check_network(situation: Situation) -> Iterator[Finding]:
    """Ask KIS's address for anything: the answer shows network, certificates and KIS's clock."""
    address = urlsplit(situation.settings.base_url)
    name = address.netloc
    sent = situation.clock.now()
    try:
        reply = asyncio.run(_ask(situation))
    except KisUnreachable as error:
        certificate = "certificate" in str(error)
        remedy = (
            "see what it says about the certificate"
            if certificate
            else f"is there a network? is {name} resolved, and let through by firewall and proxy?"
        )
        yield Finding("network", "amiss", f"{name}: {error}", remedy)
        yield Finding("clock", "unknown", "KIS's clock cannot be read", "see network")
        return
    took = situation.clock.now() - sent
    ends = certificate_end(situation.settings.base_url)
    kind = f"certificate valid until {ends:%Y-%m-%d}" if ends else "no certificate"
    says = f"{name} answers in {_ms(took)} ms, {kind}"
    if ends and ends - sent < LAST_DAYS:
        yield Finding("network", "amiss", says, "KIS has to renew it: see its notices")
    else:
        yield Finding("network", "well", says)
    yield _clock(situation, reply, took)


def check_token(situation: Situation) -> Iterator[Finding]:
    """Ask KIS one question with each key; a token that is kept is used, else one is asked for."""
    if not situation.settings.has_credentials:
        yield Finding("token", "well", "none is needed without a key")
        return
    keys = situation.settings.kis.app_keys
    if any(placeholders(key) for key in keys):
        yield Finding("token", "unknown", "KIS is not asked with a placeholder", "see key")
        return
    with usable_folder(situation.settings.folder("live") / "kis") as folder:
        for number, key in enumerate(keys, 1):
            which = f"key {number}: " if len(keys) > 1 else ""
            yield asyncio.run(_try_key(situation, key, folder, which))


async def _ask(situation: Situation) -> Reply:
    kis = situation.settings.kis
    transport = Transport(
        kis.base_url, situation.clock, timeout=kis.request_timeout, tells_time=True
    )
    try:
        return await transport.send("GET", "/")
    finally:
        await transport.close()


def _clock(situation: Situation, reply: Reply, took: timedelta) -> Finding:
    """Compare the clocks: the answer is dated to the second, some time before it arrived."""
    if urlsplit(situation.settings.base_url).hostname in LOOPBACK and reply.dated is None:
        return Finding("clock", "well", "a simulator tells no time")
    if reply.dated is None:
        return Finding("clock", "unknown", "KIS's answer bears no date", "run it again")
    ahead = situation.clock.now() - took / 2 - reply.dated - timedelta(seconds=0.5)
    side = "ahead of" if ahead > timedelta(0) else "behind"
    says = f"{abs(ahead.total_seconds()):.0f} s {side} KIS's"
    if abs(ahead) <= _WORTH_A_LINE:
        return Finding("clock", "well", "it goes with KIS's, to the second")
    effect = (
        "no missing minute is settled" if abs(ahead) > AGREE else "bars are late, or asked too soon"
    )
    return Finding(
        "clock",
        "amiss",
        f"this machine's clock is {says}: {effect}",
        "set it by NTP: `timedatectl set-ntp true` (Linux), `w32tm /resync` (Windows), `sntp -sS"
        " time.apple.com` (macOS)",
    )


async def _try_key(situation: Situation, key: AppKey, folder: Path, which: str) -> Finding:
    only = situation.settings.kis.model_copy(update={"app_keys": (key,)})
    now = situation.clock.now()
    client = KisClient(only, situation.clock, folder=folder)
    request = StockMinutesToday(_KNOWN_STOCK, f"{now:%H%M%S}")
    try:
        await client.call(request, deadline=now + timedelta(seconds=_SECONDS))
    except KisKeyRefused as error:
        return Finding(
            "token",
            "amiss",
            f"{which}{error}",
            "compare app_key, app_secret and base_url with KIS's site; keys for paper trading have"
            " another address, and a key ends after a year",
        )
    except KisError as error:
        trouble = client.trouble or str(error)
        if client.trouble is None and "for a token" in trouble:  # nothing failed: it waits
            says = "KIS gives one token a minute, and was asked for one a moment ago"
            return Finding("token", "unknown", f"{which}{says}", "run it again in a minute")
        return Finding("token", "unknown", f"{which}{trouble}", "see network; KIS's notices")
    finally:
        await client.close()
    return Finding("token", "well", f"{which}KIS takes the key, and answers")


def _ms(took: timedelta) -> int:
    return round(took.total_seconds() * 1000)
