"""What each strategy holds and has earned today, and the last signals at which it turned."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl

from engine.market.symbols import parse
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import LAST_TURNS
from pipelines.texts import Texts

_TITLES = (
    "strategy",
    "instrument",
    "position",
    "profit_today",
    "entry",
    "price",
    "trades",
    "next_bar",
)


def positions_section(t: Texts, positions: Mapping[str, pl.DataFrame]) -> str:
    """Return a row for each strategy and symbol with signals today; empty without any.

    `positions` are STANDING by strategy: contracts and money by the usual rules of `just backtest`.
    """
    rows = [
        (name, _cells(t, row))
        for name, standing in positions.items()
        for row in standing.iter_rows(named=True)
    ]
    if not rows:
        return ""
    names, cells = zip(*rows, strict=True)
    titles = [t(name) for name in _TITLES]
    title = t("positions_title")
    return cards.section(
        title, cards.table(t, title, titles, names, list(cells)), t("positions_note")
    )


def _cells(t: Texts, row: dict[str, Any]) -> list[str]:
    symbol = row["symbol"]
    unit = "shares" if cards.is_in_won(symbol) else "contracts"
    stays = row["next_position"] == row["position"]
    entry = (
        f"{row['entered']:%H:%M} · {cards.price(symbol, row['entry'])}"
        if row["entered"]
        else cards.NONE
    )
    return [
        cards.cell(t.name(parse(symbol))),
        _position(t, row["position"], unit),
        _money(symbol, row["net"]),
        cards.cell(entry),
        cards.cell(cards.price(symbol, row["close"])),
        cards.cell(f"{row['trades']:,}"),
        cards.cell(t("stays")) if stays else _position(t, row["next_position"], unit),
    ]


def _position(t: Texts, contracts: int, unit: str) -> str:
    """Return a position as its direction and size."""
    direction = (contracts > 0) - (contracts < 0)
    size = f" {t(unit, count=f'{abs(contracts):,}')}" if contracts else ""
    return cards.raw_cell(cards.side(t, direction, size))


def _money(symbol: str, net: float) -> str:
    """Return KRW with its sign and shape."""
    shape, tone = cards.mark(net)
    text = f"{shape} {net:+,.0f}" if net else "0"
    return cards.cell(
        text, tone=f"money {tone}", data=f' data-krt="net" data-symbol="{escape(symbol)}"'
    )


def last_turns(t: Texts, found: pl.DataFrame) -> str:
    """Return the last signals at which a strategy turned, newest first."""
    shown = found.head(LAST_TURNS)
    rows = [
        [
            cards.cell(row["strategy"]),
            cards.cell(t.name(parse(row["symbol"]))),
            cards.raw_cell(cards.side(t, row["trade_signal"])),
            cards.cell(cards.price(row["symbol"], row["close"])),
            cards.cell(t.reason(row["reason"])),
        ]
        for row in shown.iter_rows(named=True)
    ]
    times = shown["timestamp"].dt.strftime("%H:%M").to_list() if rows else []
    titles = [t(name) for name in ("time", "strategy", "instrument", "signal", "price", "reason")]
    title = t("turns_title")
    return cards.section(title, cards.table(t, title, titles, times, rows))
