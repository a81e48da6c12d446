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
from pipelines.day.summary import headline, session_name
from pipelines.texts import Texts

log = logging.getLogger(__name__)

NAMES_SHOWN = 20
LOOK_BACK = timedelta(days=10)


async def tell_morning(day: DayParts) -> None:
    """Tell before the open what will be collected, and what is wrong."""
    contact, plan, t = day.alerts.contact, day.plan, day.alerts.t
    if not (contact.addresses and contact.morning_message) or day.clock.now() >= day.opens:
        return
    names = [t.name_of(name) for name in plan.kept]
    shown = ", ".join(names[:NAMES_SHOWN])
    if len(names) > NAMES_SHOWN:
        shown = t("morning_more", names=shown, count=len(names) - NAMES_SHOWN)
    lines = [shown]
    if plan.skipped:
        skipped = ", ".join(t.name_of(name) for name in plan.skipped)
        lines.append(t("morning_skipped", names=skipped))
    amiss = [*contact.amiss.values(), *([day.kis.trouble] if day.kis.trouble else [])]
    amiss += await _open_minutes(day)
    lines.append(t("morning_amiss", what="; ".join(amiss)) if amiss else t("morning_well"))
    closes = max(session.last_stamp for session in plan.sessions)
    title = t(
        "morning_title",
        day=session_name(plan, t),
        count=len(names),
        opens=f"{day.opens:%H:%M}",
        closes=f"{closes:%H:%M}",
    )
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
    return [day.alerts.t("morning_open", count=f"{minutes:,}")] if minutes else []


def tell_evening(day: DayParts) -> None:
    """Tell the figures of the day after the close."""
    contact, t = day.alerts.contact, day.alerts.t
    if contact.addresses and contact.evening_message:
        text = "\n".join(_figures(day.stats, t))
        day.alerts.tell(Event(("evening", day.plan.name), headline(day.stats, t), text))


def _figures(stats: DayStatistics, t: Texts) -> list[str]:
    counts = {"bars": stats.bars, "snapshots": stats.snapshots, "missing": stats.missing}
    lines = [t("evening_counts", **{name: f"{count:,}" for name, count in counts.items()})]
    if stats.corrections:
        lines.append(t("evening_corrections", count=f"{stats.corrections:,}"))
    for strategy, count in stats.signals.items():
        given = {"count": f"{count:,}", "traded": f"{stats.trade_signals[strategy]:,}"}
        lines.append(t("evening_signals", strategy=strategy, **given))
    if stats.delays and stats.slowest:
        minute, seconds = stats.slowest
        usual = median(stats.delays.values())
        said = {"usual": f"{usual:.1f}", "most": f"{seconds:.1f}", "at": f"{minute:%H:%M}"}
        lines.append(t("evening_delay", **said))
    return lines
