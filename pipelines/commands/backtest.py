"""`krt backtest`: what a strategy would have earned, over a file or the stored history."""

from __future__ import annotations

import datetime as dt
import json as jsonlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import polars as pl
from cyclopts import Parameter
from pydantic import BaseModel, ValidationError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from engine.configuration import load
from engine.errors import InputError
from pipelines.commands.options import known_day, must_be_folder
from pipelines.databases import Kind, kind_of
from pipelines.databases import database as open_database
from pipelines.evaluation.bars import read_bar_file, read_stored_bars
from strategies.backtesting.rules import Rules
from strategies.backtesting.run import Backtest
from strategies.backtesting.run import backtest as run
from strategies.base import Params, Strategy
from strategies.registry import strategy_named

Model = TypeVar("Model", bound=BaseModel)
Symbols = Annotated[tuple[str, ...], Parameter(name="--symbol")]
Start = Annotated[dt.date | None, Parameter(name="--from", validator=known_day)]
End = Annotated[dt.date | None, Parameter(name="--to", validator=known_day)]
Settings = Annotated[tuple[str, ...], Parameter(name="--param")]

FRACTIONS = (
    "total_return",
    "annual_return",
    "volatility",
    "max_drawdown",
    "hit_rate",
    "exposure",
)


def backtest(
    *,
    file: Path | None = None,
    symbol: Symbols = (),
    strategy: str = "dolpha1",
    param: Settings = (),
    start: Start = None,
    end: End = None,
    exit: Literal["opposite", "inside"] = "opposite",  # noqa: A002
    contracts: int = 1,
    commission: float = 0.25,
    slippage: float = 1.0,
    capital: float | None = None,
    report: Path | None = None,
    json: bool = False,
    database: Kind | None = None,
) -> int:
    """Trade a strategy over history and say what it would have earned after costs.

    Parameters
    ----------
    file
        bars as KIS labels them (Parquet); else the stored history
    symbol
        a code, or a product (A01) whose front month is meant; may be repeated
    strategy
        its name
    param
        a parameter of the strategy, name=value; may be repeated
    start
        the first session that counts; the sessions before it are warm-up
    end
        the last session
    exit
        leave on the opposite signal only, or also when back inside the bands
    contracts
        of one position
    commission
        ticks for each contract and side
    slippage
        ticks for each contract and side
    capital
        KRW; the value of the position at the first open by default
    report
        folder to write report.html, report.png, trades.csv, daily.csv and equity.csv into
    json
        print figures, daily results and trades as JSON, not as a table
    database
        live or simulation
    """
    if report:
        must_be_folder("--report", report)
    of = strategy_named(strategy)
    params = settings(of.params, param)
    rules = checked(
        Rules,
        {
            "exit": exit,
            "contracts": contracts,
            "commission_ticks": commission,
            "slippage_ticks": slippage,
            "capital": capital,
        },
    )
    bars = read_bars(of, params, file, symbol, start, end, database)
    found = run(bars.lazy(), of, params, rules, start=start)
    if report:
        from pipelines.reports.backtest import write_report  # noqa: PLC0415 - altair takes a second

        write_report(found, of.name, params, rules, report)
    show(found, of, params, json=json)
    return 0


def read_bars(
    of: Strategy[Any],
    params: Params,
    file: Path | None,
    symbols: Sequence[str],
    start: dt.date | None,
    end: dt.date | None,
    kind: Kind | None,
) -> pl.DataFrame:
    """Return the bars to trade on, warm-up included, from the file or the database."""
    if start and end and start > end:
        raise InputError(f"--from {start} is after --to {end}")
    if file:
        bars = read_bar_file(file, symbols)
        return bars.filter(pl.col("timestamp").dt.date() <= end) if end else bars
    configuration, yours = load()
    which = kind_of(configuration, yours, kind)
    with open_database(configuration, yours, which) as url:
        warm_up = of.warm_up_sessions(params)
        return read_stored_bars(url, symbols or ("A01",), start, end, warm_up=warm_up)


def settings(model: type[Model], given: Sequence[str]) -> Model:
    """Read name=value texts into a model. Raises InputError in one line."""
    pairs = [text.partition("=") for text in given]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"{wrong[0]!r}: write name=value, as in --param band_multiplier=1.5")
    return checked(model, {name: value for name, _, value in pairs})


def checked(model: type[Model], values: dict[str, Any]) -> Model:
    """Validate values. Raises InputError in one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        names = ", ".join(model.model_fields)
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {first['msg']} (known are {names})") from error


def show(found: Backtest, of: Strategy[Any], params: Params, *, json: bool) -> None:
    """Print figures and the last trades, as a table or as one JSON object."""
    if json:
        tables = {
            name: jsonlib.loads(getattr(found, name).write_json())
            for name in ("figures", "daily", "trades")
        }
        said = {"strategy": of.name, "params": params.model_dump(), **tables}
        sys.stdout.write(jsonlib.dumps(said) + "\n")
        return
    console = Console()
    console.print(figures_table(found.figures, of.name))
    console.print(
        trades_table(found.trades.tail(10), f"last {min(10, found.trades.height)} trades")
    )


def figures_table(figures: pl.DataFrame, name: str) -> Table:
    """Return the figures of each symbol, a column a symbol."""
    title = f"{name}, after costs"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    for symbol in figures["symbol"]:
        table.add_column(symbol, justify="right")
    for column in figures.columns[1:]:
        table.add_row(column.replace("_", " "), *(text(column, v) for v in figures[column]))
    return table


def text(column: str, value: float | None) -> str:
    """Return a figure as people read it."""
    if value is None:
        return "-"
    if column in FRACTIONS:
        return f"{value:.2%}"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.2f}"


def trades_table(trades: pl.DataFrame, title: str) -> Table:
    """Return trades as a table: times are stamps of the bars at whose open they were filled."""
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("symbol", "entered", "", "entry", "left", "exit", "why", "net KRW"):
        right = name in ("entry", "exit", "net KRW")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for t in trades.iter_rows(named=True):
        side = "long" if t["direction"] > 0 else "short"
        table.add_row(
            t["symbol"],
            f"{t['entered']:%Y-%m-%d %H:%M}",
            side,
            f"{t['entry']:,.10g}",
            f"{t['left']:%H:%M}",
            f"{t['exit']:,.10g}",
            t["why"],
            f"{t['net']:,.0f}",
        )
    return table
