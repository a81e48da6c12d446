"""What the parts of the page are made of: cards, tables, prices; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.market.symbols import Stock, parse
from engine.market.venues import VenueStock
from pipelines.texts import Texts

NONE = "–"
_SIDES = {1: ("▲", "long", "up"), -1: ("▼", "short", "down"), 0: (NONE, "", "")}


def side_by_side(cards: Iterable[str]) -> str:
    """Return cards side by side; on a narrow page, in as many columns as fit."""
    return f'<div class="row">{"".join(cards)}</div>'


def section(title: str, body: str, note: str = "") -> str:
    """Return a part of the page with its title above it and a note below."""
    below = f"<small>{escape(note)}</small>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{body}{below}</section>"


def card(title: str, value: str, note: str = "", *, bad: bool = False, name: str = "") -> str:
    """Return one card. Tests and scripts find it by its `name`."""
    tone = "big bad" if bad else "big"
    return (
        f'<div class="card" data-krt="{escape(name)}"><b>{escape(title)}</b>'
        f'<span class="{tone}">{escape(value)}</span><small>{escape(note)}</small></div>'
    )


def is_in_won(symbol: str) -> bool:
    """Say whether the prices of a symbol are whole KRW."""
    return isinstance(parse(symbol), Stock | VenueStock)


def price(symbol: str, value: float | None) -> str:
    """Return a price as its market writes it: whole KRW, index points with two decimals."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if is_in_won(symbol) else f"{value:,.2f}"


def number(value: object, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit; a dash where it is not known."""
    return f"{value:,.{digits}f}{unit}" if isinstance(value, float | int) else NONE


def seconds(delay: float | None) -> str:
    """Return a delay in seconds."""
    return NONE if delay is None else f"{delay:.1f} s"


def mark(value: float) -> tuple[str, str]:
    """Return shape and class of what rises or falls: red and blue, as Koreans read them."""
    if value > 0:
        return "▲", "up"
    return ("▼", "down") if value < 0 else ("―", "")


def change(symbol: str, close: float | None, previous: float | None) -> tuple[str, str]:
    """Return the change against the close before with its shape, and its class; a dash without."""
    if close is None or previous is None or not previous:
        return NONE, ""
    moved = close - previous
    shape, tone = mark(moved)
    return f"{shape} {price(symbol, abs(moved))} ({moved / previous:+.2%})", tone


def side(t: Texts, signal: int, note: str = "") -> str:
    """Return a direction, +1 or -1, by shape, word and colour; 0 is neither."""
    shape, word, tone = _SIDES[signal]
    text = f"{shape} {t(word)}{note}" if word else shape
    return f'<span class="{tone}">{escape(text)}</span>'


def cell(text: str, *, bad: bool = False, tone: str = "", data: str = "") -> str:
    """Return one cell of a table; `data` are attributes of it, escaped already."""
    classes = " ".join(name for name in ("bad" if bad else "", tone) if name)
    told = f' class="{classes}"' if classes else ""
    return f"<td{told}{data}>{escape(text)}</td>"


def raw_cell(html: str) -> str:
    """Return one cell of a table whose content is HTML already."""
    return f"<td>{html}</td>"


def table(
    t: Texts, title: str, names: Sequence[str], first: Iterable[str], rows: Sequence[Sequence[str]]
) -> str:
    """Return a table: titles, the first column, and the other cells of each row.

    `title` is what a screen reader calls it.
    """
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_titled, names[1:], cells))}</tr>'
        for name, cells in zip(first, rows, strict=True)
    )
    header = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    empty = "" if rows else f"<small>{escape(t('nothing_yet'))}</small>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="stack">'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{empty}</div>"
    )


def _titled(name: str, cell_of_row: str) -> str:
    """Return a cell that knows its title: on a phone it stands above the value."""
    return cell_of_row.replace("<td", f'<td data-title="{escape(name)}"', 1)
