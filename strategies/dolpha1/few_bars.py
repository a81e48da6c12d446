"""The few bars, of thousands in a window, that dolpha1 needs for its newest rows.

The formulas are in features.py and signals.py alone. Evaluated over these bars they give the rows
that they give over all bars, to the last bit.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import numpy as np
import polars as pl

from engine.columns import BARS
from engine.features import bars as bar
from engine.market.hours import MINUTE
from engine.market.nights import session_date
from strategies.base import ENGINE
from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params, sessions_needed
from strategies.minutes_from_open import first_stamp, min_from_open

_MOST_MINUTES = 5  # beyond that the whole costs no more


def history(bars: pl.DataFrame, params: Dolpha1Params) -> pl.DataFrame:
    """Return the bars of one symbol's earlier sessions with min_from_open, and which are kept.

    Kept are each session's first and last, for its open and close, and the last ones of all, for
    the ATR and to be enough.
    """
    row = pl.int_range(pl.len())
    last = pl.col("session_number").ne_missing(pl.col("session_number").shift(-1))
    newest = row >= pl.len().cast(pl.Int64) - max(ENOUGH_BARS, params.atr_period + 1)
    return (
        bar.in_order(bars.lazy())
        .with_columns(
            min_from_open().alias("min_from_open"),
            ((row == pl.col("session_start")) | last | newest).alias("kept"),
        )
        .select(*BARS.names(), "min_from_open", "kept")
        .collect(engine=ENGINE)
    )


def bars_needed(
    earlier: pl.DataFrame,
    session: pl.DataFrame,
    stamps: Collection[datetime],
    params: Dolpha1Params,
) -> pl.DataFrame | None:
    """Return the bars that the rows at these stamps, the session's newest, are made of.

    `earlier` is the `history`; its bars at the same minutes are needed, too, for sigma_open.
    None: all bars are needed, since too few sessions have the minute, and sigma_open is then that
    of an earlier minute.
    """
    symbol: str = session["symbol"][0]
    day = session_date(symbol, min(stamps))
    first = first_stamp(symbol, day) or session.filter(bar.is_bar())["timestamp"].min()
    if not isinstance(first, datetime):
        return None
    minutes = {(stamp - first) // MINUTE for stamp in stamps}
    if len(minutes) > _MOST_MINUTES:
        return None
    at_minute, needed = earlier["min_from_open"].to_numpy(), earlier["kept"].to_numpy()
    for minute in minutes:
        at_this = at_minute == minute
        if at_this.sum() < sessions_needed(params):
            return None
        needed = needed | at_this
    few = earlier[np.flatnonzero(needed)]
    return pl.concat([few[BARS.names()], session[BARS.names()]], rechunk=True)
