"""Signals of sessions as live gives them: each from its own bars and those of its warm-up.

Some symbols lack a minute in most sessions of the warm-up, as a contract does before it becomes the
front month. Evaluated over all bars at once they would give other rows, since a mean over earlier
sessions then reaches further back than it does live. So signals that are compared with live ones,
or stored beside them, are computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from engine.errors import CalendarRangeError
from engine.market.nights import session_of
from engine.market.sessions import Market, previous_sessions
from engine.market.trading_days import rules
from strategies.base import ENGINE, Params, Strategy, computed_columns


def evaluate_sessions(
    strategy: Strategy[Any], params: Params, bars: pl.DataFrame, days: Sequence[date]
) -> pl.DataFrame:
    """Return the rows of `evaluate` for the sessions of these dates, sorted as it sorts them.

    `bars`: as `evaluate` reads them, those of the warm-up before the first session included. A
    night is the session of the date on which it begins.
    """
    schema = pl.DataFrame(strategy.schema.empty_table())
    empty = schema.select(computed_columns(strategy.schema))
    dated = bars.with_columns(session=session_of(pl.col("symbol"), pl.col("timestamp")))
    parts = [_evaluate_session(strategy, params, dated, day) for day in days]
    return pl.concat([empty, *parts]).sort("symbol", "timestamp")


def _evaluate_session(
    strategy: Strategy[Any], params: Params, dated: pl.DataFrame, day: date
) -> pl.DataFrame:
    first = warm_up_begins(strategy, params, day)
    seen = dated.filter(pl.col("session").is_between(first, day)).lazy()
    is_of_day = session_of(pl.col("symbol"), pl.col("timestamp")) == day
    return strategy.evaluate(seen, params).filter(is_of_day).collect(engine=ENGINE)


def warm_up_begins(strategy: Strategy[Any], params: Params, day: date) -> date:
    """Return the first session that a session's signals need, but none before the calendar."""
    try:
        warm_up = previous_sessions(Market.DERIVATIVES, day, strategy.warm_up_sessions(params))
    except CalendarRangeError:
        first_known: date = rules()["first_day"]
        return min(day, first_known)
    return min([*warm_up, day])


def sessions_between(bars: pl.DataFrame, first: date, last: date) -> list[date]:
    """Return the dates of the bars' sessions from first to last, in order."""
    days = bars.select(session_of(pl.col("symbol"), pl.col("timestamp"))).to_series().unique()
    return days.filter(days.is_between(first, last)).sort().to_list()
