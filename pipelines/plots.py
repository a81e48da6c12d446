"""`krt plot`: pictures for reports, without a browser and without a network."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import altair as alt

from engine import sessions as calendar
from engine.configuration import load
from engine.errors import InputError
from engine.log import setup_logging
from pipelines.charts.coverage import coverage_chart
from pipelines.charts.day import day_chart
from pipelines.charts.matrix import matrix_chart
from pipelines.charts.names import symbol_name, underlying_name
from pipelines.charts.smile import smile_chart, term_chart
from pipelines.charts.style import SIMULATED, SOURCE, Picture, save, styled
from pipelines.databases import Kind
from pipelines.databases import database as open_database
from pipelines.research import questions

log = logging.getLogger(__name__)

What = Literal["day", "smile", "matrix", "coverage"]
SPAN = 40  # sessions of coverage


def plot(
    what: What,
    /,
    *,
    out: Path,
    date: dt.date | None = None,
    symbol: str | None = None,
    series: str = "KOSPI200",
    metric: str = "iv",
    minute: str | None = None,
    sessions: int = SPAN,
    database: Kind | None = None,
) -> int:
    """Draw a picture of what is stored: a day, a smile, a matrix, or what is there at all.

    Parameters
    ----------
    what: day (bars, bands, signals), smile (and term structure), matrix (a metric through the day)
        or coverage (symbols and sessions)
    out: the picture; its name ends in .png or .svg
    date: the session; the newest one by default
    symbol: of day: a code, or a product whose front month is meant; A01 by default
    series: of smile and matrix: KOSPI200, MINI_KOSPI200, KOSDAQ150 …
    metric: of matrix: iv, delta, price, volume, model_iv …
    minute: of smile: HH:MM, the day's last by default
    sessions: of coverage: how many, up to the date
    database: live or simulation; live where there are credentials
    """
    setup_logging()
    configuration, yours = load()
    kind: Kind = database or ("live" if configuration.has_credentials else "simulation")
    choice = Choice(date, symbol, series, metric, _time(minute), sessions)
    with open_database(configuration, yours, kind) as url:
        picture = draw(url, what, choice, SOURCE if kind == "live" else SIMULATED)
    save(picture, out)
    log.info("✅ %s", out)
    return 0


@dataclass(frozen=True)
class Choice:
    """What of the database is drawn; None is the newest, the front month, the last minute."""

    day: dt.date | None = None
    symbol: str | None = None
    series: str = "KOSPI200"
    metric: str = "iv"
    minute: dt.time | None = None
    sessions: int = SPAN


def draw(url: str, what: What, choice: Choice, source: str) -> Picture:
    """Return the picture, titled. Raises InputError where there is nothing to draw."""
    day = choice.day or questions.newest_day(url)
    return {"day": _day, "smile": _smile, "matrix": _matrix, "coverage": _coverage}[what](
        url, day, choice, source
    )


def _day(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    symbol = questions.symbol_of(day, choice.symbol)
    bars = questions.bars_of_day(url, symbol, day)
    signals = questions.signals_of_day(url, symbol, day)
    unit = "원" if questions.table_of(symbol) == "stocks_1m" else "지수 포인트"
    amount = "주" if unit == "원" else "계약"
    return styled(
        day_chart(bars, signals),
        f"{symbol_name(symbol)} · {day} 1분봉과 dolpha1 신호",
        f"가격: {unit}, 거래량: {amount} · 봉 시각은 분의 끝 (KST)",
        source,
    )


def _smile(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlyings = questions.maturities(url, day, choice.series)
    chain = questions.chain_at(url, underlyings, day, choice.minute)
    terms = questions.summaries_at(url, underlyings, day, choice.minute)
    at = chain["timestamp"][0]
    return styled(
        alt.hconcat(smile_chart(chain), term_chart(terms), spacing=40),
        f"{underlying_name(underlyings[0])} · {at:%Y-%m-%d %H:%M} 변동성 스마일과 기간 구조",
        "내재변동성: KIS 제공값 · ATM 변동성: 자체 모형 (Black-76) · 점선: 기초자산 가격",
        source,
    )


def _matrix(url: str, day: dt.date, choice: Choice, source: str) -> Picture:
    underlying = questions.maturities(url, day, choice.series)[0]
    cells = questions.matrix_of_day(url, underlying, choice.metric, day)
    return styled(
        matrix_chart(cells, choice.metric),
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
        coverage_chart(coverage),
        f"저장된 분봉: {coverage['session'].min()!s} ~ {coverage['session'].max()!s}",
        "거래일마다 있어야 할 분봉 가운데 저장되지 않은 수",
        source,
    )


def _time(minute: str | None) -> dt.time | None:
    try:
        return None if minute is None else dt.time.fromisoformat(minute)
    except ValueError:
        raise InputError(f"--minute {minute!r} is no time: write HH:MM") from None
