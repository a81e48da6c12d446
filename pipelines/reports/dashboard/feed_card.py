"""The feed on the page: which symbols it brings, how late, and why the others are polled."""

from __future__ import annotations

from html import escape
from typing import Any

from engine.history.feed_standing import FeedStanding
from pipelines.reports.dashboard import cards


def feed_section(feed: FeedStanding | None) -> str:
    """Return the section of the feed; where it is not used, that all bars are polled."""
    if feed is None:
        off = '<small>피드를 쓰지 않습니다. 모든 봉을 폴링합니다 ("stream": true로 켭니다)</small>'
        return cards.section("실시간 피드", off)
    rows = [_row(row) for row in feed.symbols.iter_rows(named=True)]
    table = cards.table(
        ["종목", "수신", "시각부터", "봉", "지연 p50", "p99", "마지막"],
        feed.symbols["symbol"],
        rows,
    )
    whole = cards.card(
        "실시간 피드",
        f"{feed.by_feed} / {feed.states.height} 종목",
        f"지연 p50 {cards.seconds(feed.total['p50'])} · p99 {cards.seconds(feed.total['p99'])}"
        f" · 마지막 {cards.seconds(feed.total['last'])}",
        bad=not feed.is_whole,
        name="feed",
    )
    why = "".join(f"<small>{escape(line)}</small>" for line in feed.polled())
    return cards.section("실시간 피드", cards.side_by_side([whole]) + why + table)


def _row(row: dict[str, Any]) -> list[str]:
    by_feed = row["by_feed"]
    return [
        cards.cell("피드" if by_feed else "폴링", bad=not by_feed),
        cards.cell(f"{row['since']:%H:%M}"),
        cards.cell(f"{row['bars']:,}"),
        *(cards.cell(cards.seconds(row[name])) for name in ("p50", "p99", "last")),
    ]
