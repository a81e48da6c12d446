"""`just sweep`: a strategy over a grid of parameters, and how much of the best is luck."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.log import setup_logging
from engine.settings import load_settings
from engine.text import visible_json
from pipelines.commands.options import (
    Axes,
    BarFile,
    BarTimesOption,
    DatabaseOption,
    FirstSession,
    LastSession,
    StrategyName,
    TradedSymbols,
    Workers,
    require_file,
    require_folder,
)
from pipelines.console import PlainConsole
from pipelines.evaluation.backtest import Source, read_bars
from pipelines.evaluation.lake import Lake, open_lake
from pipelines.evaluation.sweep import (
    best_trial,
    default_results_file,
    luck_of_best,
    luck_warning,
    run_trials,
)
from pipelines.evaluation.trials import TrialLog, fingerprint, grid, outcome_table
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.evaluation_tables import best_trials_table
from pipelines.reports.terminal import progress_bar
from pipelines.texts import texts_for
from strategies.backtesting.run import backtest as run_backtest
from strategies.registry import strategy_named


def sweep(
    *,
    axis: Axes,
    file: BarFile = None,
    bar_times: BarTimesOption = None,
    symbol: TradedSymbols = (),
    strategy: StrategyName = "dolpha1",
    start: FirstSession = None,
    end: LastSession = None,
    workers: Workers = None,
    ray: str | None = None,
    lake: Path | None = None,
    results: Path | None = None,
    report: Path | None = None,
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Backtest a strategy for each combination of parameters; goes on where it was interrupted.

    Parameters
    ----------
    axis
        name=value,value,… of a parameter, or of exit, commission_ticks …; may be repeated
    workers
        processes; as many as there are cores by default
    ray
        address of a Ray cluster to use instead: auto, ray://HOST:10001, local
    lake
        folder that `just export` wrote: with --ray each worker reads its own symbols from it
    results
        file that remembers what was tried; one in the data folder by default
    report
        folder for the report of the best trial, as `just backtest --report` writes it, with how
        much of the result is luck
    json
        print one JSON object for each trial and symbol
    """
    setup_logging()
    require_file("--file", file, bar_times)
    if report:
        require_folder("--report", report)
    chosen, trials = strategy_named(strategy), grid(strategy, axis, start)
    longest = max((trial.params for trial in trials), key=chosen.warm_up_sessions)
    bars: pl.DataFrame | Lake
    source: Source
    if lake:
        if file:
            raise InputError("--file and --lake are two sources: give one")
        warm_up = chosen.warm_up_sessions(longest)
        bars, source = open_lake(lake, symbol, start, end, warm_up=warm_up), lake
        data = bars.fingerprint()
    else:
        bars, source = read_bars(chosen, longest, file, symbol, start, end, database, bar_times)
        data = fingerprint(bars)
    trial_log = TrialLog(results or default_results_file(strategy, data), data)
    with progress_bar("trials") as on_trial:
        run_trials(trials, bars, trial_log, workers=workers, ray=ray, progress=on_trial)
    figures = outcome_table(trials, trial_log.outcomes)
    if figures.is_empty():
        raise InputError("no trial had a session to trade in: more history is needed")
    tried = sum(map(len, trial_log.outcomes.values()))
    if json:
        sys.stdout.write(visible_json(figures.write_ndjson()))
    else:
        PlainConsole().print(best_trials_table(figures, [name for name, _ in trials[0].values]))
        PlainConsole().print(luck_warning(figures, tried))
    if report:
        from pipelines.reports.backtest.write import write_report  # noqa: PLC0415 - altair takes a second

        best = best_trial(trials, trial_log.outcomes)
        if isinstance(bars, Lake):
            bars = bars.read(bars.symbols)
        found = run_backtest(bars.lazy(), chosen, best.params, best.rules, start=start)
        luck = luck_of_best(figures, tried)
        subject = Subject(found, bars, strategy, best.params, best.rules, source, luck)
        write_report(texts_for(load_settings().language), subject, report)
    return 0
