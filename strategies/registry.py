"""All strategies: one line each."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pyarrow as pa

from engine.errors import InputError
from engine.schemas import POSTGRES_TYPES
from strategies.base import SIGNAL_COLUMNS, Strategy
from strategies.dolpha1.strategy import Dolpha1
from strategies.opening_range import OpeningRange

# What Postgres takes as the name of a signals' table (`make_signal_table` in sql/migrations).
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
_STORABLE = pl.Schema(pa.schema([(str(kind), kind) for kind in POSTGRES_TYPES])).dtypes()


def register(*strategies: Strategy[Any]) -> dict[str, Strategy[Any]]:
    """Return the strategies by their names, in that order.

    Raises InputError for a strategy whose name, table or columns do not fit: what reads signals
    relies on them, in the middle of a collecting day.
    """
    registered: dict[str, Strategy[Any]] = {}
    for strategy in strategies:
        problems = _problems(strategy)
        if strategy.name in registered:
            problems.append("another strategy has its name")
        if problems:
            raise InputError(f"the strategy {strategy.name!r} does not fit: {'; '.join(problems)}")
        registered[strategy.name] = strategy
    return registered


def _problems(strategy: Strategy[Any]) -> list[str]:
    problems = []
    if not _NAME.fullmatch(strategy.name):
        problems.append("its name must be small letters, digits and underscores, at most 51")
    if strategy.table != f"{strategy.name}_signal":
        problems.append(f"its table must be {strategy.name}_signal, not {strategy.table}")
    given, needed = pl.Schema(strategy.schema), pl.Schema(SIGNAL_COLUMNS)
    if missing := [name for name in needed if name not in given]:
        problems.append(f"its schema lacks {', '.join(missing)}")
    problems += [
        f"{name} must be {needed[name]}, not {given[name]}"
        for name in needed
        if name in given and given[name] != needed[name]
    ]
    problems += [
        f"no column of a table can hold {name} ({kind})"
        for name, kind in given.items()
        if kind not in _STORABLE
    ]
    if "created_at" in given and list(given)[-1] != "created_at":
        problems.append("created_at must be its last column")
    return problems


STRATEGIES = register(Dolpha1(), OpeningRange())
DEFAULT_STRATEGY = next(iter(STRATEGIES))


def strategy_named(name: str) -> Strategy[Any]:
    """Return the strategy of that name. Raises InputError, which lists all names, if unknown."""
    if name not in STRATEGIES:
        raise InputError(f"there is no strategy {name!r}; there are: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def warm_up_sessions() -> int:
    """Return how many sessions before a day the strategies need."""
    return max(strategy.warm_up_sessions(strategy.params()) for strategy in STRATEGIES.values())
