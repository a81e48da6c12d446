"""Names as a researcher writes them: chains as the settings name them, symbols that are stored.

A name of which nothing is stored is an error that lists the stored ones, the most similar first: an
empty frame would look like a quiet market.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from operator import or_

import polars as pl

from engine.columns import TIME
from engine.errors import InputError
from engine.market import expiries
from engine.market.symbols import FrontChain, OptionChain, parse, parse_chain

CHAIN = "underlying_symbol"
_MOST_NAMED = 12  # names that an error lists


def of_chain(text: str, stored: Sequence[str]) -> pl.Expr:
    """Return which rows are of a chain: `202612_KOSPI200`, or as settings name it.

    That is `front` (of each day the nearest maturity), `202612`, `KOSPI200` (its front) or
    `MINI_KOSPI200:202612`; `all_KOSPI200` are the rows over all maturities. Raises InputError, with
    the names that are stored, for one of which nothing is.
    """
    if text in stored:
        return pl.col(CHAIN) == text
    found = _parsed(text)
    if isinstance(found, FrontChain):
        chains = [chain for chain in map(_chain, stored) if chain and chain.series == found.series]
        if chains:
            return reduce(or_, map(_in_front, chains))
    elif found.code in stored:
        return pl.col(CHAIN) == found.code
    name = found.code if isinstance(found, OptionChain) else found.series.name
    raise InputError(not_stored(f"option chain {name}", name, stored))


def not_stored(what: str, name: str, stored: Sequence[str]) -> str:
    """Return the text of an error: that it is not stored, and what is, the most similar first."""
    if not stored:
        return f"no {what} is stored, nor any other: collect a day with `just live`"
    alike = difflib.get_close_matches(name, stored, n=_MOST_NAMED, cutoff=0.0)
    more = f" and {len(stored) - len(alike)} more" if len(stored) > len(alike) else ""
    return f"no {what} is stored; there are: {', '.join(alike)}{more}"


def _parsed(text: str) -> OptionChain | FrontChain:
    return _chain(text) or parse_chain(text)


def _chain(name: str) -> OptionChain | None:
    """Return the chain that a stored name means; None for the rows over all maturities."""
    try:
        symbol = parse(name)
    except InputError:
        return None
    return symbol if isinstance(symbol, OptionChain) else None


def _in_front(chain: OptionChain) -> pl.Expr:
    """Return which rows are of a chain, on the days on which it is the one in front."""
    all_of = expiries.maturities(chain.series.name, beyond=True)
    before = max((last for last, _ in all_of if last < chain.last_day), default=date(1990, 1, 1))
    begins, ends = (day + timedelta(days=1) for day in (before, chain.last_day))
    moment = pl.col("timestamp")
    in_front = (moment >= pl.lit(begins).cast(TIME)) & (moment < pl.lit(ends).cast(TIME))
    return (pl.col(CHAIN) == chain.code) & in_front
