"""Is the day going well? What is missing, who is alive, pace, spool, disk, the feed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from engine.history.feed_standing import FeedStanding
from engine.market.sessions import Market
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import DayBoard
from pipelines.reports.dashboard.head import market_state
from pipelines.reports.dashboard.health import State
from pipelines.texts import Texts

_STATES: dict[State, tuple[str, str]] = {
    "running": ("●", "good"),
    "done": ("■", ""),
    "stopped": ("✕", "bad"),
}
_MISSING = ("open", "unavailable", "refused")
_GIGABYTE = 1e9
_LOW_DISK = 5.0  # GB


@dataclass(frozen=True)
class Disk:
    """The disk on which our data lie."""

    free: int  # bytes
    total: int


def disk_of(folder: Path | None) -> Disk | None:
    """Return the disk of a folder, or of the nearest that exists above; None without a folder."""
    if folder is None:
        return None
    found = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(found)
    return Disk(usage.free, usage.total)


def health(t: Texts, day: DayBoard, states: Mapping[str, State], disk: Disk | None) -> str:
    """Return clock, session, the counts of the day, the components and the disk."""
    counts, standing = day.counts, day.standing
    missing = standing.missing_today
    parts = [
        t(f"missing_{state}", count=f"{int(standing.today[state].sum()):,}")
        for state in _MISSING
        if standing.today[state].sum()
    ]
    found = [
        cards.card(t("clock"), f"{day.now:%H:%M:%S}", f"{day.now:%Y-%m-%d}", name="clock"),
        *(
            cards.card(t(f"market_{market}"), market_state(t, market, day.now), name=name)
            for market, name in ((Market.DERIVATIVES, "session"), (Market.STOCKS, "stocks"))
        ),
        cards.card(
            t("missing_minutes"),
            f"{missing:,}",
            " · ".join(parts) or t("missing_so_far"),
            bad=missing > 0,
            name="missing",
        ),
        cards.card(
            t("rejected_rows"),
            f"{counts['rejected']:,}",
            t("corrected_bars", count=f"{counts['corrected']:,}"),
        ),
        *_disk(t, disk),
    ]
    alive = (
        []
        if day.is_past
        else [
            _component(t, row, states[row["component"]])
            for row in day.components.iter_rows(named=True)
        ]
    )
    return cards.section(
        t("health_title"), cards.side_by_side(found) + cards.side_by_side(alive)
    ) + feed_section(t, standing.feed)


def _disk(t: Texts, disk: Disk | None) -> list[str]:
    if disk is None:
        return []
    free = disk.free / _GIGABYTE
    used = round(100 * (1 - disk.free / disk.total))
    return [
        cards.card(
            t("disk"),
            f"{free:,.0f} GB",
            t("disk_note", used=used),
            bad=free < _LOW_DISK,
            name="disk",
        )
    ]


def _component(t: Texts, row: Mapping[str, Any], state: State) -> str:
    shape, tone = _STATES[state]
    name = row["component"]
    title = t.or_else(f"component_{name}", name)
    said = f"{t.noted(row['message'] or '')} · {row['timestamp']:%m-%d %H:%M:%S}"
    return (
        f'<div class="card" data-krt="component" data-name="{escape(name)}" data-state="{state}">'
        f'<b>{escape(title)}</b><span class="big {tone}">{shape} {escape(t(state))}</span>'
        f"<small>{escape(said)}</small></div>"
    )


def feed_section(t: Texts, feed: FeedStanding | None) -> str:
    """Return the section of the feed; where it is not used, that all bars are polled."""
    title = t("feed_title")
    if feed is None:
        return cards.section(title, "", t("feed_off"))
    names = ("received", "since", "bars", "feed_p50", "feed_p99", "last")
    table = cards.table(
        t,
        title,
        [t("instrument"), *(t(name) for name in names)],
        feed.symbols["symbol"],
        [_feed_row(t, row) for row in feed.symbols.iter_rows(named=True)],
    )
    late = {name: cards.seconds(feed.total[name]) for name in ("p50", "p99", "last")}
    whole = cards.card(
        title,
        t("feed_symbols", by_feed=feed.by_feed, all=feed.states.height),
        t("feed_delay", **late),
        bad=not feed.is_whole,
        name="feed",
    )
    why = "".join(f"<small>{escape(line)}</small>" for line in feed.polled())
    return cards.section(title, cards.side_by_side([whole]) + why + table)


def _feed_row(t: Texts, row: Mapping[str, Any]) -> list[str]:
    by_feed = row["by_feed"]
    return [
        cards.cell(t("by_feed" if by_feed else "by_polling"), bad=not by_feed),
        cards.cell(f"{row['since']:%H:%M}"),
        cards.cell(f"{row['bars']:,}"),
        *(cards.cell(cards.seconds(row[name])) for name in ("p50", "p99", "last")),
    ]
