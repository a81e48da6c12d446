"""Positions and results of a session by the signals that were given: the rules of the backtest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from engine.columns import BARS, TIME
from engine.errors import InputError
from engine.market.nights import is_night
from engine.market.symbols import parse
from engine.store.identifiers import identifier, identifiers, literal, literals
from pipelines.evaluation.bars import symbol_with_bars
from strategies.backtesting.positions import positions_by_signals
from strategies.backtesting.rules import BacktestRules
from strategies.base import Strategy
from strategies.registry import STRATEGIES, strategy_named

Ask = Callable[[str], pl.DataFrame]  # a SELECT → its result
_TABLES = (
    "SELECT relname::text AS name FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
)
SIGNALS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("timestamp", TIME),
        ("close", pl.Float64()),
        ("trade_signal", pl.Int64()),
        ("reason", pl.String()),
        ("ub", pl.Float64()),
        ("lb", pl.Float64()),
    ]
)


def strategies_with_signals(ask: Ask) -> list[Strategy[Any]]:
    """Return the strategies that have a table: it is made when their first signal is stored."""
    existing = set(ask(_TABLES)["name"])
    return [strategy for strategy in STRATEGIES.values() if strategy.table in existing]


def read_session_signals(
    ask: Ask, now: datetime, strategy: str | None, day: date | None, symbols: Sequence[str]
) -> tuple[date, dict[str, pl.DataFrame]]:
    """Return a session's date and its SIGNALS up to `now` by strategy.

    Without a strategy all of them; without a day the newest that has signals. Raises InputError for
    an unknown strategy or symbol and if there are no signals, StoreError if the database does not
    answer.
    """
    chosen = [strategy_named(strategy)] if strategy else list(STRATEGIES.values())
    existing = [one for one in chosen if one in strategies_with_signals(ask)]
    codes = [symbol_with_bars(symbol).code for symbol in symbols]
    found = day or _newest_session(ask, existing, now)
    return found, {one.name: read_signals(ask, one, found, now, codes) for one in existing}


def _newest_session(ask: Ask, strategies: Iterable[Strategy[Any]], now: datetime) -> date:
    days = [
        f"SELECT max(timestamp)::date AS day FROM {identifier(strategy.table)}"  # noqa: S608
        f" WHERE timestamp <= {literal(now)}"
        for strategy in strategies
    ]
    found = ask(" UNION ALL ".join(days))["day"].max() if days else None
    if not isinstance(found, date):
        raise InputError("no signals are stored; `just live` and `just replay --store` store some")
    return found


def read_signals(
    ask: Ask, strategy: Strategy[Any], day: date, now: datetime, symbols: Sequence[str] = ()
) -> pl.DataFrame:
    """Return SIGNALS of the day session up to `now`; of all symbols if none is named.

    Raises StoreError if the database does not answer.
    """
    wanted = f" AND symbol IN ({literals(symbols)})" if symbols else ""
    return ask(
        f"SELECT {identifiers(list(SIGNALS))} FROM {identifier(strategy.table)}"  # noqa: S608
        f" WHERE {_span(day, now)}{wanted} ORDER BY symbol, timestamp"
    ).filter(~is_night(pl.col("symbol")))


def read_positions(
    ask: Ask, signals: pl.DataFrame, strategy: Strategy[Any], now: datetime, rules: BacktestRules
) -> pl.DataFrame:
    """Return `positions_by_signals` of one session's SIGNALS up to `now`.

    A symbol's session is over once it is sealed: before, nothing is closed. Raises StoreError if
    the database does not answer.
    """
    days = signals["timestamp"].dt.date().unique().to_list()
    symbols = signals["symbol"].unique().sort().to_list()
    of_tables: dict[str, list[str]] = {}
    for symbol in symbols:
        of_tables.setdefault(parse(symbol).table, []).append(symbol)
    bars = [
        ask(
            f"SELECT {identifiers(list(BARS))} FROM {identifier(table)}"  # noqa: S608 - quoted
            f" WHERE symbol IN ({literals(found)}) AND {_span(day, now)} ORDER BY symbol, timestamp"
        )
        for table, found in of_tables.items()
        for day in days
    ]
    found = positions_by_signals(
        pl.concat([BARS.to_frame(), *bars]).lazy(),
        signals.lazy(),
        strategy.params(),
        rules,
        running=[s for s in symbols if any(not _is_over(s, day, now) for day in days)],
    )
    return pl.concat(
        [found.clear(), *map(_without_late_decisions, found.partition_by("symbol", "session"))]
    )


def _without_late_decisions(positions: pl.DataFrame) -> pl.DataFrame:
    """Return one session's; what is decided with only its last bar left opens no position there."""
    symbol, day = positions.select("symbol", "session").row(0)
    session = parse(symbol).session(day)
    if session is None:
        return positions
    is_late = pl.col("timestamp") >= session.stamps()[-2]
    changes = pl.col("decided") != pl.col("position")
    return positions.with_columns(decided=pl.when(is_late & changes).then(0).otherwise("decided"))


def _span(day: date, now: datetime) -> str:
    begin = datetime.combine(day, time())
    return (
        f"timestamp >= {literal(begin)} AND timestamp < {literal(begin + timedelta(days=1))}"
        f" AND timestamp <= {literal(now)}"
    )


def _is_over(symbol: str, day: date, now: datetime) -> bool:
    session = parse(symbol).session(day)
    return session is None or now >= session.sealed_at
