"""The outcome of `just backtest`, `sweep`, `replay` and `study` on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Literal

import polars as pl
from rich.table import Table

from engine.text import visible_json
from pipelines.console import PlainConsole
from pipelines.evaluation.replay import Replay
from pipelines.evaluation.studies import Study
from pipelines.reports.terminal import plain_table
from strategies.backtesting.run import Backtest
from strategies.base import Params

_FRACTIONS = (
    "total_return",
    "annual_return",
    "volatility",
    "max_drawdown",
    "hit_rate",
    "exposure",
)
_WON = ("gross", "cost", "net", "value", "capital", "equity", "average_trade")
_DECIMALS = {
    **dict.fromkeys(_WON, 2),
    **dict.fromkeys(("entry", "exit"), 4),
}
_SYMBOLS_BESIDE = 4  # of a figures' table, on 80 columns
_SWEEP_COLUMNS = {
    "sharpe": "Sharpe",
    "annual_return": "a year",
    "max_drawdown": "drawdown",
    "trades": "trades",
    "net": "net KRW",
    "ruined": "ruined on",
}


def without_noise(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame without the last bits of floats, which sums leave: for other programs.

    KRW keep two decimals and prices four, fractions ten.
    """
    return frame.with_columns(
        pl.col(name).round(_DECIMALS.get(name, 10))
        for name, kind in frame.schema.items()
        if kind == pl.Float64
    )


def print_backtest(result: Backtest, strategy: str, params: Params, *, as_json: bool) -> None:
    """Print figures and the last trades, as tables or as one JSON object."""
    if as_json:
        tables = {
            name: json.loads(without_noise(getattr(result, name)).write_json())
            for name in ("figures", "daily", "trades")
        }
        report = {"strategy": strategy, "params": params.model_dump(), **tables}
        sys.stdout.write(json.dumps(report) + "\n")
        return
    console = PlainConsole()
    for symbols in result.figures.iter_slices(_SYMBOLS_BESIDE):
        console.print(figures_table(symbols, strategy))
    for symbol, session in result.figures.select("symbol", "ruined").drop_nulls().iter_rows():
        console.print(f"❌ {symbol}: ruined on {session}: the capital is lost, no trade after it")
    last = result.trades.tail(10)
    console.print(trades_table(last, f"last {last.height} trades"))


def print_study(study: Study) -> None:
    """Print the table of a study, and what can be concluded."""
    console = PlainConsole()
    table = plain_table(f"study {study.name}, means with their intervals at 95 %")
    for column in ("figure", "group"):
        table.add_column(column)
    for column in ("samples", "sessions", "mean", "low", "high"):
        table.add_column(column, justify="right")
    for row in study.table.to_dicts():
        numbers = ("" if row[n] is None else f"{row[n]:.3f}" for n in ("mean", "low", "high"))
        table.add_row(
            row["figure"], row["group"], str(row["samples"]), str(row["sessions"]), *numbers
        )
    console.print(table)
    console.print(study.conclusion)


def figures_table(figures: pl.DataFrame, strategy: str) -> Table:
    """Return the figures of each symbol, a column a symbol."""
    table = plain_table(f"{strategy}, after costs")
    table.add_column("")
    for symbol in figures["symbol"]:
        table.add_column(symbol, justify="right")
    for column in figures.columns[1:]:
        cells = (figure_text(column, value) for value in figures[column])
        table.add_row(column.replace("_", " "), *cells)
    return table


def figure_text(column: str, value: float | date | str | None) -> str:
    """Return a figure as people read it."""
    if value is None:
        return "-"
    if isinstance(value, date | str):
        return str(value)
    if column in _FRACTIONS:
        return f"{value:.2%}"
    whole = column in _WON or isinstance(value, int) or abs(value) >= 1000
    return f"{value:,.0f}" if whole else f"{value:.2f}"


def trades_table(trades: pl.DataFrame, title: str) -> Table:
    """Return trades as a table: times are stamps of the bars at whose open they were filled.

    Where there is little room the reason is cut, never a price or an amount.
    """
    decimals = _decimals(pl.concat([trades["entry"], trades["exit"]]))
    rows = [
        [
            trade["symbol"],
            f"{trade['entered']:%y-%m-%d %H:%M}",
            "▲" if trade["direction"] > 0 else "▼",
            f"{trade['entry']:,.{decimals}f}",
            f"{trade['left']:%H:%M}",
            f"{trade['exit']:,.{decimals}f}",
            trade["why"],
            f"{trade['net']:,.0f}",
        ]
        for trade in trades.iter_rows(named=True)
    ]
    table = plain_table(title)
    heads = ("symbol", "entered", "", "entry", "left", "exit", "why", "net KRW")
    for head, *cells in zip(heads, *rows, strict=True):
        right = head in ("entry", "exit", "net KRW")
        least = 0 if head == "why" else max(map(len, cells), default=0)
        justify: Literal["right", "left"] = "right" if right else "left"
        table.add_column(head, justify=justify, min_width=least, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _decimals(prices: pl.Series) -> int:
    """Return how many decimals show every price whole."""
    return max((len(f"{price:.10g}".partition(".")[2]) for price in prices), default=0)


def best_trials_table(figures: pl.DataFrame, axes: Sequence[str], count: int = 10) -> Table:
    """Return the best trials of a sweep by Sharpe ratio as a table."""
    best = figures.sort("sharpe", descending=True, nulls_last=True).head(count)
    rows = [
        [
            *(str(row[axis]) for axis in axes),
            row["symbol"],
            *(figure_text(name, row[name]) for name in _SWEEP_COLUMNS),
        ]
        for row in best.iter_rows(named=True)
    ]
    table = plain_table(f"best {best.height} of {figures.height} by Sharpe ratio")
    heads = (*(axis.replace("_", " ") for axis in axes), "symbol", *_SWEEP_COLUMNS.values())
    for head, cells in zip(heads, zip(*rows, strict=True), strict=True):
        table.add_column(head, justify="right", min_width=max(map(len, cells)))
    for row in rows:
        table.add_row(*row)
    return table


def print_replay(result: Replay, strategy: str, *, as_json: bool) -> None:
    """Print the differences, as tables or one JSON object a line."""
    if as_json:
        sys.stdout.write(visible_json(result.differences.write_ndjson()))
        return
    console = PlainConsole()
    counts = ", ".join(f"{count} {state}" for state, count in result.counts.items())
    sign = "✅" if result.is_clean else "⚠️"
    console.print(f"{sign} {strategy}: {result.computed.height} rows computed again: {counts}")
    if result.differences.height:
        console.print(differences_table(result.differences.head(20), result.differences.height))


def differences_table(rows: pl.DataFrame, total: int) -> Table:
    """Return the first differences, of so many in total, as a table."""
    table = plain_table(f"{rows.height} of {total} differences")
    for name in ("timestamp", "symbol", "state", "given", "computed"):
        table.add_column(name, no_wrap=True)
    table.add_column("differing")
    for row in rows.iter_rows(named=True):
        signals = [
            "-"
            if row[f"reason_{side}"] is None
            else f"{row[f'monitor_signal_{side}']:+d} {row[f'reason_{side}']}"
            for side in ("given", "computed")
        ]
        stamp = f"{row['timestamp']:%Y-%m-%d %H:%M}"
        table.add_row(stamp, row["symbol"], row["state"], *signals, ", ".join(row["columns"]))
    return table
