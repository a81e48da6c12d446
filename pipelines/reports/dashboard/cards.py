"""The board as HTML: cards that fit a phone, colours that words repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

import engine.market
import pipelines
from engine.market import sessions
from engine.market.symbols import Stock, parse
from pipelines.reports.charts.style import BLUE, FONT, GREEN, GREY, VERMILLION, font_face
from pipelines.reports.dashboard.board import Board
from pipelines.reports.dashboard.health import State

_STATES: dict[State, tuple[str, str]] = {
    "running": ("● 작동 중", GREEN),
    "done": ("■ 완료", GREY),
    "stopped": ("✕ 중단", VERMILLION),
}
MISSING_KO = {"open": "미해결", "unavailable": "복구 불가", "refused": "거부됨"}
_SIDES = {1: ("▲ 매수", VERMILLION), -1: ("▼ 매도", BLUE), 0: ("–", GREY)}

STYLE = f"""
:root {{ --marimo-text-font: "{FONT}", sans-serif; --marimo-heading-font: "{FONT}", sans-serif; }}
.krt {{ font-family: "{FONT}", system-ui, sans-serif; font-size: 15px; color: #1a1a1a; }}
.krt .row {{ display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); }}
.krt .card {{ border: 1px solid #ddd; border-radius: 8px; padding: 8px 12px;
  background: #fff; min-width: 0; }}
.krt .card b {{ display: block; font-size: 12px; font-weight: 500; color: #666; }}
.krt .card span.big {{ font-size: 20px; white-space: nowrap; }}
.krt .card small {{ color: #666; display: block; overflow-wrap: anywhere; }}
.krt .scroll {{ overflow-x: auto; }}
.krt table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
.krt th, .krt td {{ padding: 4px 8px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #eee; }}
.krt th:first-child, .krt td:first-child {{ text-align: left; }}
.krt th {{ color: #666; font-weight: 500; }}
.krt .bad {{ color: {VERMILLION}; font-weight: 600; }}
.krt .banner {{ border-radius: 8px; padding: 10px 14px; margin-bottom: 10px;
  background: {VERMILLION}; color: #fff; }}
.krt .banner b {{ display: block; font-size: 18px; }}
.krt .banner span {{ font-size: 14px; }}
.krt .title {{ font-size: 16px; font-weight: 600; margin: 14px 0 6px; }}
"""


def style() -> str:
    """Return the page's CSS, with a font that has every Korean letter of our own texts."""
    folders = [Path(pipelines.__file__).parent, Path(engine.market.__file__).parent]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    text = "".join(file.read_text("utf-8") for file in files)
    return f"<style>{font_face(text)}{STYLE}</style>"


def page(*parts: str) -> str:
    """Return the parts as one block of the page."""
    return f'<div class="krt">{"".join(parts)}</div>'


def banner(board: Board, collector: State | None) -> str:
    """Return the line above everything that says that nobody collects; empty if all is well.

    `collector` is the state of the collector's heartbeat, which in a simulation only the page's own
    clock can judge.
    """
    standing = board.standing
    silent = standing.lacks_collector or (standing.session_is_on and collector == "stopped")
    if silent:
        title = "수집기가 실행되고 있지 않습니다"
    elif standing.nobody_collected:
        title = "오늘 장을 수집한 수집기가 없습니다"
    else:
        return ""
    beat = standing.heartbeat
    last = f"마지막 하트비트 {beat.at:%Y-%m-%d %H:%M}" if beat else "하트비트 없음"
    since = standing.missing_since
    missing = f"{since:%H:%M}부터 누락 {standing.missing_today:,}분" if since else "아직 누락 없음"
    return (
        f'<div class="banner" data-krt="banner"><b>{title}</b>'
        f"<span>{missing} · {last} · 실행: just live</span></div>"
    )


def head(board: Board, *, simulated: bool) -> str:
    """Return clock, session and the counts of the day."""
    counts = board.counts
    standing = board.standing
    missing = standing.missing_today
    parts = [
        f"{word} {int(standing.today[state].sum()):,}"
        for state, word in MISSING_KO.items()
        if standing.today[state].sum()
    ]
    cards = [
        card("시각 (KST)", f"{board.now:%H:%M:%S}", f"{board.now:%Y-%m-%d}", name="clock"),
        card("파생상품시장", session_state(sessions.Market.DERIVATIVES, board.now), name="session"),
        card("주식시장", session_state(sessions.Market.STOCKS, board.now)),
        card(
            "누락 (분)",
            f"{missing:,}",
            " · ".join(parts) or "오늘 지금까지",
            bad=missing > 0,
            name="missing",
        ),
        card("거부된 행", f"{counts['rejected']:,}", f"정정된 봉 {counts['corrected']:,}"),
    ]
    kind = "모의 데이터 (시뮬레이션)" if simulated else "실제 데이터 (KIS)"
    return f'<div data-krt="kind">{kind}</div>{side_by_side(cards)}'


def side_by_side(cards: list[str]) -> str:
    """Return cards side by side; on a narrow page, one below the other."""
    return f'<div class="row">{"".join(cards)}</div>'


def section(title: str, body: str) -> str:
    """Return a part of the page with its title above it."""
    return f'<div class="title">{escape(title)}</div>{body}'


def card(title: str, value: str, note: str = "", *, bad: bool = False, name: str = "") -> str:
    """Return one card. Tests and scripts find it by its `name`."""
    tone = "big bad" if bad else "big"
    return (
        f'<div class="card" data-krt="{escape(name)}"><b>{escape(title)}</b>'
        f'<span class="{tone}">{escape(value)}</span><small>{escape(note)}</small></div>'
    )


def session_state(market: sessions.Market, now: datetime) -> str:
    """Return the state of the market at that moment, in a word."""
    session = sessions.session(market, now.date())
    if session is None:
        return "휴장"
    if now < session.opens:
        return f"{session.opens:%H:%M} 개장"
    if now <= session.continuous_end:
        return "정규장"
    if session.auction is not None and now <= session.auction:
        return "종가 단일가"
    return "장 마감"


def components(board: Board, states: Mapping[str, State]) -> str:
    """Return the health of each component."""
    cards = [
        _component(row["component"], row["message"], row["timestamp"], states[row["component"]])
        for row in board.components.iter_rows(named=True)
    ]
    return section("시스템 상태", side_by_side(cards) if cards else "아직 없음")


def _component(name: str, message: str | None, beat: datetime, state: State) -> str:
    word, color = _STATES[state]
    return (
        f'<div class="card" data-krt="component" data-name="{escape(name)}" data-state="{state}">'
        f'<b>{escape(name)}</b><span class="big" style="color:{color}">{word}</span>'
        f"<small>{escape(message or '')} · {beat:%H:%M:%S}</small></div>"
    )


def last_bars(board: Board) -> str:
    """Return the last bar or snapshot of each symbol: price, what is missing, age, delay."""
    rows = [_last_bar(board.now, row) for row in board.symbols.iter_rows(named=True)]
    titles = list(rows[0]) if rows else []
    cells = [list(row.values()) for row in rows]
    return section("종목", table(["종목", *titles], board.symbols["symbol"], cells))


def _last_bar(now: datetime, row: dict[str, Any]) -> dict[str, str]:
    """Return the cells of one symbol by their titles."""
    symbol, last = row["symbol"], row["timestamp"]
    close = "–" if row["close"] is None else price(symbol, row["close"])
    return {
        "현재가": f'<td data-krt="price" data-symbol="{escape(symbol)}">{close}</td>',
        "마지막": cell(f"{last:%H:%M}" if last else "–"),
        "누락": cell(f"{row['missing']:,}", bad=row["missing"] > 0),
        "저장 / 있어야 할": cell(f"{row['stored']:,} / {row['expected']:,}"),
        "경과": cell(ago(now - last) if last else "–"),
        "저장 지연": cell(seconds(row["delay"])),
        "평소 지연": cell(seconds(row["usual_delay"])),
    }


def seconds(delay: float | None) -> str:
    """Return a delay in seconds."""
    return "–" if delay is None else f"{delay:.1f} s"


def last_turns(found: Mapping[str, pl.DataFrame]) -> str:
    """Return the last signals of every strategy at which it turned."""
    return "".join(
        section(f"최근 신호 ({strategy})", _signal_table(rows)) for strategy, rows in found.items()
    )


def _signal_table(signals: pl.DataFrame) -> str:
    rows = [
        [
            cell(row["symbol"]),
            cell(price(row["symbol"], row["close"])),
            side(row["trade_signal"]),
            cell(row["reason"]),
        ]
        for row in signals.iter_rows(named=True)
    ]
    times = signals["timestamp"].dt.strftime("%H:%M").to_list() if signals.height else []
    return table(["시각", "종목", "가격", "신호", "사유"], times, rows)


def option_summary(board: Board) -> str:
    """Return the summary of the option chain that expires next."""
    if board.summary is None:
        return section("옵션", "<small>오늘 저장된 옵션 스냅샷이 없습니다</small>")
    summary = board.summary
    exposure = summary["gamma_exposure"]
    cards = [
        card("기초자산", _number(summary["underlying_price"]), str(summary["underlying_symbol"])),
        card("ATM 내재변동성", _number(summary["atm_volatility"], " %")),
        card("25Δ 리스크리버설", _number(summary["risk_reversal_25d"], " %p")),
        card("맥스페인", _number(summary["max_pain"])),
        card(
            "감마 익스포저",
            f"{exposure / 1e9:,.0f}" if isinstance(exposure, float) else "–",
            "기초자산 1%당 십억 원",
        ),
    ]
    return section("옵션", side_by_side(cards))


def price(symbol: str, value: float) -> str:
    """Return a price as its market writes it: whole KRW, index points with two decimals."""
    return f"{value:,.0f}" if isinstance(parse(symbol), Stock) else f"{value:,.2f}"


def ago(age: timedelta) -> str:
    """Return an age in its largest unit."""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 120:
        return f"{seconds}초"
    return f"{seconds // 60}분" if seconds < 7200 else f"{seconds // 3600}시간"


def _number(value: object, unit: str = "") -> str:
    return f"{value:,.2f}{unit}" if isinstance(value, float) else "–"


def side(signal: int, note: str = "") -> str:
    """Return the cell of a direction, +1 or -1, by shape, word and colour; 0 is neither."""
    word, color = _SIDES[signal]
    return f'<td style="color:{color}">{word}{escape(note)}</td>'


def cell(text: str, *, bad: bool = False) -> str:
    """Return one cell of a table."""
    tone = ' class="bad"' if bad else ""
    return f"<td{tone}>{escape(text)}</td>"


def table(names: list[str], first: Iterable[str], rows: list[list[str]]) -> str:
    """Return a table: titles, the first column, and the other cells of each row."""
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>"
        for name, cells in zip(first, rows, strict=True)
    )
    header = "".join(f"<th>{escape(name)}</th>" for name in names)
    empty = "" if rows else "<small>아직 없음</small>"
    return f'<div class="scroll"><table><tr>{header}</tr>{body}</table>{empty}</div>'
