"""Does the program know the trading days to come, and does the feed work?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from engine.clock import today
from engine.errors import KrtError
from engine.files import read_file
from engine.kis.auth import file_stem
from engine.kis.holidays import DAYS_FILE, asked_on
from engine.market.trading_days import rules
from pipelines.day_plan import next_plan
from pipelines.doctor.finding import Finding, Situation
from pipelines.feed import configured_feed

_SOON = timedelta(days=60)
_ASKED_AT_LEAST = timedelta(days=7)


def check_calendar(situation: Situation) -> Iterator[Finding]:
    """Until when does the built-in calendar go?"""
    last, now = rules()["last_day"], today(situation.clock)
    remedy = "upgrade the program (`git pull`, `uv sync`): a newer version knows more"
    if now > last:
        says = f"it ended on {last}: nothing can be collected any more"
        yield Finding("calendar", "amiss", says, remedy)
    elif now + _SOON > last:
        yield Finding("calendar", "amiss", f"it ends on {last}", remedy)
    else:
        yield Finding("calendar", "well", f"it goes to {last}{_next_session(situation)}")


def check_holidays(situation: Situation) -> Iterator[Finding]:
    """Has KIS been asked lately on which days the exchange opens?"""
    if situation.kind == "simulation":
        yield Finding("holidays", "well", "a simulation asks nobody")
        return
    asked = asked_on(situation.settings.folder("live") / "kis" / DAYS_FILE)
    if asked is None:
        yield Finding("holidays", "well", "KIS is asked before the first open")
    elif today(situation.clock) - asked > _ASKED_AT_LEAST:
        yield Finding(
            "holidays",
            "unknown",
            f"KIS was last asked on {asked}",
            "the next `just live` asks; a closed day that was announced since is not known",
        )
    else:
        yield Finding("holidays", "well", f"KIS told them on {asked}")


def check_feed(situation: Situation) -> Iterator[Finding]:
    """Is the WebSocket used, is its key free, and may a connection be made?"""
    kis = situation.settings.kis
    if not kis.stream:
        yield Finding("feed", "well", "not used (`stream` is false): everything is polled")
        return
    folder = situation.settings.folder("live") / "kis"
    for key in kis.app_keys:
        stem = folder / file_stem(kis.base_url, key.app_key.get_secret_value())
        lock = stem.with_name(f"{stem.name}-stream.lock")
        record = stem.with_name(f"{stem.name}-stream.json")
        if lock.exists() and _is_held(FileLock(lock)):
            yield Finding("feed", "well", "a process of this machine is connected")
            return
        if minutes := _pause(record, situation):
            yield Finding(
                "feed",
                "amiss",
                "four connections in ten minutes: it pauses, as KIS blocks who connects in a loop",
                f"wait {minutes:.0f} minutes; the log says why it ended so often",
            )
            return
    yield Finding(
        "feed", "well", "it is used while a session is collected; no process is connected"
    )


def _next_session(situation: Situation) -> str:
    try:
        plan = next_plan(configured_feed(situation.settings), situation.clock)
    except KrtError:
        return ""
    return f"; the next session is {plan.day}"


def _pause(record: Path, situation: Situation) -> float:
    """Return how many minutes the feed pauses; the record is only read."""
    try:
        until = orjson.loads(read_file(record)).get("paused_until")
        pause = datetime.fromisoformat(until) - situation.clock.now() if until else timedelta(0)
    except (OSError, ValueError, AttributeError, TypeError):
        return 0.0
    return max(pause.total_seconds() / 60, 0.0)


def _is_held(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
