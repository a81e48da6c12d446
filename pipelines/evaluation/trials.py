"""The trials of a sweep: a grid of parameters, the outcome of each, and a file that logs them.

A trial is one set of parameters over all symbols. Its outcome is appended to a file of JSON lines:
a sweep that was interrupted goes on where it ended, and one over the same data counts the trials
of the sweeps before it, because with enough trials something always looks good.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import InputError
from strategies.backtesting.positions import market
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import backtest_figures
from strategies.base import ENGINE, Params, SharesFeatures
from strategies.registry import strategy_named

_FIRST_BYTES = b'{"data": "'  # of every log of trials
_FIGURES = b"2"  # counts up with their meaning: older trials are not compared with newer ones
_ROWS_AT_ONCE = 2_000_000  # bars times trials of a batch, so that it is soon done
_FEWEST_AT_ONCE, _MOST_AT_ONCE = 8, 64  # trials of a batch
Outcome = list[dict[str, Any]]  # the figures of each symbol; empty if nothing could be traded


@dataclass(frozen=True)
class Trial:
    """One set of parameters. `start` is the first session that counts."""

    strategy: str
    values: tuple[tuple[str, Any], ...]  # of the strategy's parameters and of the rules
    start: date | None = None

    @property
    def key(self) -> str:
        """The text that stands for the trial in the log."""
        return json.dumps([self.strategy, dict(self.values), str(self.start)], sort_keys=True)

    @property
    def params(self) -> Params:
        """The strategy's parameters."""
        model = strategy_named(self.strategy).params
        return model.model_validate({k: v for k, v in self.values if k in model.model_fields})

    @property
    def rules(self) -> BacktestRules:
        """The rules of the backtest."""
        return BacktestRules.model_validate(
            {k: v for k, v in self.values if k in BacktestRules.model_fields}
        )


def grid(strategy: str, axes: Sequence[str], start: date | None = None) -> list[Trial]:
    """Return a trial for each combination of axes such as `band_multiplier=0.5,1,1.5`.

    An axis is a parameter of the strategy or one of the rules. Raises InputError.
    """
    parsed = [_axis(strategy, text) for text in axes]
    names = [name for name, _ in parsed]
    if len(set(names)) < len(names):
        raise InputError(f"an axis is given twice: {', '.join(names)}")
    combinations = itertools.product(*(values for _, values in parsed))
    return [
        Trial(strategy, tuple(zip(names, values, strict=True)), start) for values in combinations
    ]


def _axis(strategy: str, text: str) -> tuple[str, list[Any]]:
    name, _, values = text.partition("=")
    params = strategy_named(strategy).params
    model = params if name in params.model_fields else BacktestRules
    if name not in model.model_fields or not values:
        known = ", ".join([*params.model_fields, *BacktestRules.model_fields])
        raise InputError(f"{text!r}: write name=value,value with a name of: {known}")
    try:
        parsed = [getattr(model.model_validate({name: v}), name) for v in values.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r} is not possible: {_first_line(error)}") from error
    return name, list(dict.fromkeys(parsed))


def _first_line(error: ValueError) -> str:
    found: list[dict[str, Any]] = error.errors()  # type: ignore[attr-defined] # pydantic's
    return str(found[0]["msg"])


def batches(trials: Sequence[Trial], rows: int, workers: int) -> list[list[Trial]]:
    """Return the trials in batches for `run_batch`, each of trials that share their features.

    `rows` are the bars that each is run over. A batch is short, so that little is lost when a sweep
    is interrupted, and there is more than one for each worker, so that none waits long for the
    others.
    """
    alike: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        alike.setdefault(_shared_values(trial), []).append(trial)
    quick = max(_ROWS_AT_ONCE // max(rows, 1), _FEWEST_AT_ONCE)
    step = max(min(quick, _MOST_AT_ONCE, len(trials) // (2 * workers)), 1)
    return [same[n : n + step] for same in alike.values() for n in range(0, len(same), step)]


def _shared_values(trial: Trial) -> tuple[object, ...]:
    """Return what two trials have in common that share their features."""
    strategy, values = strategy_named(trial.strategy), trial.params.model_dump()
    read = strategy.shared_by if isinstance(strategy, SharesFeatures) else frozenset[str]()
    return (trial.strategy, *(values[name] for name in sorted(read)))


def run_batch(batch: Sequence[Trial], bars: pl.DataFrame) -> list[Outcome]:
    """Backtest the trials of one of the `batches`; return the figures of each symbol for each.

    What the trials have in common is computed once: the bars in order, and the features of a
    strategy that can say so (`SharesFeatures`).
    """
    strategy, traded = strategy_named(batch[0].strategy), market(bars.lazy())
    shared: pl.DataFrame | None = None
    outcomes = []
    for trial in batch:
        if isinstance(strategy, SharesFeatures):
            if shared is None:
                shared = strategy.shared(bars.lazy(), trial.params).collect(engine=ENGINE)
            signals = strategy.signals(shared.lazy(), trial.params)
        else:
            signals = strategy.evaluate(bars.lazy(), trial.params)
        try:
            figures = backtest_figures(
                traded, signals, strategy, trial.params, trial.rules, start=trial.start
            )
        except InputError:
            outcomes.append(Outcome())
        else:
            outcomes.append(figures.with_columns(pl.col("ruined").cast(pl.String)).to_dicts())
    return outcomes


def fingerprint(bars: pl.DataFrame) -> str:
    """Return a text that stands for the data that trials were run on."""
    digest = hashlib.sha256(_FIGURES + repr(bars.schema).encode())
    digest.update(bars.hash_rows(7).to_numpy().tobytes())
    return digest.hexdigest()[:16]


class TrialLog:
    """The file of the trials run on some data. Raises InputError for a file of other data."""

    def __init__(self, path: Path, data: str) -> None:
        self._path = path
        self.outcomes: dict[str, Outcome] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        torn = bool(lines) and not lines[-1].endswith(b"\n")  # the last writer was interrupted
        whole = lines[:-1] if torn else lines
        if lines and not lines[0].startswith(_FIRST_BYTES[: len(lines[0])]):
            raise InputError(f"{path} is not a file of a sweep; name another one")
        try:
            head, *rest = map(json.loads, whole) if whole else (None,)
            self.outcomes = {line["trial"]: line["figures"] for line in rest}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{path} is damaged: name another file or remove it") from None
        if head not in (None, {"data": data}):
            raise InputError(f"{path} holds trials of other data; name another file or remove it")
        if torn:
            path.write_bytes(b"".join(whole))
        if head is None:
            self._append({"data": data})

    def remember(self, trial: Trial, outcome: Outcome) -> None:
        """Append the outcome of a trial."""
        self.outcomes[trial.key] = outcome
        self._append({"trial": trial.key, "figures": outcome})

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


def outcome_table(trials: Iterable[Trial], outcomes: dict[str, Outcome]) -> pl.DataFrame:
    """Return parameters and figures, a row for each trial and symbol in the order of the trials."""
    rows = [
        dict(trial.values) | figures for trial in trials for figures in outcomes.get(trial.key, [])
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
