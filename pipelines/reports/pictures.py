"""Pictures of what is stored, titled: for `krt plot` and the notebook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import altair as alt

from engine.errors import InputError
from engine.market import instruments
from engine.market import sessions as calendar
from pipelines.reports import queries as questions
from pipelines.reports.charts.coverage import coverage_chart
from pipelines.reports.charts.day import day_chart
from pipelines.reports.charts.matrix import matrix_chart
from pipelines.reports.charts.names import symbol_name, underlying_name
from pipelines.reports.charts.smile import smile_chart, term_chart
from pipelines.reports.charts.style import WIDTH, Picture, styled
from pipelines.reports.charts.summary import summary_chart

What = Literal["day", "smile", "matrix", "summary", "coverage"]
SPAN = 40  # sessions of coverage
_FOR_A_TERM = 2  # maturities


@dataclass(frozen=True)
class Choice:
    """What of the database is drawn; None is the newest, the front month, the last minute."""

    day: dt.date | None = None
    symbol: str | None = None
    series: str = "KOSPI200"
    metric: str = "iv"
    minute: dt.time | None = None
    sessions: int = SPAN
    width: int = WIDTH  # pixels, of what is inside the axes


def draw(url: str, what: What, choice: Choice, source: str) -> Picture:
    """Return the picture, titled. Raises InputError where there is nothing to draw."""
    day = choice.day or questions.newest_day(url)
    return _DRAWN[what](url, day, choice, source)


def _day(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    symbol = questions.symbol_of(day, choice.symbol)
    bars = questions.bars_of_day(url, symbol, day)
    signals = questions.signals_of_day(url, symbol, day)
    unit = "원" if instruments.is_stock(symbol) else "지수 포인트"
    amount = "주" if unit == "원" else "계약"
    return styled(
        day_chart(bars, signals, width=choice.width),
        f"{symbol_name(symbol)} · {day} 1분봉과 dolpha1 신호",
        f"가격: {unit}, 거래량: {amount} · 봉 시각은 분의 끝 (KST)",
        source,
    )


def _smile(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlyings = questions.maturities(url, day, choice.series)
    chain = questions.chain_at(url, underlyings, day, choice.minute)
    figures = questions.summaries_at(url, underlyings, day, choice.minute)
    at, notes = chain["timestamp"][0], "내재변동성: KIS 제공값 · 점선: 기초자산 가격"
    title = f"{underlying_name(underlyings[0])} · {at:%Y-%m-%d %H:%M} 변동성 스마일"
    if figures["underlying_symbol"].n_unique() < _FOR_A_TERM:  # one maturity has no structure
        return styled(smile_chart(chain, width=choice.width), title, notes, source)
    smile = smile_chart(chain, width=choice.width * 11 // 20)
    terms = term_chart(figures, width=choice.width * 6 // 20)
    return styled(
        alt.hconcat(smile, terms, spacing=40),
        f"{title}과 기간 구조",
        f"{notes} · ATM 변동성: 자체 모형 (Black-76)",
        source,
    )


def _matrix(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlying = questions.maturities(url, day, choice.series)[0]
    cells = questions.matrix_of_day(url, underlying, choice.metric, day)
    return styled(
        matrix_chart(cells, choice.metric, width=choice.width),
        f"{underlying_name(underlying)} · {day} 옵션 매트릭스",
        "행사가 단계: 상장된 행사가를 ATM에서부터 센 수 (위가 높은 행사가) · 5분 간격",
        source,
    )


def _coverage(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    if choice.sessions < 1:
        raise InputError("--sessions is at least 1")
    days = calendar.previous_sessions(calendar.Market.STOCKS, day, choice.sessions - 1)
    coverage = questions.coverage(url, min(days, default=day), day)
    if coverage.is_empty():
        raise InputError(f"the database holds no bars of the {choice.sessions} sessions to {day}")
    return styled(
        coverage_chart(coverage, width=choice.width),
        f"저장된 분봉: {coverage['session'].min()!s} ~ {coverage['session'].max()!s}",
        "거래일마다 있어야 할 분봉 가운데 저장되지 않은 수",
        source,
    )


def _summary(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlying = questions.maturities(url, day, choice.series)[0]
    return styled(
        summary_chart(questions.summary_of_day(url, underlying, day), width=choice.width),
        f"{underlying_name(underlying)} · {day} 맥스 페인과 감마 노출",
        "감마 노출: 기초자산 1 % 변동당 원, 통상의 가정 (딜러는 콜 매수, 풋 매도)",
        source,
    )


_DRAWN: dict[What, Callable[[str, dt.date, Choice, str], Picture]] = {
    "day": _day,
    "smile": _smile,
    "matrix": _matrix,
    "summary": _summary,
    "coverage": _coverage,
}
