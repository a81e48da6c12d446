"""The strategies there are: one line each."""

from __future__ import annotations

from typing import Any

from engine.errors import InputError
from strategies.base import Strategy
from strategies.dolpha1 import Dolpha1
from strategies.opening_range import OpeningRange

STRATEGIES: dict[str, Strategy[Any]] = {s.name: s for s in (Dolpha1(), OpeningRange())}


def strategy_named(name: str) -> Strategy[Any]:
    """Return the strategy of that name; raises InputError where there is none."""
    if name not in STRATEGIES:
        raise InputError(f"there is no strategy {name!r}; there are: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
