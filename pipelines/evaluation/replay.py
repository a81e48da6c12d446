"""The signals of history computed again, and compared with those that were given."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import InputError
from engine.history.scan import scan
from engine.market.codes import is_derivative, product_prefix
from engine.market.nights import session_of
from engine.market.symbols import Contract, FrontMonth, Stock, Symbol, parse
from engine.store import MergeCounts, Store
from pipelines.evaluation.bars import read_stored_bars
from pipelines.evaluation.lake import open_lake
from pipelines.evaluation.runners import evaluate_lake_on_ray
from strategies.base import Params, Strategy, computed_columns, signal_batch
from strategies.by_session import evaluate_sessions, sessions_between
from strategies.comparison import differences

_SESSION = session_of(pl.col("symbol"), pl.col("timestamp"))


@dataclass(frozen=True)
class Replay:
    """Rows computed again, and where stored ones differ (`strategies.comparison.differences`)."""

    computed: pl.DataFrame
    differences: pl.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are the same, and how many are in each state of disagreement."""
        states = dict(self.differences["state"].value_counts().iter_rows())
        unexpected = states.get("unexpected", 0)
        disagreeing = self.differences.height - unexpected
        return {"same": self.computed.height - disagreeing, **dict(sorted(states.items()))}

    @property
    def is_clean(self) -> bool:
        """Whether both agree in every bit."""
        return self.differences.is_empty()


def replay_signals(
    url: str,
    strategy: Strategy[Any],
    params: Params,
    *,
    symbols: tuple[str, ...] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
    lake: Path | None = None,
    ray: str | None = None,
) -> Replay:
    """Compute the signals of stored bars, each symbol on its own, and compare them.

    The bars of the next contract are stored, for the warm-up, before it has signals. So only
    sessions that have signals count. With start and end, sessions between them that should have
    signals count too (`_expected_sessions`); with symbols as well, all sessions between them.
    With a lake its bars are taken, which the workers of a Ray cluster read. Raises InputError if
    there are no signals or no bars, StoreError from the database.
    """
    if bool(lake) is not bool(ray):
        raise InputError("--lake and --ray go together; on this machine: --ray local")
    for symbol in symbols:
        if not isinstance(parse(symbol), Stock | Contract):
            raise InputError(f"{symbol} means several contracts: name the one that had signals")
    given = _stored_signals(url, strategy, symbols, start, end)
    if given.is_empty() and not (symbols and start and end):
        raise InputError(
            f"no signals of {strategy.name} are stored; give --symbol, --from and --to"
        )
    chosen = symbols or tuple(given["symbol"].unique().sort())
    first = start or given["timestamp"].min().date()  # type: ignore[union-attr]
    last = end or given["timestamp"].max().date()  # type: ignore[union-attr]
    warm_up = strategy.warm_up_sessions(params)
    if lake and ray:
        source = open_lake(lake, chosen, first, last, warm_up=warm_up)
        computed = evaluate_lake_on_ray(strategy, params, source, ray, first, last)
    else:
        bars = read_stored_bars(url, chosen, first, last, warm_up=warm_up)
        days = sessions_between(bars, first, last)
        computed = evaluate_sessions(strategy, params, bars, days)
    if not (symbols and start and end):
        counted = [_sessions(given), *([_expected_sessions(computed)] if start and end else [])]
        computed = _in_sessions(computed, pl.concat(counted))
    return Replay(computed, differences(computed, given))


def _sessions(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("symbol", session=_SESSION).unique()


def _in_sessions(rows: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    own = [pl.col("symbol"), _SESSION]
    return rows.join(wanted, left_on=own, right_on=["symbol", "session"], how="semi")


def _expected_sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions (symbol, session) of stocks, and of contracts while in front."""
    sessions = _sessions(rows)
    symbol = pl.col("symbol")
    contracts = sessions.filter(is_derivative(symbol))
    in_front = [
        _sessions_in_front(part, parse(str(prefix).upper()))
        for (prefix,), part in contracts.group_by(product_prefix(symbol))
    ]
    return pl.concat([sessions.filter(~is_derivative(symbol)), *in_front])


def _sessions_in_front(sessions: pl.DataFrame, front: Symbol) -> pl.DataFrame:
    """Return those of a product's sessions on which their contract was in front."""
    if not isinstance(front, FrontMonth):  # options have no front month
        return sessions.clear()
    first, last = sessions["session"].sort().gather([0, -1])
    held = sessions.join(front.contracts(first, last), on="symbol")
    return held.filter(pl.col("session").is_between("first_day", "last_day")).select(
        sessions.columns
    )


def _stored_signals(
    url: str,
    strategy: Strategy[Any],
    symbols: tuple[str, ...],
    start: dt.date | None,
    end: dt.date | None,
) -> pl.DataFrame:
    conditions = [_within(start, end), *([pl.col("symbol").is_in(symbols)] if symbols else [])]
    return (
        scan(strategy.table, url)
        .filter(*conditions)
        .select(computed_columns(strategy.schema))
        .collect()
    )


def _within(start: dt.date | None, end: dt.date | None) -> pl.Expr:
    first = dt.datetime.combine(start or dt.date.min, dt.time())
    until = dt.datetime.combine(end or dt.date(9999, 12, 30), dt.time()) + dt.timedelta(days=1)
    return pl.col("timestamp").is_between(first, until, closed="left")


async def store_signals(
    store: Store, strategy: Strategy[Any], computed: pl.DataFrame
) -> MergeCounts:
    """Store the rows that are missing or differ; what was given before is kept.

    Raises StoreError.
    """
    batch = signal_batch(computed, strategy.schema, store.clock.now())
    return await store.merge(strategy.table, batch)
