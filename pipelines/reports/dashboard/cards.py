"""The board as HTML: cards that fit a phone, colours that words repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from html import escape
from pathlib import Path

import polars as pl

import pipelines
from engine.market import instruments, sessions
from pipelines.reports.charts.style import BLUE, FONT, GREEN, GREY, VERMILLION, font_face
from pipelines.reports.dashboard.board import Board
from pipelines.reports.dashboard.health import State

_STATES: dict[State, tuple[str, str]] = {
    "running": ("● 작동 중", GREEN),
    "done": ("■ 완료", GREY),
    "stopped": ("✕ 멈춤", VERMILLION),
}
_SIDES = {1: ("▲ 매수", VERMILLION), -1: ("▼ 매도", BLUE)}

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
.krt .title {{ font-size: 16px; font-weight: 600; margin: 14px 0 6px; }}
"""


def style() -> str:
    """Return the page's CSS, with the font for whatever Korean our own texts hold."""
    ours = Path(pipelines.__file__).parent.rglob("*.py")
    text = "".join(file.read_text("utf-8") for file in ours)
    return f"<style>{font_face(text)}{STYLE}</style>"


def page(*parts: str) -> str:
    """Return the parts as one block of the page."""
    return f'<div class="krt">{"".join(parts)}</div>'


def head(board: Board, *, simulated: bool) -> str:
    """Return clock, session and the counts of the day."""
    counts = board.counts
    missing = int(board.bars_today["missing"].sum() or 0)
    cards = [
        card("시각 (KST)", f"{board.now:%H:%M:%S}", f"{board.now:%Y-%m-%d}", name="clock"),
        card("파생 장", session_state(sessions.Market.DERIVATIVES, board.now), name="session"),
        card("주식 장", session_state(sessions.Market.STOCKS, board.now)),
        card("아직 없는 분봉", f"{missing:,}", "오늘 지금까지", bad=missing > 0, name="missing"),
        card(
            "열린 공백",
            f"{counts['open_gaps']:,}",
            "공백 장부",
            bad=counts["open_gaps"] > 0,
            name="gaps",
        ),
        card("거부된 행", f"{counts['rejected']:,}", f"정정된 봉 {counts['corrected']:,}"),
    ]
    kind = "모의 데이터 (시뮬레이션)" if simulated else "실거래 데이터"
    return f'<div data-krt="kind">{kind}</div>{row(cards)}'


def row(cards: list[str]) -> str:
    """Return cards beside each other, under each other where there is no room."""
    return f'<div class="row">{"".join(cards)}</div>'


def titled(title: str, body: str) -> str:
    """Return a part of the page under its title."""
    return f'<div class="title">{escape(title)}</div>{body}'


def card(title: str, value: str, note: str = "", *, bad: bool = False, name: str = "") -> str:
    """Return one card. `name` is what tests and scripts find it by."""
    tone = "big bad" if bad else "big"
    return (
        f'<div class="card" data-krt="{escape(name)}"><b>{escape(title)}</b>'
        f'<span class="{tone}">{escape(value)}</span><small>{escape(note)}</small></div>'
    )


def session_state(market: sessions.Market, now: datetime) -> str:
    """Return what the market does at the moment, in a word."""
    session = sessions.session(market, now.date())
    if session is None:
        return "휴장"
    if now < session.opens:
        return f"{session.opens:%H:%M} 개장"
    if now <= session.continuous_end:
        return "정규장"
    if session.auction is not None and now <= session.auction:
        return "종가 단일가"
    return "마감"


def components(board: Board, states: Mapping[str, State]) -> str:
    """Return the health of each component."""
    cards = [
        _component(of["component"], of["message"], of["timestamp"], states[of["component"]])
        for of in board.components.iter_rows(named=True)
    ]
    return titled("구성 요소", row(cards) if cards else "아직 없음")


def _component(name: str, message: str | None, beat: datetime, state: State) -> str:
    word, color = _STATES[state]
    return (
        f'<div class="card" data-krt="component" data-name="{escape(name)}" data-state="{state}">'
        f'<b>{escape(name)}</b><span class="big" style="color:{color}">{word}</span>'
        f"<small>{escape(message or '')} · {beat:%H:%M:%S}</small></div>"
    )


def last_bars(board: Board) -> str:
    """Return the last bar of each symbol: price, age, delay to commit, what is missing."""
    rows = [
        [
            f'<td data-krt="price" data-symbol="{escape(of["symbol"])}">'
            f"{price(of['symbol'], of['close'])}</td>",
            _cell(f"{of['timestamp']:%H:%M}"),
            _cell(ago(board.now - of["timestamp"])),
            _cell(f"{of['delay']:.1f} s"),
            _cell(f"{of['usual_delay']:.1f} s"),
            _cell(f"{of['bars']:,}"),
            _cell(f"{of['missing']:,}", bad=of["missing"] > 0),
        ]
        for of in board.bars_today.iter_rows(named=True)
    ]
    names = ["종목", "현재가", "마지막 봉", "경과", "저장 지연", "보통", "봉", "누락"]
    return titled("종목", _table(names, board.bars_today["symbol"], rows))


def last_signals(signals: pl.DataFrame) -> str:
    """Return the last trade signals."""
    rows = [
        [
            _cell(of["symbol"]),
            _cell(price(of["symbol"], of["close"])),
            _side(of["trade_signal"]),
            _cell(of["reason"]),
        ]
        for of in signals.iter_rows(named=True)
    ]
    times = signals["timestamp"].dt.strftime("%H:%M").to_list() if signals.height else []
    table = _table(["시각", "종목", "가격", "신호", "이유"], times, rows)
    return titled("최근 신호 (dolpha1)", table)


def option_summary(board: Board) -> str:
    """Return what a trader reads off the nearest chain."""
    if board.summary is None:
        return titled("옵션", "<small>오늘 저장된 옵션 스냅샷이 없습니다</small>")
    of = board.summary
    exposure = of["gamma_exposure"]
    cards = [
        card("기초자산", _number(of["underlying_price"]), str(of["underlying_symbol"])),
        card("ATM 변동성", _number(of["atm_volatility"], " %")),
        card("25Δ 리스크 리버설", _number(of["risk_reversal_25d"], " %p")),
        card("맥스 페인", _number(of["max_pain"])),
        card(
            "감마 노출",
            f"{exposure / 1e9:,.0f}" if isinstance(exposure, float) else "–",
            "십억 원 / 1 %",
        ),
    ]
    return titled("옵션", row(cards))


def price(symbol: str, value: float) -> str:
    """Return a price as its market writes it: KRW whole, index points with two places."""
    return f"{value:,.0f}" if instruments.is_stock(symbol) else f"{value:,.2f}"


def ago(age: timedelta) -> str:
    """Return an age in its largest unit."""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 120:
        return f"{seconds}초"
    return f"{seconds // 60}분" if seconds < 7200 else f"{seconds // 3600}시간"


def _number(value: object, unit: str = "") -> str:
    return f"{value:,.2f}{unit}" if isinstance(value, float) else "–"


def _side(signal: int) -> str:
    word, color = _SIDES[signal]
    return f'<td style="color:{color}">{word}</td>'


def _cell(text: str, *, bad: bool = False) -> str:
    tone = ' class="bad"' if bad else ""
    return f"<td{tone}>{escape(text)}</td>"


def _table(names: list[str], first: Iterable[str], rows: list[list[str]]) -> str:
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>"
        for name, cells in zip(first, rows, strict=True)
    )
    header = "".join(f"<th>{escape(name)}</th>" for name in names)
    empty = "" if rows else "<small>아직 없음</small>"
    return f'<div class="scroll"><table><tr>{header}</tr>{body}</table>{empty}</div>'
