"""Which sessions a validation looks at: what the user named, bounded by what is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from engine.errors import InputError
from engine.market import instruments
from engine.market.expected import SESSIONS, expected_sessions, is_chain, is_product
from engine.market.trading_days import rules


def scope(
    known: pl.DataFrame,
    symbols: Sequence[str],
    start: date | None,
    end: date | None,
    *,
    sealed_by: datetime,
) -> pl.DataFrame:
    """Return the targets (symbol, session).

    `known` (queries.SPANS) bounds what no date bounds. Without `symbols` all that are known are
    meant, each within its own span; one that is named is meant up to the dates given, known or not.
    Raises InputError where nothing is left.
    """
    calendar = rules()["first_day"], rules()["last_day"]
    frames = []
    for symbol in symbols or known["symbol"]:
        first, last = _known_span(known, symbol)
        begin, until = start or first, end or last
        if not symbols and first and last:
            begin, until = max(start or first, first), min(end or last, last)
        if begin and until:
            span = max(begin, calendar[0]), min(until, calendar[1])
            frames.append(expected_sessions([symbol], *span, sealed_by=sealed_by))
    wanted = pl.concat([SESSIONS.to_frame(), *frames]).unique().sort("session", "symbol")
    if wanted.is_empty():
        of = f" of {', '.join(symbols)}" if symbols else ""
        raise InputError(
            f"nothing to validate: no closed session{of} is stored; try `just backfill`"
        )
    return wanted


def _known_span(known: pl.DataFrame, symbol: str) -> tuple[date | None, date | None]:
    """Return the first and last session known of a symbol, of a product of all its contracts."""
    meant = known["symbol"] == symbol
    if is_product(symbol):
        meant = pl.Series([_is_of(symbol, code) for code in known["symbol"]], dtype=pl.Boolean)
    first, last = known.filter(meant).select(pl.min("first"), pl.max("last")).row(0)
    return first, last


def _is_of(product: str, code: str) -> bool:
    if is_chain(code) or instruments.is_stock(code):
        return False
    return instruments.product(code) == instruments.product(product)
