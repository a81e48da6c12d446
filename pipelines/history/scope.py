"""Which sessions a validation checks: what the user named, bounded by what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from engine.errors import InputError
from engine.market.expected import SESSIONS, expected_sessions
from engine.market.symbols import Contract, FrontMonth, FrontNight, Night, parse
from engine.market.trading_days import rules


def sessions_to_validate(
    known: pl.DataFrame,
    symbols: Sequence[str],
    start: date | None,
    end: date | None,
    *,
    sealed_by: datetime,
) -> pl.DataFrame:
    """Return the targets (symbol, session) to validate, of those that are sealed at `sealed_by`.

    `known` (queries.SPANS) stands in for a date that is not given. Without `symbols` all known ones
    are taken, each within its own span; a symbol that is named is taken up to the dates given, even
    where nothing of it is stored. Raises InputError if no session remains.
    """
    calendar = rules()["first_day"], rules()["last_day"]
    alike: dict[tuple[date, date], list[str]] = {}
    spans = {symbol: (first, last) for symbol, first, last in known.iter_rows()}
    for symbol in symbols or known["symbol"]:
        first, last = spans.get(symbol) or _contracts_span(known, symbol)
        begin, until = start or first, end or last
        if not symbols and first and last:
            begin, until = max(start or first, first), min(end or last, last)
        if begin and until:
            span = max(begin, calendar[0]), min(until, calendar[1])
            alike.setdefault(span, []).append(symbol)
    frames = [expected_sessions(codes, *span, sealed_by=sealed_by) for span, codes in alike.items()]
    wanted = pl.concat([SESSIONS.to_frame(), *frames]).unique().sort("session", "symbol")
    if wanted.is_empty():
        named = f" of {', '.join(symbols)}" if symbols else ""
        raise InputError(
            f"nothing to validate: no closed session{named} is stored; try `just backfill`"
        )
    return wanted


def _contracts_span(known: pl.DataFrame, symbol: str) -> tuple[date | None, date | None]:
    """Return the first and last known session of a product, over all its contracts."""
    front = parse(symbol)
    if not isinstance(front, FrontMonth | FrontNight):
        return None, None
    contracts = [_is_contract_of(front, code) for code in known["symbol"]]
    selected = pl.Series(contracts, dtype=pl.Boolean)
    first, last = known.filter(selected).select(pl.min("first"), pl.max("last")).row(0)
    return first, last


def _is_contract_of(front: FrontMonth | FrontNight, code: str) -> bool:
    found = parse(code)
    kind = Contract if isinstance(front, FrontMonth) else Night
    return isinstance(found, kind) and found.product == front.product
