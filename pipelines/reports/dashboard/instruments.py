"""All that is collected: price, change, what is missing, age and delay; the choices made of it."""

from __future__ import annotations

from html import escape
from typing import Any

from engine.market.symbols import parse
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import Board, DayBoard
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.quotes import has_bars
from pipelines.texts import Texts

_TITLES = ("price", "change", "last", "missing", "age", "delay", "usual_delay", "stored_of")


def instruments(t: Texts, day: DayBoard) -> str:
    """Return the last bar of each symbol that has prices."""
    return _table(t, "instruments", _rows(day, prices=True))


def collected(t: Texts, day: DayBoard) -> str:
    """Return the same of all that has no prices: chains, flows and what else is told once."""
    rows = _rows(day, prices=False)
    return _table(t, "collected_title", rows, prices=False) if rows else ""


def _rows(day: DayBoard, *, prices: bool) -> list[dict[str, Any]]:
    rows = day.symbols.iter_rows(named=True)
    return [row for row in rows if has_bars(parse(row["symbol"])) == prices]


def _table(t: Texts, key: str, rows: list[dict[str, Any]], *, prices: bool = True) -> str:
    names = [t.name(parse(row["symbol"])) for row in rows]
    shown = _TITLES if prices else _TITLES[2:]
    titles = [t("instrument"), *(t(name) for name in shown)]
    cells = [_cells(row)[-len(shown) :] for row in rows]
    return cards.section(t(key), cards.table(t, t(key), titles, names, cells))


def _cells(row: dict[str, Any]) -> list[str]:
    symbol, last = row["symbol"], row["timestamp"]
    changed, tone = cards.change(symbol, row["close"], row["previous"])
    named = f' data-symbol="{escape(symbol)}"'
    return [
        cards.cell(cards.price(symbol, row["close"]), tone=tone, data=f' data-krt="last"{named}'),
        cards.cell(changed, tone=tone),
        cards.cell(f"{last:%H:%M}" if last else cards.NONE),
        cards.cell(f"{row['missing']:,}", bad=row["missing"] > 0, data=f' data-krt="lacks"{named}'),
        age_cell(last),
        cards.cell(cards.seconds(row["delay"])),
        cards.cell(cards.seconds(row["usual_delay"])),
        cards.cell(f"{row['stored']:,} / {row['expected']:,}"),
    ]


def age_cell(moment: Any, tone: str = "") -> str:
    """Return a cell that shows how long ago a moment was: the browser counts on by itself."""
    data = f' data-at="{moment.isoformat()}"' if moment else ""
    return cards.cell("" if moment else cards.NONE, tone=tone, data=data)


def choices(t: Texts, board: Board, choice: PageChoice) -> str:
    """Return what can be chosen: instrument, chain, strategy, day."""
    day = board.day
    symbols = [name for name in day.symbols["symbol"] if has_bars(parse(name))]
    chains = day.summaries.sort("days_to_expiry", nulls_last=True)["underlying_symbol"].to_list()
    chain = board.options.chain if board.options else None
    shown = choice.day or day.now.date()
    chart = board.chart
    names = {name: t.name(parse(name)) for name in (*symbols, *chains)}
    return (
        _select(t, "choice_symbol", "symbol", {n: names[n] for n in symbols}, chart.symbol)
        + _select(t, "choice_strategy", "strategy", {n: n for n in day.tables}, chart.strategy)
        + _select(t, "choice_chain", "chain", {n: names[n] for n in chains}, chain)
        + f"<label>{escape(t('choice_day'))} <input type=date name=day"
        f' value="{shown:%Y-%m-%d}" max="{day.present:%Y-%m-%d}"></label>'
        f'<button type=button data-today="{day.present:%Y-%m-%d}">'
        f"{escape(t('choice_today'))}</button>"
    )


def _select(t: Texts, key: str, name: str, options: dict[str, str], chosen: str | None) -> str:
    if not options:
        return ""
    items = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(text)}</option>"
        for value, text in options.items()
    )
    return f"<label>{escape(t(key))} <select name={name}>{items}</select></label>"
