"""The figures of a day in words: the closing summary, and how the feed is doing."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.history.completeness import reasons
from engine.history.feed_standing import STREAM_OFF, FeedStanding
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import DayPlan
from pipelines.texts import Texts

_NAMED = 3  # symbols that lack trades


def summary(stats: DayStatistics, t: Texts) -> RenderableType:
    """Return the closing summary; of an interrupted day, of what is committed."""
    table = Table(show_header=False)
    for name, text, style in _rows(stats, t):
        table.add_row(name, Text(text, style))
    return Group(Text(headline(stats, t), style="italic"), table)


def _rows(stats: DayStatistics, t: Texts) -> Iterator[tuple[str, str, str]]:
    """Yield what each row is called, what it says and its style."""
    yield t("bars"), f"{stats.bars:,}", ""
    for name, text in _feed_rows(stats, t):
        yield name, text, ""
    yield t("snapshots"), f"{stats.snapshots:,}", ""
    for strategy, count in stats.signals.items():
        traded = f"{stats.trade_signals[strategy]:,}"
        text = t("sum_signals_traded", count=f"{count:,}", traded=traded)
        yield t("sum_signals", strategy=strategy), text, ""
    if stats.missing:
        yield t("missing"), t("sum_missing", count=f"{stats.missing:,}"), "red"
        for state, reason, minutes in reasons(stats.final_minutes).iter_rows():
            text = t("sum_missing_for", count=f"{minutes:,}", reason=t.noted(reason))
            yield f"  {t(f'state_of_gap_{state}')}", text, ""
    else:
        yield t("missing"), t("sum_none"), ""
    no_trade = stats.minutes_in_state("no_trade") + stats.minutes_in_state("halted")
    if no_trade:
        yield t("sum_no_trade"), t("sum_no_trade_minutes", count=f"{no_trade:,}"), ""
    yield t("corrections"), f"{stats.corrections:,}", ""
    for cause, count in (stats.origins.corrected_signals if stats.origins else {}).items():
        if count:
            text = t(f"sum_corrected_by_{cause}", count=f"{count:,}")
            yield t("sum_corrected_signals"), text, ""
    for reason, count in sorted(stats.rejected.items()):
        yield t("sum_rejected", reason=t.noted(reason)), f"{count:,}", ""
    if stats.slowest:
        minute, seconds = stats.slowest
        text = t("sum_slowest_minute", at=f"{minute:%H:%M}", seconds=f"{seconds:.1f}")
        yield t("sum_slowest"), text, ""


def _feed_rows(stats: DayStatistics, t: Texts) -> Iterator[tuple[str, str]]:
    """Yield what the feed gave, what REST said of it, how late it was, and what was polled."""
    if stats.by_feed:
        counts = stats.feed_bars
        values = {
            "count": f"{counts[True]:,}",
            "share": f"{counts[True] / max(stats.bars, 1):.1%}",
            "trades": f"{stats.trades:,}",
        }
        yield t("sum_feed"), t("sum_feed_bars", **values)
        lacked = {"partial": f"{counts[False]:,}", "unproven": f"{counts[None]:,}"}
        yield f"  {t('sum_feed_rest')}", t("sum_feed_lacked", **lacked)
    if stats.missing_trades is not None:
        yield f"  {t('sum_missing_trades')}", _missing_trades(stats.missing_trades, t)
    if stats.feed:
        line, *polled = feed_lines(stats.feed, t)
        yield f"  {t('sum_feed_end')}", line
        for one in polled:
            yield f"  {t('sum_feed_polled')}", one
        made = {"again": f"{stats.reconnects:,}", "most": stats.most_connections}
        yield f"  {t('sum_connections')}", t("sum_connections_made", **made)
    elif stats.feed_off not in (None, STREAM_OFF):
        yield t("sum_feed"), t("sum_feed_nothing", why=stats.feed_off)
    if stats.origins and (stats.origins.by_feed or stats.origins.replaced):
        confirmed = t("sum_confirmed_bars", count=f"{stats.origins.confirmed:,}")
        yield f"  {t('sum_confirmed')}", confirmed
        key = "sum_replaced_back" if stats.origins.replaced else "sum_replaced_bars"
        count, back = f"{stats.origins.replaced:,}", f"{stats.origins.restored:,}"
        yield f"  {t('sum_replaced')}", t(key, count=count, back=back)


def _missing_trades(found: pl.DataFrame, t: Texts) -> str:
    """Return how much volume has no stored trade, of the symbols that lack most."""
    if found.is_empty():
        return t("sum_none")
    said = [
        t(
            "sum_missing_trades_of",
            name=t.name_of(symbol),
            missing=f"{missing:,}",
            share=f"{missing / max(volume or missing, missing):.2%}",
        )
        for symbol, missing, volume in found.head(_NAMED).iter_rows()
    ]
    if found.height > _NAMED:
        said.append(t("sum_missing_trades_more", count=f"{found.height - _NAMED:,}"))
    return ", ".join(said)


def feed_lines(feed: FeedStanding, t: Texts) -> list[str]:
    """Return how many symbols come by the feed, and which are polled since when and why."""
    said = t("view_feed", by_feed=feed.by_feed, all=feed.states.height)
    if feed.total["bars"]:
        late = {name: f"{feed.total[name]:.1f}" for name in ("p50", "p99", "last")}
        said = t("view_feed_delay", said=said, **late)
    lines = [said]
    for since, why, symbol, count in feed.polled_groups():
        key = "view_polled" if count == 1 else "view_polled_more"
        named = {"name": t.name_of(symbol), "count": count - 1, "since": f"{since:%H:%M}"}
        lines.append(t(key, why=why, **named))
    return lines


def session_name(plan: DayPlan, t: Texts) -> str:
    """Return what the session is called: 2026-11-18, or night of 2026-11-18."""
    return t("night_of", day=plan.day) if plan.night else f"{plan.day}"


def headline(stats: DayStatistics, t: Texts) -> str:
    """Return in one sentence what a day came to."""
    day = session_name(stats.plan, t)
    if stats.closed:
        return t("day_was_closed", day=stats.day)
    if stats.interrupted:
        return t("day_was_interrupted", day=day)
    if stats.complete:
        return t("day_is_complete", day=day)
    if stats.spooled:
        return t("day_waits_in_spool", day=day, count=f"{stats.spooled:,}")
    return t("day_has_missing", day=day, count=f"{stats.missing:,}")
