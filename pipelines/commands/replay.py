"""`krt replay`: the signals of history once more, compared with those that were given."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from engine import schemas
from engine.clock import WallClock
from engine.configuration import load
from engine.errors import InputError
from engine.history.scan import scan
from engine.market import instruments
from engine.store import MergeCounts, Store
from pipelines.commands.backtest import End, Settings, Start, Symbols, settings
from pipelines.databases import Kind, kind_of
from pipelines.databases import database as open_database
from pipelines.evaluation.bars import read_stored_bars
from strategies.base import ENGINE, Params, Strategy
from strategies.comparison import differences
from strategies.registry import strategy_named


@dataclass(frozen=True)
class Replay:
    """What a replay found. `computed` are the strategy's rows, `differences` see `comparison`."""

    computed: pl.DataFrame
    differences: pl.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rows agree, and how many are in each state of disagreement."""
        states = dict(self.differences["state"].value_counts().iter_rows())
        unexpected = states.get("unexpected", 0)
        disagreeing = self.differences.height - unexpected
        return {"same": self.computed.height - disagreeing, **dict(sorted(states.items()))}

    @property
    def is_clean(self) -> bool:
        """Say whether both agree in every bit."""
        return self.differences.is_empty()


def replay(
    *,
    strategy: str = "dolpha1",
    symbol: Symbols = (),
    param: Settings = (),
    start: Start = None,
    end: End = None,
    store: bool = False,
    json: bool = False,
    database: Kind | None = None,
) -> int:
    """Compute signals again over stored bars and compare them with those that are stored.

    Looks at the sessions of a symbol that have signals; with --from and --to also at those between
    in which a stock has bars or a contract was in front, with --symbol too at every one that has
    bars: --store fills in signals that were never given. Ends with 1 where they differ.

    Parameters
    ----------
    strategy
        its name
    symbol
        a code; by default every symbol that has signals
    param
        a parameter of the strategy, name=value; may be repeated
    start
        the first session; by default the first that has signals
    end
        the last session; by default the last that has signals
    store
        store the rows that are missing or differ; what was given before is kept
    json
        print one JSON object for each difference
    database
        live or simulation
    """
    of = strategy_named(strategy)
    params = settings(of.params, param)
    configuration, yours = load()
    which = kind_of(configuration, yours, database)
    with open_database(configuration, yours, which) as url:
        found = replayed(url, of, params, symbols=symbol, start=start, end=end)
        if store:
            counts = asyncio.run(_stored(url, of, found.computed))
            Console(stderr=True).print(
                f"✅ {counts.inserted} rows added, {counts.changed} corrected"
            )
    show(found, of.name, json=json)
    return 0 if found.is_clean else 1


def replayed(
    url: str,
    of: Strategy[Any],
    params: Params,
    *,
    symbols: tuple[str, ...] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
) -> Replay:
    """Compute the signals of stored bars, each symbol on its own, and compare.

    A next contract's bars are stored before its signals are given, for the warm-up. So only
    sessions that have signals count; where start and end say that the span is meant also those
    that should have some (`_owed`), and all of them where the symbols are named as well.
    Raises InputError where there are no signals or no bars, StoreError from the database.
    """
    for symbol in symbols:
        if instruments.is_front(symbol) or not (
            instruments.is_stock(symbol) or instruments.contract(symbol)
        ):
            raise InputError(f"{symbol} means several contracts: name the one that had signals")
    given = _given(url, of, symbols, start, end)
    if given.is_empty() and not (symbols and start and end):
        raise InputError(f"no signals of {of.name} are stored; give --symbol, --from and --to")
    chosen = symbols or tuple(given["symbol"].unique().sort())
    first = start or given["timestamp"].min().date()  # type: ignore[union-attr]
    last = end or given["timestamp"].max().date()  # type: ignore[union-attr]
    warm_up = of.warm_up_sessions(params)
    bars = read_stored_bars(url, chosen, first, last, warm_up=warm_up)
    rows = of.evaluate(bars.lazy(), params).filter(_within(first, last))
    computed = rows.collect(engine=ENGINE)
    if not (symbols and start and end):
        counted = [_sessions(given), *([_owed(computed)] if start and end else [])]
        computed = _of_sessions(computed, pl.concat(counted))
    return Replay(computed, differences(computed, given))


def _sessions(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("symbol", session=pl.col("timestamp").dt.date()).unique()


def _of_sessions(rows: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    own = [pl.col("symbol"), pl.col("timestamp").dt.date()]
    return rows.join(wanted, left_on=own, right_on=["symbol", "session"], how="semi")


def _owed(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions (symbol, session) of stocks, and of contracts while in front."""
    sessions = _sessions(rows)
    is_stock = pl.col("symbol").is_in([s for s in sessions["symbol"] if instruments.is_stock(s)])
    stocks, contracts = sessions.filter(is_stock), sessions.filter(~is_stock)
    fronts = (
        of.join(instruments.front_months(product, *_ends(of["session"])), on="symbol")
        for (product,), of in contracts.group_by(pl.col("symbol").str.head(3))
    )
    in_front = pl.col("session").is_between("first_day", "last_day")
    return pl.concat([stocks, *(of.filter(in_front).select(stocks.columns) for of in fronts)])


def _ends(days: pl.Series) -> tuple[dt.date, dt.date]:
    first, last = days.sort().gather([0, -1])
    return first, last


def _given(
    url: str,
    of: Strategy[Any],
    symbols: tuple[str, ...],
    start: dt.date | None,
    end: dt.date | None,
) -> pl.DataFrame:
    kept = [_within(start, end), *([pl.col("symbol").is_in(symbols)] if symbols else [])]
    return scan(of.table, url).filter(*kept).select(_columns(of)).collect()


def _within(start: dt.date | None, end: dt.date | None) -> pl.Expr:
    first = dt.datetime.combine(start or dt.date.min, dt.time())
    until = dt.datetime.combine(end or dt.date(9999, 12, 30), dt.time()) + dt.timedelta(days=1)
    return pl.col("timestamp").is_between(first, until, closed="left")


async def _stored(url: str, of: Strategy[Any], computed: pl.DataFrame) -> MergeCounts:
    clock = WallClock()
    store = Store(url, clock, component="replay")
    try:
        rows = computed.with_columns(created_at=pl.lit(clock.now(), pl.Datetime("us")))
        return await store.merge(of.table, schemas.conform(rows, of.schema))
    finally:
        await store.close()


def _columns(of: Strategy[Any]) -> list[str]:
    return [name for name in of.schema.names if name != "created_at"]


def show(found: Replay, name: str, *, json: bool) -> None:
    """Print the differences, as tables or one JSON object a line."""
    if json:
        sys.stdout.write(found.differences.write_ndjson())
        return
    console = Console()
    counts = ", ".join(f"{count} {state}" for state, count in found.counts.items())
    sign = "✅" if found.is_clean else "⚠️"
    console.print(f"{sign} {name}: {found.computed.height} rows computed again: {counts}")
    if found.differences.height:
        console.print(differences_table(found.differences.head(20), found.differences.height))


def differences_table(rows: pl.DataFrame, of: int) -> Table:
    """Return differences as a table."""
    title = f"{rows.height} of {of} differences"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("timestamp", "symbol", "state", "given", "computed"):
        table.add_column(name, no_wrap=True)
    table.add_column("differing")
    for row in rows.iter_rows(named=True):
        said = [
            "-"
            if row[f"reason_{side}"] is None
            else f"{row[f'monitor_signal_{side}']:+d} {row[f'reason_{side}']}"
            for side in ("given", "computed")
        ]
        stamp = f"{row['timestamp']:%Y-%m-%d %H:%M}"
        table.add_row(stamp, row["symbol"], row["state"], *said, ", ".join(row["columns"]))
    return table
