"""The option chain by strike: calls on the left, puts on the right, the money in the middle."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from engine.market.symbols import parse
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.option_board import ShownOptions
from pipelines.texts import Texts

NEAR = 12  # strikes on each side of the money
# From the outer edge to the strike. On a phone two of them stand one above the other.
_COLUMNS = (
    *("open_interest", "open_interest_change", "delta", "iv", "quote_age", "last", "bid", "ask"),
)


def chain_table(t: Texts, options: ShownOptions | None, *, all_strikes: bool) -> str:
    """Return the last snapshot of the chain; a sentence before the first one."""
    if options is None:
        return cards.section(t("options_title"), f"<small>{escape(t('chain_none'))}</small>")
    atm = options.summary["atm_strike"]
    shown = options.strikes if all_strikes else _near(options.strikes, atm)
    rows = "".join(_row(t, row, atm) for row in shown.iter_rows(named=True))
    at = f"{options.at:%Y-%m-%d %H:%M}"
    title = t("chain_title", name=t.name(parse(options.chain)), at=at)
    other = "near" if all_strikes else "all"
    words = t(f"strikes_{other}", count=options.strikes.height)
    more = f'<button type=button data-strikes="{other}">{escape(words)}</button>'
    return cards.section(
        title,
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="chain" role="table">{_header(t)}<tbody role="rowgroup">{rows}</tbody>'
        f"</table></div>{more}",
        " · ".join([t("chain_note", since=options.since_text), *_unquoted(t, shown)]),
    )


def _unquoted(t: Texts, shown: pl.DataFrame) -> list[str]:
    """Return why most of the strikes have neither bid nor ask, if they have not."""
    sides = ("c_bid", "c_ask", "p_bid", "p_ask")
    bare = shown.filter(pl.all_horizontal(pl.col(name).is_null() for name in sides))
    return [t("chain_unquoted")] if 2 * bare.height > shown.height else []


def _near(strikes: pl.DataFrame, atm: float | None) -> pl.DataFrame:
    """Return NEAR strikes on each side of the money; all if that is unknown."""
    if atm is None:
        return strikes
    place = int(strikes.select((pl.col("strike") < atm).sum()).item())
    return strikes.slice(max(0, place - NEAR), 2 * NEAR + 1)


def _header(t: Texts) -> str:
    names = [t(name) for name in _COLUMNS]
    cells = "".join(
        f'<th scope="col" role="columnheader" class="{tone}">{escape(name)}</th>'
        for name, tone in (
            *((name, "call") for name in names),
            (t("strike"), "strike"),
            *((name, "put") for name in _mirrored(names)),
        )
    )
    sides = (
        f'<tr role="row" class="sides"><th colspan=8 role="columnheader">{escape(t("calls"))}</th>'
        f'<th role="columnheader"></th>'
        f'<th colspan=8 role="columnheader">{escape(t("puts"))}</th></tr>'
    )
    return f'<thead role="rowgroup">{sides}<tr role="row">{cells}</tr></thead>'


def _mirrored(cells: list[str]) -> list[str]:
    """Return the cells of the puts: pairs from the strike outwards, each in the order of calls."""
    pairs = [cells[i : i + 2] for i in range(0, len(cells), 2)]
    return [one for pair in reversed(pairs) for one in pair]


def _row(t: Texts, row: dict[str, Any], atm: float | None) -> str:
    strike = f"{row['strike']:,.1f}"
    place = _place(row["strike"], atm)
    marked = f' <abbr title="{escape(t("atm_volatility"))}">ATM</abbr>' if place == "atm" else ""
    return (
        f'<tr role="row" data-strike="{row["strike"]:g}" class="{place}">'
        f"{''.join(_side(row, 'c'))}"
        f'<th scope="row" role="rowheader" class="strike">{strike}{marked}</th>'
        f"{''.join(_mirrored(_side(row, 'p')))}</tr>"
    )


def _place(strike: float, atm: float | None) -> str:
    """Return the class of a row: at, below or above the money."""
    if atm is None or strike == atm:
        return "" if atm is None else "atm"
    return "below" if strike < atm else "above"


def _side(row: dict[str, Any], side: str) -> list[str]:
    """Return the cells of one side in the order of _COLUMNS."""
    kind = "call" if side == "c" else "put"
    value = {name: row[f"{side}_{name}"] for name in _WANTED}
    own = "pale" if value["modelled"] else ""
    moved = value["change"]
    shape, tone = cards.mark(moved or 0)
    at = value["quoted_at"]
    cells = [
        (_whole(value["open_interest"]), "", ""),
        (f"{shape} {abs(moved):,}" if moved else cards.NONE, tone, ""),
        (cards.number(value["delta"]), own, ""),
        (cards.number(value["iv"], digits=1), own, ""),
        ("" if at else cards.NONE, "", f' data-at="{at.isoformat()}"' if at else ""),
        (
            cards.number(value["price"]),
            "pale" if value["stale_price"] else "",
            f' title="{value["price_since"]:%H:%M}"' if value["price_since"] else "",
        ),
        (cards.number(value["bid"]), "", ""),
        (cards.number(value["ask"]), "", ""),
    ]
    return [
        f'<td role="cell" class="{kind} {tone}"{data}>{escape(text)}</td>'
        for text, tone, data in cells
    ]


_WANTED = (
    *("open_interest", "change", "delta", "iv", "quoted_at", "price", "price_since"),
    *("stale_price", "modelled", "bid", "ask"),
)


def _whole(value: int | None) -> str:
    return cards.NONE if value is None else f"{value:,}"
