"""What a report is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine.market.symbols import parse
from pipelines.evaluation.backtest import Source
from pipelines.evaluation.sweep import Luck
from pipelines.texts import Texts
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import Backtest
from strategies.base import Params

_NAMED = 2  # symbols that a title names; it counts more of them


@dataclass(frozen=True)
class Subject:
    """A backtest with everything that its report tells."""

    result: Backtest
    bars: pl.DataFrame  # as `Strategy.evaluate` takes them, warm-up included
    strategy: str
    params: Params
    rules: BacktestRules
    source: Source  # of the bars
    luck: Luck | None = None  # of a sweep's best trial

    @property
    def figures(self) -> Mapping[str, dict[str, Any]]:
        """The figures by symbol."""
        return {row["symbol"]: row for row in self.result.figures.iter_rows(named=True)}

    def title(self, t: Texts) -> str:
        """Return strategy, symbols, first and last session."""
        days, names = self.result.daily["session"], [t.name(parse(s)) for s in self.figures]
        several = t("report_symbols", count=len(names))
        named = ", ".join(names) if len(names) <= _NAMED else several
        return f"{self.strategy} · {named} · {days.min()!s} ~ {days.max()!s}"

    def credit(self, t: Texts) -> str:
        """Return where the bars are from."""
        if isinstance(self.source, Path):
            return t("report_file", name=self.source.name)
        return t(self.source)

    def settings(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Return value and usual value by name, of the strategy's parameters and of the rules."""
        return {
            "report_params": _values(self.params),
            "report_rules": _values(self.rules),
        }


def _values(model: Params | BacktestRules) -> dict[str, tuple[str, str]]:
    fields = type(model).model_fields
    return {
        name: (_written(value), _written(fields[name].default))
        for name, value in model.model_dump().items()
    }


def _written(value: object) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
