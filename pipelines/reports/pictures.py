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
from engine.market.symbols import Stock, VenueStock
from engine.settings import DataKind
from pipelines.reports import option_pictures, queries
from pipelines.reports.charts.coverage import coverage_chart
from pipelines.reports.charts.day import day_chart
from pipelines.reports.charts.flows import flows_chart
from pipelines.reports.charts.matrix import matrix_chart
from pipelines.reports.charts.smile import smile_chart, term_chart
from pipelines.reports.charts.style import WIDTH, Picture, Titled, credit, with_title
from pipelines.reports.charts.summary import summary_chart
from pipelines.texts import Texts
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


def draw(url: str, what: What, choice: Choice, t: Texts, kind: DataKind) -> Picture:
    """Return the picture with its title in the language of the texts; `kind` is of whose data.

    Raises InputError if there is nothing to draw.
    """
    day = choice.day or queries.newest_day(url)
    learn_names(query(url, NAMES))
    picture, title, note = _DRAW[what](url, day, choice, t)
    return with_title(picture, title, note, credit(t, kind))


def _day(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    symbol = queries.symbol_on(day, choice.symbol)
    bars = queries.bars_of_day(url, symbol, day)
    signals = queries.signals_of_day(url, symbol, day, choice.strategy)
    is_stock = isinstance(symbol, Stock | VenueStock)
    return (
        day_chart(bars, signals, t, width=choice.width),
        t("plot_day", name=t.name(symbol), day=day, strategy=choice.strategy),
        t("plot_day_note_of_stock" if is_stock else "plot_day_note"),
    )


def _smile(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    underlyings = queries.maturities(url, day, choice.series)
    chain = queries.chain_at(url, underlyings, day, choice.minute)
    figures = queries.summaries_at(url, underlyings, day, choice.minute)
    note = t("plot_smile_note")
    named = {"name": t.name_of(underlyings[0]), "at": f"{chain['timestamp'][0]:%Y-%m-%d %H:%M}"}
    if figures["underlying_symbol"].n_unique() < _FOR_A_TERM_STRUCTURE:
        return smile_chart(chain, t, width=choice.width), t("plot_smile", **named), note
    smile = smile_chart(chain, t, width=choice.width * 11 // 20)
    terms = term_chart(figures, t, width=choice.width * 6 // 20)
    return (
        alt.hconcat(smile, terms, spacing=40),
        t("plot_smile_and_term", **named),
        f"{note} · {t('plot_term_note')}",
    )


def _matrix(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    underlying = queries.maturities(url, day, choice.series)[0]
    cells = queries.matrix_of_day(url, underlying, choice.metric, day)
    return (
        matrix_chart(cells, choice.metric, t, width=choice.width),
        t("plot_matrix", name=t.name_of(underlying), day=day),
        t("plot_matrix_note"),
    )


def _coverage(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    _require_sessions(choice)
    days = sessions.previous_sessions(sessions.Market.STOCKS, day, choice.sessions - 1)
    coverage = queries.coverage(url, min(days, default=day), day, choice.now)
    if coverage.is_empty():
        raise InputError(f"the database holds no bars of the {choice.sessions} sessions to {day}")
    first, last = coverage["session"].min(), coverage["session"].max()
    return (
        coverage_chart(coverage, t, width=choice.width),
        t("plot_coverage", first=first, last=last),
        t("plot_coverage_note"),
    )


def _summary(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    underlying = queries.maturities(url, day, choice.series)[0]
    return (
        summary_chart(queries.summary_of_day(url, underlying, day), t, width=choice.width),
        t("plot_summary", name=t.name_of(underlying), day=day),
        t("plot_summary_note"),
    )


def _flows(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    symbol = queries.symbol_on(day, choice.symbol)
    return (
        flows_chart(queries.flows_of_day(url, symbol, day), t, width=choice.width),
        t("plot_flows", name=t.name(symbol), day=day),
        t("plot_flows_note"),
    )


def _surface(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    return option_pictures.surface(url, day, choice.series, choice.minute, choice.width, t)


def _term(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    return option_pictures.term(url, day, choice.series, choice.minute, choice.width, t)


def _exposure(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    return option_pictures.exposure(url, day, choice.series, choice.minute, choice.width, t)


def _flow(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    return option_pictures.flow(url, day, choice.series, choice.width, t)


def _volatility(url: str, day: dt.date, choice: Choice, t: Texts) -> Titled:
    _require_sessions(choice)
    return option_pictures.volatility(
        url, day, choice.symbol, choice.series, choice.sessions, choice.width, t
    )


def _require_sessions(choice: Choice) -> None:
    if choice.sessions < 1:
        raise InputError("--sessions must be at least 1")


_DRAW: dict[What, Callable[[str, dt.date, Choice, Texts], Titled]] = {
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
