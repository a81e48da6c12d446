"""Prefixes of a file, many at once: each of them laid out as a symbol of its own.

The symbols are codes of calls that outlive the file: the calendar tells their hours, which are
those of the futures, and there are 46,656, one for each bar. They sort as the bars' numbers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from string import ascii_uppercase, digits

import polars as pl

from engine.columns import BARS
from strategies.base import ENGINE

Evaluate = Callable[[pl.LazyFrame], pl.LazyFrame]
CODES = [f"B01612{''.join(strike)}" for strike in product(digits + ascii_uppercase, repeat=3)]
_ALL = 1_000_000
_LATELY = 100  # bars: as many as a row needs not to be one of too few


def by_session(bars: pl.DataFrame) -> list[pl.DataFrame]:
    """Split one symbol's bars by session; adds `number` of the bar and `minute` of its session."""
    day = pl.col("timestamp").dt.date().alias("day")
    ordered = bars.sort("timestamp").drop("symbol").with_row_index("number").with_columns(day)
    since_first = pl.col("timestamp") - pl.col("timestamp").first().over("day")
    numbered = ordered.with_columns(since_first.dt.total_minutes().alias("minute"))
    return numbered.partition_by("day", maintain_order=True, include_key=False)


def prefixes(sessions: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return for each bar of the last session all the bars until it."""
    return _until_each(_ends(sessions[-1]), pl.concat(sessions))


def fewest_bars(sessions: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return for each bar of the last session some of the bars until it.

    These are its session's, the hundred before it, and of each session before the first one, the
    last one and the one of the same minute. Some bars are there twice.
    """
    *before, own = sessions
    ends = _ends(own)
    if not before:
        return _until_each(ends, own)
    near = _until_each(ends, before[-1].tail(_LATELY), lately=_LATELY)
    edges = ends.drop("minute").join(pl.concat([one[[0, -1]] for one in before]), how="cross")
    same_minute = ends.join(pl.concat(before), on="minute")
    return pl.concat([near, _until_each(ends, own), edges.select(*BARS), same_minute.select(*BARS)])


def _ends(own: pl.DataFrame) -> pl.DataFrame:
    code = pl.Series("symbol", [CODES[number] for number in own["number"]])
    return own.select(code, "minute", until="number")


def _until_each(ends: pl.DataFrame, bars: pl.DataFrame, *, lately: int = _ALL) -> pl.DataFrame:
    pairs = ends.join(bars.drop("minute"), how="cross")
    back = pl.col("until").cast(pl.Int64) - pl.col("number")
    return pairs.filter(back.is_between(0, lately - 1)).select(*BARS)


def rows_of(evaluate: Evaluate, bars: pl.DataFrame) -> pl.DataFrame:
    """Evaluate prefixes; `number` in place of the symbol is that of the prefix's last bar."""
    rows = evaluate(bars.lazy()).collect(engine=ENGINE)
    number = pl.col("symbol").replace_strict(CODES, range(len(CODES)), return_dtype=pl.UInt32)
    return rows.select(number.alias("number"), pl.all().exclude("symbol"))
