"""Run all checks at once, each with a deadline, whatever any of them does."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from engine.clock import WallClock
from engine.errors import InputError
from engine.log import HIDDEN
from engine.settings import Settings, load_settings
from engine.text import visible
from pipelines.doctor.calendar_checks import check_calendar, check_feed, check_holidays
from pipelines.doctor.data_checks import check_database, check_spool
from pipelines.doctor.finding import Check, Finding, Situation
from pipelines.doctor.kis_checks import check_network, check_token
from pipelines.doctor.machine_checks import (
    check_disk,
    check_folders,
    check_service,
    check_versions,
)
from pipelines.doctor.settings_checks import check_configuration, check_key
from pipelines.doctor.stock_checks import check_pace, check_stocks

DEADLINE = 30.0  # seconds; the embedded server may have to recover from its log first
_SHORTEST = 4  # characters: what is shorter is part of many words, and no secret
_WORD = re.compile(r"[\w+/=-]{12,}")  # shorter pieces of a secret are words that it happens to hold
CHECKS: dict[str, Check] = {
    "configuration": check_configuration,
    "key": check_key,
    "network": check_network,
    "token": check_token,
    "folders": check_folders,
    "disk": check_disk,
    "database": check_database,
    "spool": check_spool,
    "calendar": check_calendar,
    "holidays": check_holidays,
    "stocks": check_stocks,
    "pace": check_pace,
    "feed": check_feed,
    "service": check_service,
    "versions": check_versions,
}


def situation_here(clock: WallClock | None = None) -> Situation:
    """Return the situation of this folder: where the settings are broken, with the defaults."""
    folder = Path(os.environ.get("KRT_CONFIG_FOLDER") or ".").resolve()
    clock = clock or WallClock()
    try:
        return Situation(folder, load_settings(), clock)
    except InputError as error:
        return Situation(folder, Settings.model_construct(), clock, str(error))


def examine(
    situation: Situation, checks: dict[str, Check] | None = None, deadline: float = DEADLINE
) -> list[Finding]:
    """Return the findings in the order of the checks, without a secret in them.

    A check that is not done by the deadline, in seconds, or that fails in a way nobody thought of,
    is unknown. Its thread is left behind: whatever holds it up must not hold up the others.
    """
    checks = checks or CHECKS
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Check) -> None:
        found[name] = _run(name, check, situation)

    threads = {
        name: threading.Thread(target=run, args=(name, check), name=name, daemon=True)
        for name, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + deadline
    for thread in threads.values():
        thread.join(max(0.0, end - time.monotonic()))
    late = f"no answer within {deadline:.0f} s"
    results = [
        finding
        for name in checks
        for finding in found.get(name, [Finding(name, "unknown", late, "run it again")])
    ]
    return _without_secrets(results, situation.settings.secrets())


def _run(name: str, check: Check, situation: Situation) -> list[Finding]:
    try:
        return list(check(situation))
    except Exception as error:  # noqa: BLE001 - whatever is broken here is what was asked for
        words = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        return [Finding(name, "unknown", words, "report it with this line")]


def _without_secrets(findings: Iterable[Finding], secrets: Iterable[str]) -> list[Finding]:
    """Return the findings with every secret blacked out, and every long piece of one."""
    hidden = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, HIDDEN)
        for piece in _WORD.findall(text):
            if any(piece in secret for secret in hidden):
                text = text.replace(piece, HIDDEN)
        return visible(" ".join(text.split()))

    return [Finding(f.check, f.state, clean(f.says), clean(f.remedy)) for f in findings]
