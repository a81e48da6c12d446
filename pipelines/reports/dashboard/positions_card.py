"""What each strategy holds and has earned today, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from engine.market.symbols import Stock, parse
from pipelines.reports.charts.style import BLUE, VERMILLION
from pipelines.reports.dashboard.cards import cell, price, section, side, table

_TITLES = ("전략", "종목", "포지션", "진입", "현재가", "오늘 손익 (원)", "매매", "다음 봉")


def positions_section(positions: Mapping[str, pl.DataFrame]) -> str:
    """Return a row for each strategy and symbol with signals today; empty without any.

    `positions` are STANDING by strategy: contracts and money by the usual rules of `just backtest`.
    """
    rows = [
        (name, _cells(row))
        for name, standing in positions.items()
        for row in standing.iter_rows(named=True)
    ]
    if not rows:
        return ""
    names, cells = zip(*rows, strict=True)
    note = (
        "<small>저장된 신호로 계산한 모의 매매입니다. 비용은 just backtest의 기본값입니다.</small>"
    )
    return section("포지션과 손익", table(list(_TITLES), names, list(cells)) + note)


def _cells(row: dict[str, Any]) -> list[str]:
    symbol = row["symbol"]
    unit = "주" if isinstance(parse(symbol), Stock) else "계약"
    stays = row["next_position"] == row["position"]
    entry = f"{row['entered']:%H:%M} · {price(symbol, row['entry'])}" if row["entered"] else "–"
    return [
        cell(parse(symbol).name_ko),
        _position(row["position"], unit),
        cell(entry),
        cell(price(symbol, row["close"])),
        _money(symbol, row["net"]),
        cell(f"{row['trades']:,}"),
        cell("유지") if stays else _position(row["next_position"], unit),
    ]


def _position(contracts: int, unit: str) -> str:
    """Return a position as its direction and size."""
    direction = (contracts > 0) - (contracts < 0)
    return side(direction, f" {abs(contracts):,}{unit}" if contracts else "")


def _money(symbol: str, net: float) -> str:
    """Return KRW with its sign; a gain is red, a loss blue, as Koreans read it."""
    color = VERMILLION if net > 0 else BLUE if net < 0 else "inherit"
    sign = "▲ +" if net > 0 else "▼ " if net < 0 else ""
    return f'<td data-krt="net" data-symbol="{symbol}" style="color:{color}">{sign}{net:,.0f}</td>'
