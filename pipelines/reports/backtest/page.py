"""The report as a page: one file of HTML with its script, style, letters and data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

import orjson
import polars as pl

from engine.market.symbols import parse
from pipelines.reports.backtest.curves import curves, distribution, markers, months
from pipelines.reports.backtest.picture import luck_text
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.charts.style import font_face
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.assets import STATIC as SHARED
from pipelines.reports.dashboard.svg import Line, picture
from pipelines.reports.evaluation_tables import figure_text
from pipelines.texts import Texts

MOST_TRADES = 500  # that the table shows of a symbol: the newest
_STATIC = Path(__file__).with_name("static")
_CARDS = ("total_return", "annual_return", "sharpe", "max_drawdown", "hit_rate", "net")
_SIGNED = ("total_return", "annual_return", "net", "average_trade")
_OF_DATES = "년월일"  # that the chart itself writes
_KOREAN = re.compile("[\u1100-\u11ff\u3000-\u303f\u3130-\u318f\uac00-\ud7a3]")


def page(t: Texts, subject: Subject) -> str:
    """Return the page. It fetches nothing, and shows light or dark as the reader's system does."""
    curve = curves(subject)
    symbols = list(subject.figures)
    title = subject.title(t)
    body = "".join(
        [
            _luck(t, subject),
            _choice(t, symbols, subject.luck.symbol if subject.luck else symbols[0]),
            *(_symbol(t, subject, symbol) for symbol in symbols),
            f'<div id="chart" tabindex="0" role="img"></div>{_legend(t)}'
            f"<small>{escape(t('report_hold_note'))}</small>",
            *(_details(t, subject, symbol) for symbol in symbols),
            _figures(t, subject),
            _settings(t, subject),
        ]
    )
    data, note = _data(t, subject, curve), escape(t("report_made"))
    shown = "".join([title, subject.credit(t), body, data, note, _OF_DATES])
    letters = "".join(sorted(set(_KOREAN.findall(shown))))
    return Template((_STATIC / "report.html").read_text("utf-8")).substitute(
        language=t.language,
        title=escape(title),
        source=escape(subject.credit(t)),
        body=body,
        note=note,
        style="".join([font_face(letters) if letters else "", _read(SHARED / "page.css")])
        + _read(_STATIC / "report.css"),
        library=_read(SHARED / "lightweight-charts.js"),
        script=_read(_STATIC / "report.js"),
        data=data,
    )


def _read(file: Path) -> str:
    return file.read_text("utf-8")


def _data(t: Texts, subject: Subject, curve: pl.DataFrame) -> str:
    """Return what the chart draws as JSON: bars and markers by symbol, times as seconds of KST."""
    seconds = pl.col("timestamp").dt.epoch("s")
    found = {}
    for symbol in subject.figures:
        bars = curve.filter(symbol=symbol)
        numbers = [
            pl.col("open", "high", "low", "close").round(4),
            (pl.col("growth", "hold", "drawdown") * 100).round(3),
        ]
        marked = markers(subject.result.trades.filter(symbol=symbol), bars)
        found[symbol] = {
            "digits": 0 if cards.is_in_won(symbol) else 2,
            "label": t("report_chart", name=t.name(parse(symbol))),
            "bars": bars.select(seconds, *numbers).rows(),
            "markers": marked.select(seconds, "direction", "entry").rows(),
        }
    return orjson.dumps(found).decode().replace("<", "\\u003c")


def _luck(t: Texts, subject: Subject) -> str:
    if subject.luck is None:
        return ""
    title, text = escape(t("report_luck_title")), escape(luck_text(t, subject))
    return f'<section class="card luck"><b>{title}</b><p>{text}</p></section>'


def _choice(t: Texts, symbols: Sequence[str], first: str) -> str:
    chosen = {symbol: " selected" if symbol == first else "" for symbol in symbols}
    options = "".join(
        f'<option value="{escape(one)}"{mark}>{escape(t.name(parse(one)))}</option>'
        for one, mark in chosen.items()
    )
    hidden = "" if len(symbols) > 1 else " hidden"
    named = escape(t("instrument"))
    return f'<form id="choices"{hidden}><label>{named}<select>{options}</select></label></form>'


def _symbol(t: Texts, subject: Subject, symbol: str) -> str:
    """Return the cards of a symbol's figures, and that it was ruined."""
    figures = subject.figures[symbol]
    shown = cards.side_by_side(
        f'<div class="card" data-krt="{name}"><b>{escape(t(f"figure_{name}"))}</b>'
        f'<span class="big {_tone(name, figures[name])}">'
        f"{escape(figure_text(name, figures[name]))}</span></div>"
        for name in _CARDS
    )
    ruined = t("report_ruined", session=figures["ruined"]) if figures["ruined"] else ""
    said = f'<p class="bad">{escape(ruined)}</p>' if ruined else ""
    return f'<section data-symbol="{escape(symbol)}">{said}{shown}</section>'


def _tone(name: str, value: object) -> str:
    return cards.mark(value)[1] if name in _SIGNED and isinstance(value, int | float) else ""


def _legend(t: Texts) -> str:
    parts = [
        f'<span><b class="up">▲</b> {escape(t("report_entry_long"))}</span>',
        f'<span><b class="down">▼</b> {escape(t("report_entry_short"))}</span>',
        f"<span><b>●</b> {escape(t('report_exit'))}</span>",
        f'<span><i class="c0"></i>{escape(t("strategy"))}</span>',
        f'<span><i class="forward"></i>{escape(t("report_hold"))}</span>',
        f'<span><i class="put"></i>{escape(t("report_drawdown"))}</span>',
    ]
    return f'<div class="legend">{"".join(parts)}</div>'


def _details(t: Texts, subject: Subject, symbol: str) -> str:
    """Return months, distributions and trades of a symbol."""
    daily = subject.result.daily.filter(symbol=symbol)
    trades = subject.result.trades.filter(symbol=symbol)
    spread = [
        _spread(t("report_daily_returns"), daily["return"] * 100, t("report_daily_note")),
        _spread(t("report_trade_results"), trades["net"] / 10_000, t("report_trade_note")),
    ]
    parts = [
        cards.section(t("report_months"), _months(t, daily)),
        f'<div class="pictures">{"".join(spread)}</div>',
        _trades(t, symbol, trades),
    ]
    return f'<div data-symbol="{escape(symbol)}">{"".join(parts)}</div>'


def _months(t: Texts, daily: pl.DataFrame) -> str:
    found = months(daily)
    known = {(year, month): value for year, month, value in found.drop("symbol").iter_rows()}
    reach = max((abs(value) for value in found["return"]), default=0.0) or 1.0
    rows = [
        (str(year), [_heat(known.get((year, month)), reach) for month in [*range(1, 13), 0]])
        for year in found["year"].unique().sort()
    ]
    return _table(t("report_months"), ["", *map(str, range(1, 13)), t("report_year")], rows)


def _heat(value: float | None, reach: float) -> str:
    """Return a month's cell, the redder the higher and the bluer the lower its return."""
    if value is None:
        return "<td></td>"
    share = f"{100 * min(abs(value) / reach, 1) * 0.45:.0f}%"
    tone = "up" if value > 0 else "down"
    shade = f"background:color-mix(in srgb, var(--{tone}) {share}, var(--card))"
    return f'<td style="{shade}">{value:+.1%}</td>'


def _spread(title: str, values: pl.Series, note: str) -> str:
    bins = distribution(values)
    middle = (pl.col("start") + pl.col("end")) / 2
    gained = bins.select(middle.alias("x"), "count", gain=pl.col("start") >= 0)
    lines = [
        Line("", tone, gained.filter(gain=gain).select("x", "count").rows())
        for tone, gain in (("call", True), ("put", False))
    ]
    drawn = picture(title, [line for line in lines if line.points], bars=True)
    return cards.section(title, drawn, note) if drawn else ""


def _trades(t: Texts, symbol: str, trades: pl.DataFrame) -> str:
    shown = trades.tail(MOST_TRADES).reverse()
    names = ("report_entered", "report_side", "report_entry", "report_left", "report_exit_price")
    titles = [t(name) for name in (*names, "report_why", "report_net")]
    rows = [
        (
            f"{row['entered']:%Y-%m-%d %H:%M}",
            [
                cards.raw_cell(cards.side(t, row["direction"])),
                cards.cell(cards.price(symbol, row["entry"])),
                cards.cell(f"{row['left']:%H:%M}" if row["left"] else cards.NONE),
                cards.cell(cards.price(symbol, row["exit"])),
                cards.cell(t.or_else(f"why_{row['why']}", row["why"])),
                cards.cell(
                    figure_text("net", row["net"]), tone=f"money {_tone('net', row['net'])}"
                ),
            ],
        )
        for row in shown.iter_rows(named=True)
    ]
    cut = shown.height < trades.height
    note = "report_trades_last" if cut else "report_trades_all"
    counted = t(note, shown=f"{shown.height:,}", count=f"{trades.height:,}")
    title = t("report_trades")
    return cards.section(title, _table(title, titles, rows, "tall"), counted)


def _figures(t: Texts, subject: Subject) -> str:
    """Return all figures, a column for each symbol."""
    figures = subject.figures
    names = [name for name in subject.result.figures.columns if name != "symbol"]
    rows = [
        (
            t(f"figure_{name}"),
            [cards.cell(figure_text(name, row[name])) for row in figures.values()],
        )
        for name in names
        if name != "ruined" or any(row[name] for row in figures.values())
    ]
    titles = ["", *(t.name(parse(symbol)) for symbol in figures)]
    title = t("report_figures")
    return cards.section(title, _table(title, titles, rows, "narrow"), t("report_figures_note"))


def _settings(t: Texts, subject: Subject) -> str:
    titles = [t(name) for name in ("report_name", "report_value", "report_usual")]
    parts = []
    for part, values in subject.settings().items():
        rows = [
            (name, [cards.cell(value, tone="" if value == usual else "money"), cards.cell(usual)])
            for name, (value, usual) in values.items()
        ]
        parts.append(cards.section(t(part), _table(t(part), titles, rows, "narrow")))
    note = f"<small>{escape(t('report_rules_note'))}</small>"
    return f'<div class="pictures">{"".join(parts)}</div>{note}'


def _table(
    name: str, titles: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = ""
) -> str:
    """Return a table that scrolls within the page where it is wider than that."""
    header = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>' for first, cells in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{escape(name)}">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )
