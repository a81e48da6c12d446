"""Which sessions of which symbols ought to have been collected: what can be missing at all.

A collector writes down what it sets out to collect (`collected_symbols`). A session that no
collector has taken up ought to have what the one before had, with the front months of its day;
otherwise a day without a collector would look like a day on which nothing is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.market.expected import SESSIONS, expected_sessions
from engine.market.sessions import Market, session_dates
from engine.market.symbols import (
    Contract,
    FrontChain,
    FrontMonth,
    FrontNight,
    Night,
    OptionChain,
    front_month,
    parse,
)
from engine.market.told_once import ToldOnce, told_once


def sessions_to_collect(
    planned: pl.DataFrame,
    known: pl.DataFrame,
    first: date,
    last: date,
    usual: Sequence[str] = (),
) -> pl.DataFrame:
    """Return SESSIONS from first to last that ought to have been collected, ascending.

    `planned` is what collectors set out to collect, `known` that of which anything is stored or
    stands in the ledger (symbol, session, both). A symbol ought to be there from its first to its
    last session in either. The sessions after the last planned one (without any: after the last
    known one, which may be half over) ought to have the same. `usual` are the symbols and products
    of the settings: they ought to be there on the last day if nothing else is known.
    """
    either = pl.concat([planned.select(list(SESSIONS)), known.select(list(SESSIONS))])
    within = either.filter(pl.col("session").is_between(first, last)).unique()
    spans = within.group_by("symbol").agg(
        since=pl.col("session").min(), until=pl.col("session").max()
    )
    together = spans.group_by("since", "until").agg("symbol")  # of a market nearly all are alike
    held = [expected_sessions(symbols, *span) for *span, symbols in together.iter_rows()]
    plans = planned if planned.height else known
    later = _carried_on(plans, first, last, with_last=planned.is_empty())
    if either.is_empty() and usual:
        later = [(symbol, last) for symbol in usual]
    on_day: dict[date, list[str]] = {}
    for symbol, day in later:
        on_day.setdefault(day, []).append(symbol)
    carried = [expected_sessions(symbols, day, day) for day, symbols in on_day.items()]
    return pl.concat([SESSIONS.to_frame(), *held, *carried]).unique().sort("symbol", "session")


def _carried_on(
    plans: pl.DataFrame, first: date, last: date, *, with_last: bool
) -> list[tuple[str, date]]:
    """Return symbol and day of the days after the newest plan; `with_last`: of its own, too."""
    days = plans.filter(pl.col("session") <= last)["session"].unique().sort().to_list()
    if not days:
        return []
    found = []
    newest = days[-1]
    if with_last and len(days) > 1 and newest == last:
        newest = days[-2]
    symbols = plans.filter(pl.col("session") == newest)["symbol"].sort().to_list()
    for day in session_dates(Market.STOCKS, max(first, newest), last):
        if day > newest:
            found += [(_successor(symbol, newest, day), day) for symbol in symbols]
    return found


def _successor(code: str, before: date, day: date) -> str:
    """Return the symbol on a later day: of what was in front before, what is in front then."""
    symbol = parse(code)
    front: FrontMonth | FrontNight | FrontChain
    if isinstance(symbol, OptionChain):
        front = FrontChain(symbol.series)
    elif isinstance(symbol, Contract):
        front = front_month(symbol.product)
    elif isinstance(symbol, Night):
        front = front_month(symbol.product).nights()
    elif isinstance(symbol, ToldOnce):
        if symbol.stream.subjects:
            return code
        return told_once(symbol.stream, _successor(symbol.subject, before, day)).code
    else:
        return code
    return front.on(day).code if front.on(before).code == code else code
