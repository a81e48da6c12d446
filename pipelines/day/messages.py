"""The messages of the morning and of the evening, where the settings ask for them."""

from __future__ import annotations

import logging
from datetime import timedelta
from statistics import median

from engine.errors import StoreError
from engine.store.identifiers import literal
from pipelines.day.alerts import Event
from pipelines.day.parts import DayParts
from pipelines.day.statistics import DayStatistics
from pipelines.day.view import headline

log = logging.getLogger(__name__)

NAMES_SHOWN = 20
LOOK_BACK = timedelta(days=10)


async def tell_morning(day: DayParts) -> None:
    """Tell before the open what will be collected, and what is amiss."""
    contact, plan = day.alerts.contact, day.plan
    if not (contact.addresses and contact.morning_message) or day.clock.now() >= day.opens:
        return
    names = plan.kept
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    closes = max(session.last_stamp for session in plan.sessions)
    lines = [", ".join(names[:NAMES_SHOWN]) + more]
    if plan.skipped:
        lines.append(f"without a session: {', '.join(plan.skipped)}")
    amiss = [*contact.amiss.values(), *([day.kis.trouble] if day.kis.trouble else [])]
    amiss += await _open_minutes(day)
    lines.append(f"amiss: {'; '.join(amiss)}" if amiss else "nothing is amiss")
    title = f"⏱️ {plan.name}: {len(names)} to collect, {day.opens:%H:%M} to {closes:%H:%M}"
    day.alerts.tell(Event(("morning", plan.name), title, "\n".join(lines)))


async def _open_minutes(day: DayParts) -> list[str]:
    """Say how many minutes of the last days are open in the ledger, or that it cannot be read."""
    first = literal(day.plan.day - LOOK_BACK)
    try:
        found = await day.store.query(
            "SELECT coalesce(sum(stamps), 0)::bigint AS minutes FROM gaps"  # noqa: S608 - quoted
            f" WHERE state = 'open' AND session >= {first}"
        )
    except StoreError as error:
        return [str(error)]
    minutes = found["minutes"][0].as_py()
    return [f"{minutes:,} minutes of the last days are open"] if minutes else []


def tell_evening(day: DayParts) -> None:
    """Tell after the close what the day came to."""
    contact = day.alerts.contact
    if contact.addresses and contact.evening_message:
        text = "\n".join(_figures(day.stats))
        day.alerts.tell(Event(("evening", day.plan.name), headline(day.stats), text))


def _figures(stats: DayStatistics) -> list[str]:
    lines = [f"bars {stats.bars:,}, snapshots {stats.snapshots:,}, missing {stats.missing:,}"]
    if stats.corrections:
        lines.append(f"corrected by KIS: {stats.corrections:,} bars")
    for strategy, count in stats.signals.items():
        lines.append(f"{strategy}: {count:,} signals, {stats.trade_signals[strategy]:,} to trade")
    if stats.delays and stats.slowest:
        minute, seconds = stats.slowest
        usual = median(stats.delays.values())
        lines.append(f"delay: {usual:.1f} s, at most {seconds:.1f} s ({minute:%H:%M})")
    return lines
