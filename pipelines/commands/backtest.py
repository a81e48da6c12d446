"""`just backtest`: what a strategy would have earned, over a file or the stored history."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from engine.log import setup_logging
from engine.settings import load_settings
from pipelines.commands.options import (
    BarFile,
    BarTimesOption,
    DatabaseOption,
    FirstSession,
    LastSession,
    ParamTexts,
    StrategyName,
    TradedSymbols,
    require_file,
    require_folder,
)
from pipelines.evaluation.backtest import parse_params, read_bars, validate_model
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.evaluation_tables import print_backtest
from pipelines.texts import texts_for
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import backtest as run_backtest
from strategies.registry import strategy_named


def backtest(
    *,
    file: BarFile = None,
    bar_times: BarTimesOption = None,
    symbol: TradedSymbols = (),
    strategy: StrategyName = "dolpha1",
    param: ParamTexts = (),
    start: FirstSession = None,
    end: LastSession = None,
    exit: Literal["opposite", "inside"] = "opposite",  # noqa: A002
    contracts: int = 1,
    commission: float = 0.25,
    slippage: float = 1.0,
    capital: float | None = None,
    report: Path | None = None,
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Trade a strategy over history and say what it would have earned after costs.

    Parameters
    ----------
    param
        a parameter of the strategy, name=value; may be repeated
    exit
        leave on the opposite signal only, or also when back inside the bands
    contracts
        contracts (or shares) of a position
    commission
        ticks for each contract and side
    slippage
        ticks for each contract and side
    capital
        KRW; the value of the position at the first open by default
    report
        folder to write report.html (one page, no network), report.png and three tables as CSV into
    json
        print figures, daily results and trades as JSON, not as a table
    """
    setup_logging()
    require_file("--file", file, bar_times)
    if report:
        require_folder("--report", report)
    chosen = strategy_named(strategy)
    params = parse_params(chosen.params, param)
    rules = validate_model(
        BacktestRules,
        {
            "exit": exit,
            "contracts": contracts,
            "commission_ticks": commission,
            "slippage_ticks": slippage,
            "capital": capital,
        },
    )
    bars, source = read_bars(chosen, params, file, symbol, start, end, database, bar_times)
    result = run_backtest(bars.lazy(), chosen, params, rules, start=start)
    print_backtest(result, chosen.name, params, as_json=json)
    if report:
        from pipelines.reports.backtest.write import write_report  # noqa: PLC0415 - altair takes a second

        subject = Subject(result, bars, chosen.name, params, rules, source)
        write_report(texts_for(load_settings().language), subject, report)
    return 0
