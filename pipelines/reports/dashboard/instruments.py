"""All that is collected: price, change, what is missing, age and delay; the choices made of it."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from engine.market.symbols import parse
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import Board, DayBoard
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.quotes import has_bars
from pipelines.texts import Texts

ROWS_SHOWN = 40  # of instruments; a whole market has thousands
OPTIONS_SHOWN = 60  # of more instruments one is found by its name
FOUND_SHOWN = 20
_TITLES = ("price", "change", "last", "missing", "age", "delay", "usual_delay", "stored_of")


def instruments(t: Texts, day: DayBoard, chosen: str | None = None) -> str:
    """Return the last bar of each symbol that has prices; of a whole market of those that matter.

    These are the one chosen, what is held, derivatives, and what lacks most minutes.
    """
    rows = _rows(day, prices=True)
    if left := max(0, len(rows) - ROWS_SHOWN):
        held = {symbol for standing in day.positions.values() for symbol in _held(standing)}
        first = sorted(rows, key=lambda row: _importance(row, chosen, held))[:ROWS_SHOWN]
        rows = sorted(first, key=lambda row: row["symbol"])
    note = t("more_instruments", count=f"{left:,}") if left else ""
    return _table(t, "instruments", rows, note=note)


def _held(standing: pl.DataFrame) -> list[str]:
    return standing.filter(pl.col("position") != 0)["symbol"].to_list()


def _importance(row: dict[str, Any], chosen: str | None, held: set[str]) -> tuple[Any, ...]:
    """Return what to sort by so that what matters comes first."""
    symbol = row["symbol"]
    return symbol != chosen, symbol not in held, cards.is_in_won(symbol), -row["missing"], symbol


def collected(t: Texts, day: DayBoard) -> str:
    """Return the same of all that has no prices: chains, flows and what else is told once."""
    rows = _rows(day, prices=False)
    return _table(t, "collected_title", rows, prices=False) if rows else ""


def _rows(day: DayBoard, *, prices: bool) -> list[dict[str, Any]]:
    rows = day.symbols.iter_rows(named=True)
    return [row for row in rows if has_bars(parse(row["symbol"])) == prices]


def _table(
    t: Texts, key: str, rows: list[dict[str, Any]], *, prices: bool = True, note: str = ""
) -> str:
    names = [t.name(parse(row["symbol"])) for row in rows]
    shown = _TITLES if prices else _TITLES[2:]
    titles = [t("instrument"), *(t(name) for name in shown)]
    cells = [_cells(row)[-len(shown) :] for row in rows]
    return cards.section(t(key), cards.table(t, t(key), titles, names, cells), note)


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
    names = {name: t.name(parse(name)) for name in chains}
    return (
        _choice_of_symbol(t, symbols, chart.symbol)
        + _select(t, "choice_strategy", "strategy", {n: n for n in day.tables}, chart.strategy)
        + _select(t, "choice_chain", "chain", {n: names[n] for n in chains}, chain)
        + f"<label>{escape(t('choice_day'))} <input type=date name=day"
        f' value="{shown:%Y-%m-%d}" max="{day.present:%Y-%m-%d}"></label>'
        f'<button type=button data-today="{day.present:%Y-%m-%d}">'
        f"{escape(t('choice_today'))}</button>"
    )


def _choice_of_symbol(t: Texts, symbols: list[str], chosen: str | None) -> str:
    """Return a list to choose from, or of a whole market a field that finds names."""
    if len(symbols) <= OPTIONS_SHOWN:
        names = {name: t.name(parse(name)) for name in symbols}
        return _select(t, "choice_symbol", "symbol", names, chosen)
    now = t.name(parse(chosen)) if chosen else ""
    hint = t("find_symbol", count=f"{len(symbols):,}")
    return (
        f"<label>{escape(t('choice_symbol'))} <span class=find>"
        f"<input type=search name=find role=combobox aria-expanded=false aria-autocomplete=list"
        f' aria-controls=found autocomplete=off spellcheck=false value="{escape(now)}"'
        f' data-shown="{escape(now)}" placeholder="{escape(hint)}" title="{escape(hint)}">'
        f'<ul id=found role=listbox aria-label="{escape(t("choice_symbol"))}" hidden></ul>'
        "</span></label>"
    )


def find_symbols(t: Texts, day: DayBoard, text: str) -> list[tuple[str, str]]:
    """Return code and name of the instruments whose code or name a text means, the likeliest first.

    Those that begin with it come before those that contain it; FOUND_SHOWN at most.
    """
    wanted = text.strip().casefold()
    codes = [name for name in day.symbols["symbol"] if has_bars(parse(name))]
    named = [(code, t.name(parse(code))) for code in codes]
    ranked = [
        (not (code.casefold().startswith(wanted) or name.casefold().startswith(wanted)), code, name)
        for code, name in named
        if wanted in code.casefold() or wanted in name.casefold()
    ]
    return [(code, name) for _, code, name in sorted(ranked)[:FOUND_SHOWN]]


def _select(t: Texts, key: str, name: str, options: dict[str, str], chosen: str | None) -> str:
    if not options:
        return ""
    items = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(text)}</option>"
        for value, text in options.items()
    )
    return f"<label>{escape(t(key))} <select name={name}>{items}</select></label>"
