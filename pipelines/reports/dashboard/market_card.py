"""The whole market at its last snapshot: how many stocks rise and fall, and where the money is."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from engine.history.breadth import breadth, turnover_leaders
from pipelines.reports.dashboard import cards
from pipelines.texts import Texts

LEADERS = 10
_TITLES = ("price", "change", "turnover", "share_of_turnover")


def market_card(t: Texts, snapshot: pl.DataFrame) -> str:
    """Return breadth and turnover leaders of a round of `market_snapshot`; without one, nothing."""
    if snapshot.is_empty():
        return ""
    (counts,) = breadth(snapshot.lazy()).collect().to_dicts()
    leaders = turnover_leaders(snapshot.lazy(), LEADERS).collect()
    title = t("breadth_title", at=f"{counts['timestamp']:%H:%M}", stocks=f"{counts['stocks']:,}")
    table = cards.table(
        t,
        t("leaders_title"),
        [t("leaders_title"), *map(t, _TITLES)],
        map(t.name_of, leaders["symbol"]),
        [_leader(t, row) for row in leaders.iter_rows(named=True)],
    )
    note = t("leaders_note", turnover=t.in_large_won(counts["turnover"]))
    return cards.section(title, _breadth(t, counts) + table, note)


def _breadth(t: Texts, counts: dict[str, Any]) -> str:
    """Return the counts by shape, word and colour, with those at their limits below."""
    upper, lower = f"{counts['at_upper_limit']:,}", f"{counts['at_lower_limit']:,}"
    found = (
        ("up", "advancing", t("at_upper_limit", count=upper)),
        ("", "unchanged", t("untraded", count=f"{counts['untraded']:,}")),
        ("down", "declining", t("at_lower_limit", count=lower)),
    )
    signs = {"up": 1, "": 0, "down": -1}
    return cards.side_by_side(
        f'<div class="card" data-krt="{name}"><b>{escape(t(tone or name))}</b>'
        f'<span class="big {tone}">{cards.mark(signs[tone])[0]} {counts[name]:,}</span>'
        f"<small>{escape(note)}</small></div>"
        for tone, name, note in found
    )


def _leader(t: Texts, row: dict[str, Any]) -> list[str]:
    symbol = row["symbol"]
    changed, tone = cards.change(symbol, row["price"], row["base_price"])
    return [
        cards.cell(cards.price(symbol, row["price"]), tone=tone),
        cards.cell(changed, tone=tone),
        cards.cell(t.in_large_won(row["turnover"])),
        cards.cell(f"{row['share']:.1f} %"),
    ]
