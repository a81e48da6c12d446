"""A sweep: a strategy over a grid of parameters, and how much of the best result is luck."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.settings import load_settings
from pipelines.evaluation.lake import Lake
from pipelines.evaluation.runners import run_lake_on_ray, run_on_all_cores, run_on_ray
from pipelines.evaluation.trials import Outcome, Trial, TrialLog
from strategies.backtesting.figures import SESSIONS_A_YEAR, deflated_sharpe, expected_best_sharpe

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # trials done, trials in all


def run_trials(
    trials: Sequence[Trial],
    bars: pl.DataFrame | Lake,
    trial_log: TrialLog,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress = lambda _done, _total: None,
) -> None:
    """Run the trials that the log does not have yet, and append their outcomes to it.

    Bars of a lake are read by the workers of a Ray cluster. Raises InputError without one.
    """
    due = [trial for trial in trials if trial.key not in trial_log.outcomes]
    known = len(trials) - len(due)
    if known:
        log.info("🔄 %d of %d trials were run before", known, len(trials))
    if not due:
        return
    progress(known, len(trials))
    if isinstance(bars, Lake):
        if not ray:
            raise InputError("--lake is read by the workers of --ray; on this machine: --ray local")
        outcomes = run_lake_on_ray(due, bars, ray)
    else:
        outcomes = run_on_ray(due, bars, ray) if ray else run_on_all_cores(due, bars, workers)
    for done, (trial, outcome) in enumerate(outcomes, start=known + 1):
        trial_log.remember(trial, outcome)
        progress(done, len(trials))


@dataclass(frozen=True)
class Luck:
    """How much of a sweep's best trial is luck. Sharpe ratios are a year's."""

    symbol: str  # on which the best trial was so good
    trials: int  # that were run on this data, one for each symbol
    sharpe: float  # of the best one
    expected: float  # of the best of as many worthless strategies
    probability: float  # that the true ratio is above zero: the deflated Sharpe ratio

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"⚠️ {self.trials} trials were run on this data: the best of as many worthless"
            f" strategies would show a Sharpe ratio of {self.expected:.2f}, yours shows"
            f" {self.sharpe:.2f}. The probability that it is worth anything at all (deflated Sharpe"
            f" ratio) is {self.probability:.0%}."
        )


def luck_of_best(figures: pl.DataFrame, tried: int) -> Luck | None:
    """Return the luck of the best trial of an `outcome_table`; None if fewer than two traded.

    `tried` trials have been made on this data.
    """
    known = figures.drop_nulls("sharpe").sort("sharpe", descending=True, maintain_order=True)
    if known.height < 2:
        return None
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
    expected = expected_best_sharpe(deviation, tried) * year
    return Luck(best["symbol"], tried, best["sharpe"], expected, probability)


def luck_warning(figures: pl.DataFrame, tried: int) -> str:
    """Say how much of the best trial is luck, if `tried` trials have been made on this data."""
    luck = luck_of_best(figures, tried)
    return str(luck or "⚠️ too few trials traded to say how much of the best one is luck")


def best_trial(trials: Sequence[Trial], outcomes: Mapping[str, Outcome]) -> Trial:
    """Return the first trial with the highest Sharpe ratio; the first that traded without one."""

    def best_sharpe(trial: Trial) -> float:
        known = [row["sharpe"] for row in outcomes[trial.key] if row["sharpe"] is not None]
        return max(known, default=-inf)

    return max((trial for trial in trials if outcomes.get(trial.key)), key=best_sharpe)


def default_results_file(strategy: str, data: str) -> Path:
    """Return the file that remembers the trials of a strategy on some data."""
    return load_settings().data_folder.expanduser() / "sweeps" / f"{strategy}-{data}.jsonl"
