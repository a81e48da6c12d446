"""Pictures of what is stored, with titles: for `just plot` and the notebook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import altair as alt

from engine.errors import InputError
from engine.history.listings import NAMES, learn_names
from engine.history.scan import query
from engine.market import sessions
from engine.market.symbols import Stock, VenueStock, parse
from pipelines.reports import option_pictures, queries
from pipelines.reports.charts.coverage import coverage_chart
from pipelines.reports.charts.day import day_chart
from pipelines.reports.charts.flows import flows_chart
from pipelines.reports.charts.matrix import matrix_chart
from pipelines.reports.charts.smile import smile_chart, term_chart
from pipelines.reports.charts.style import WIDTH, Picture, with_title
from pipelines.reports.charts.summary import summary_chart
from strategies.registry import DEFAULT_STRATEGY

What = Literal[
    "day",
    "smile",
    "matrix",
    "summary",
    "coverage",
    "flows",
    "surface",
    "exposure",
    "term",
    "flow",
    "volatility",
]
COVERAGE_SESSIONS = 40
_FOR_A_TERM_STRUCTURE = 2  # maturities


@dataclass(frozen=True)
class Choice:
    """What is drawn; None means the newest day, the front month, the last minute."""

    day: dt.date | None = None
    symbol: str | None = None
    series: str = "KOSPI200"
    metric: str = "iv"
    minute: dt.time | None = None
    sessions: int = COVERAGE_SESSIONS
    width: int = WIDTH  # pixels, between the axes
    strategy: str = DEFAULT_STRATEGY
    now: dt.datetime | None = None  # of coverage: what is later is not missing yet


def draw(url: str, what: What, choice: Choice, source: str) -> Picture:
    """Return the picture with its title; `source` says whose data it shows.

    Raises InputError if there is nothing to draw.
    """
    day = choice.day or queries.newest_day(url)
    learn_names(query(url, NAMES))
    return _DRAW[what](url, day, choice, source)


def _day(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    symbol = queries.symbol_on(day, choice.symbol)
    bars = queries.bars_of_day(url, symbol, day)
    signals = queries.signals_of_day(url, symbol, day, choice.strategy)
    is_stock = isinstance(symbol, Stock | VenueStock)
    unit, amount = ("원", "주") if is_stock else ("지수 포인트", "계약")
    return with_title(
        day_chart(bars, signals, width=choice.width),
        f"{symbol.name_ko} · {day} 1분봉과 {choice.strategy} 신호",
        f"가격: {unit}, 거래량: {amount} · 봉의 시각은 그 1분이 끝나는 시각 (KST)",
        source,
    )


def _smile(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlyings = queries.maturities(url, day, choice.series)
    chain = queries.chain_at(url, underlyings, day, choice.minute)
    figures = queries.summaries_at(url, underlyings, day, choice.minute)
    at = chain["timestamp"][0]
    notes = "내재변동성: KIS 제공값 · 점선: 기초자산 가격"
    title = f"{parse(underlyings[0]).name_ko} · {at:%Y-%m-%d %H:%M} 변동성 스마일"
    if figures["underlying_symbol"].n_unique() < _FOR_A_TERM_STRUCTURE:
        return with_title(smile_chart(chain, width=choice.width), title, notes, source)
    smile = smile_chart(chain, width=choice.width * 11 // 20)
    terms = term_chart(figures, width=choice.width * 6 // 20)
    return with_title(
        alt.hconcat(smile, terms, spacing=40),
        f"{title}과 기간구조",
        f"{notes} · ATM 내재변동성: 자체 계산 (Black-76)",
        source,
    )


def _matrix(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlying = queries.maturities(url, day, choice.series)[0]
    cells = queries.matrix_of_day(url, underlying, choice.metric, day)
    return with_title(
        matrix_chart(cells, choice.metric, width=choice.width),
        f"{parse(underlying).name_ko} · {day} 옵션 매트릭스",
        "행사가 단계: ATM에서 몇 번째 행사가인지 (위쪽이 높은 행사가) · 5분 간격",
        source,
    )


def _coverage(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    if choice.sessions < 1:
        raise InputError("--sessions must be at least 1")
    days = sessions.previous_sessions(sessions.Market.STOCKS, day, choice.sessions - 1)
    coverage = queries.coverage(url, min(days, default=day), day, choice.now)
    if coverage.is_empty():
        raise InputError(f"the database holds no bars of the {choice.sessions} sessions to {day}")
    return with_title(
        coverage_chart(coverage, width=choice.width),
        f"분봉·스냅샷 저장 현황: {coverage['session'].min()!s} ~ {coverage['session'].max()!s}",
        "거래일마다 있어야 할 분봉(옵션 체인은 스냅샷) 중 누락된 개수 · 무체결은 누락이 아님",
        source,
    )


def _summary(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlying = queries.maturities(url, day, choice.series)[0]
    return with_title(
        summary_chart(queries.summary_of_day(url, underlying, day), width=choice.width),
        f"{parse(underlying).name_ko} · {day} 맥스페인과 감마 익스포저",
        "감마 익스포저: 기초자산 1% 변동당 원화 금액 · 통상적인 가정 (딜러가 콜 매수, 풋 매도)",
        source,
    )


def _flows(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    symbol = queries.symbol_on(day, choice.symbol)
    return with_title(
        flows_chart(queries.flows_of_day(url, symbol, day), width=choice.width),
        f"{symbol.name_ko} · {day} 투자자별 순매수, 미결제약정, 베이시스",
        "순매수: KOSPI200 선물 전체의 당일 누계 · 시장 베이시스: 선물 가격에서 KOSPI200을 뺀 값",
        source,
    )


def _surface(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    return option_pictures.surface(url, day, choice.series, choice.minute, choice.width, source)


def _term(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    return option_pictures.term(url, day, choice.series, choice.minute, choice.width, source)


def _exposure(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    return option_pictures.exposure(url, day, choice.series, choice.minute, choice.width, source)


def _flow(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    return option_pictures.flow(url, day, choice.series, choice.width, source)


def _volatility(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    if choice.sessions < 1:
        raise InputError("--sessions must be at least 1")
    return option_pictures.volatility(
        url, day, choice.symbol, choice.series, choice.sessions, choice.width, source
    )


_DRAW: dict[What, Callable[[str, dt.date, Choice, str], Picture]] = {
    "day": _day,
    "smile": _smile,
    "matrix": _matrix,
    "summary": _summary,
    "coverage": _coverage,
    "flows": _flows,
    "surface": _surface,
    "exposure": _exposure,
    "term": _term,
    "flow": _flow,
    "volatility": _volatility,
}
