"""What a backtest is made of: bars from a file or the stored history, parameters, rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import polars as pl
from pydantic import BaseModel, ValidationError

from engine.errors import InputError
from engine.history.bar_file_times import BarTimes
from engine.market.nights import session_of
from engine.settings import DataKind
from pipelines.databases import open_reader
from pipelines.evaluation.bars import read_bar_file, read_stored_bars
from strategies.base import Params, Strategy

Model = TypeVar("Model", bound=BaseModel)
Source: TypeAlias = Path | DataKind  # of bars: a file, or a database of one kind


def read_bars(
    strategy: Strategy[Any],
    params: Params,
    file: Path | None,
    symbols: Sequence[str],
    start: date | None,
    end: date | None,
    database: DataKind | None,
    bar_times: BarTimes | None = None,
) -> tuple[pl.DataFrame, Source]:
    """Return the bars to trade on, warm-up included, and where they are from.

    `bar_times` says what the times in the file are. Raises InputError if there are no bars.
    """
    if start and end and start > end:
        raise InputError(f"--from {start} is after --to {end}")
    if file:
        bars = read_bar_file(file, symbols, bar_times)
        session = session_of(pl.col("symbol"), pl.col("timestamp"))
        return (bars.filter(session <= end) if end else bars), file
    warm_up = strategy.warm_up_sessions(params)
    with open_reader(database) as opened:
        traded = symbols or ("A01",)
        bars = read_stored_bars(opened.url, traded, start, end, warm_up=warm_up, adjusted=True)
        return bars, opened.kind


def parse_params(model: type[Model], texts: Sequence[str]) -> Model:
    """Read name=value texts into a model. Raises InputError in one line."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"{wrong[0]!r}: write name=value, as in --param band_multiplier=1.5")
    return validate_model(model, {name: value for name, _, value in pairs})


def validate_model(model: type[Model], values: dict[str, Any]) -> Model:
    """Return the values as a model. Raises InputError, in one line, if one does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        names = ", ".join(model.model_fields)
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InputError(f"there is no {key}: choose one of {names}") from error
        raise InputError(f"{key}: {first['msg']} (known are {names})") from error
