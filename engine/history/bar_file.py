"""A file of bars, such as people keep from KIS or from another source: Parquet or CSV.

It has the columns symbol, timestamp, open, high, low, close, volume, in any order of its rows. A
symbol may be a front month, such as A01_FRONT. Times without a zone are Seoul's. They are read as
KIS's labels, be they starts or ends of minutes in the file (`engine.history.bar_file_times`). Rows
that cannot be right are not corrected: the file is refused with a table of findings.

`bar_file_forms` reads Parquet and CSV, `bar_file_values` the single values, `bar_file_checks` finds
what is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.columns import PRICES
from engine.history.bar_file_checks import (
    double_check,
    find,
    is_without_trade,
    price_checks,
    refuse,
)
from engine.history.bar_file_forms import ROW, read_table
from engine.history.bar_file_times import BarTimes, minute_check, with_labels
from engine.history.bar_file_values import typed_rows, value_checks

log = logging.getLogger(__name__)

COLUMNS = ("symbol", "timestamp", *PRICES, "volume")
_KEY = ("symbol", "timestamp")


def scan_bar_file(
    path: Path,
    *,
    times: BarTimes | None = None,
    as_recorded: bool = False,
    besides: Sequence[str] = (),
) -> pl.LazyFrame:
    """Return the bars of a file: COLUMNS, with KIS's labels, by symbol and time, each once.

    `times` says what the times in the file are; else the file is to show it. `as_recorded` keeps
    what KIS gave and no session or market can have had: rows outside the session, impossible
    prices. `besides` names further columns, which tell rows of the same minute apart. Raises
    InputError, or FileError with findings, in one line that names the file.
    """
    table = read_table(path, (*COLUMNS, *besides))
    typed = typed_rows(table)
    checks = [*value_checks(table, typed), minute_check()]
    refuse(table, find(table, typed, checks if as_recorded else [*checks, *price_checks()]))
    columns = [*COLUMNS, *besides]
    bars = with_labels(table, typed.select(ROW, *columns), times)
    if not as_recorded:
        bars = _expected_bars(path, bars)
    bars = _without_repetitions(path, bars.select(ROW, *columns), columns)
    refuse(table, find(table, bars, [double_check((*_KEY, *besides))]))
    whole = pl.col("volume").cast(pl.Int64)
    return bars.sort(*_KEY, *besides).with_columns(whole).select(columns).lazy()


def _expected_bars(path: Path, bars: pl.DataFrame) -> pl.DataFrame:
    """Leave out rows outside the session and minutes before the first trade, and say so."""
    outside = bars.filter(~pl.col("expected")).sort("timestamp")
    if outside.height:
        first = " ".join(map(str, outside.select(_KEY).row(0)))
        log.warning(
            "⚠️ %s: %d of %d rows lie outside their session and are left out, the first %s",
            path,
            outside.height,
            bars.height,
            first,
        )
    inside = bars.filter("expected")
    kept = inside.filter(~is_without_trade())
    if kept.height < inside.height:
        empty = inside.height - kept.height
        log.warning("⚠️ %s: %d rows without price and volume are left out", path, empty)
    return kept


def _without_repetitions(path: Path, bars: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Keep the first of rows that say the same, and say how many there were."""
    kept = bars.unique(columns, keep="first", maintain_order=True)
    if kept.height < bars.height:
        repeated = bars.height - kept.height
        log.warning("⚠️ %s: %d rows say what another says and count once", path, repeated)
    return kept
