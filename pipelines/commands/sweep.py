"""`krt sweep`: a strategy over a grid of parameters, and how much of the best is luck."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Annotated

import polars as pl
from cyclopts import Parameter
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from engine.configuration import load
from engine.errors import InputError
from engine.log import setup_logging
from pipelines.commands.backtest import End, Start, Symbols, read_bars, text
from pipelines.commands.options import Workers
from pipelines.databases import Kind
from pipelines.evaluation.runners import run_on_all_cores, run_on_ray
from pipelines.evaluation.trials import Trial, TrialLog, fingerprint, grid, outcome_table
from strategies.backtesting.figures import SESSIONS_A_YEAR, deflated_sharpe, expected_best_sharpe
from strategies.registry import strategy_named

log = logging.getLogger(__name__)

SHOWN = {
    "sharpe": "Sharpe",
    "annual_return": "a year",
    "max_drawdown": "drawdown",
    "trades": "trades",
    "net": "net KRW",
}


def sweep(
    *,
    axis: Annotated[tuple[str, ...], Parameter(name="--grid")],
    file: Path | None = None,
    symbol: Symbols = (),
    strategy: str = "dolpha1",
    start: Start = None,
    end: End = None,
    workers: Workers = None,
    ray: str | None = None,
    results: Path | None = None,
    json: bool = False,
    database: Kind | None = None,
) -> int:
    """Backtest a strategy for each combination of parameters; goes on where it was interrupted.

    Parameters
    ----------
    axis
        name=value,value,… of a parameter, or of exit, commission_ticks …; may be repeated
    file
        bars as KIS labels them (Parquet); else the stored history
    symbol
        a code, or a product (A01) whose front month is meant; may be repeated
    strategy
        its name
    start
        the first session that counts; the sessions before it are warm-up
    end
        the last session
    workers
        processes; as many as there are cores by default
    ray
        address of a Ray cluster to use instead: auto, ray://HOST:10001, local
    results
        file that remembers what was tried; one in the data folder by default
    json
        print one JSON object for each trial and symbol
    database
        live or simulation
    """
    setup_logging()
    of, trials = strategy_named(strategy), grid(strategy, axis, start)
    longest = max((trial.params for trial in trials), key=of.warm_up_sessions)
    bars = read_bars(of, longest, file, symbol, start, end, database)
    data = fingerprint(bars)
    memory = TrialLog(results or _default_file(strategy, data), data)
    make(trials, bars, memory, workers=workers, ray=ray)
    found = outcome_table(trials, memory.outcomes)
    if found.is_empty():
        raise InputError("no trial had a session to trade in: more history is needed")
    if json:
        sys.stdout.write(found.write_ndjson())
    else:
        Console().print(best_table(found, [name for name, _ in trials[0].values]))
        Console().print(warning(found, sum(map(len, memory.outcomes.values()))))
    return 0


def make(
    trials: Sequence[Trial],
    bars: pl.DataFrame,
    memory: TrialLog,
    *,
    workers: int | None = None,
    ray: str | None = None,
) -> None:
    """Make the trials that the memory does not know yet, and show how far it is."""
    due = [trial for trial in trials if trial.key not in memory.outcomes]
    if len(due) < len(trials):
        log.info("🔄 %d of %d trials were made before", len(trials) - len(due), len(trials))
    if not due:
        return
    columns = ("trials", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(trials), completed=len(trials) - len(due))
        made = run_on_ray(due, bars, ray) if ray else run_on_all_cores(due, bars, workers)
        for trial, outcome in made:
            memory.remember(trial, outcome)
            progress.advance(bar)


def best_table(found: pl.DataFrame, axes: Sequence[str], count: int = 10) -> Table:
    """Return the best trials by Sharpe ratio as a table."""
    best = found.sort("sharpe", descending=True, nulls_last=True).head(count)
    rows = [
        [*(str(row[axis]) for axis in axes), row["symbol"], *(text(n, row[n]) for n in SHOWN)]
        for row in best.iter_rows(named=True)
    ]
    title = f"best {best.height} of {found.height} by Sharpe ratio"
    shown = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    heads = (*(axis.replace("_", " ") for axis in axes), "symbol", *SHOWN.values())
    for head, cells in zip(heads, zip(*rows, strict=True), strict=True):
        shown.add_column(head, justify="right", min_width=max(map(len, cells)))
    for row in rows:
        shown.add_row(*row)
    return shown


def warning(found: pl.DataFrame, tried: int) -> str:
    """Say how much of the best trial is luck, if `tried` trials have been made on this data."""
    known = found.drop_nulls("sharpe").sort("sharpe", descending=True)
    if known.height < 2:
        return "⚠️ too few trials traded to say how much of the best one is luck"
    year = sqrt(SESSIONS_A_YEAR)
    deviation = float(known["sharpe"].std() or 0) / year  # type: ignore[arg-type] # of floats
    best = known.row(0, named=True)
    probability = deflated_sharpe(
        best["sharpe"] / year,
        sessions=best["sessions"],
        skew=best["skew"],
        kurtosis=best["kurtosis"],
        deviation=deviation,
        trials=tried,
    )
    luck = expected_best_sharpe(deviation, tried) * year
    return (
        f"⚠️ {tried} trials were made on this data: the best of as many worthless strategies would"
        f" show a Sharpe ratio of {luck:.2f}, yours shows {best['sharpe']:.2f}. The probability"
        f" that it is worth anything at all (deflated Sharpe ratio) is {probability:.0%}."
    )


def _default_file(strategy: str, data: str) -> Path:
    configuration, _ = load()
    return configuration.data_folder.expanduser() / "sweeps" / f"{strategy}-{data}.jsonl"
