"""What is wrong with the rows of a file of bars: a table of findings, or one line.

| column    | meaning                                     |
|-----------|---------------------------------------------|
| reason    | what is wrong, the same for all of its rows |
| rows      | how many                                    |
| first_row | the number of the first, as people count    |
| example   | what the file holds there                   |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from engine.columns import PRICES
from engine.errors import FileError
from engine.history.bar_file_forms import ROW, BarTable

FINDINGS = pl.Schema(
    [
        ("reason", pl.String()),
        ("rows", pl.Int64()),
        ("first_row", pl.Int64()),
        ("example", pl.String()),
    ]
)

# Of the years that Python knows, but for the first and last day: a zone may shift them.
_FIRST_TIME, _LAST_TIME = -62_135_510_400_000_000, 253_402_214_400_000_000  # µs from 1970


@dataclass(frozen=True)
class RowCheck:
    """A reason to refuse rows: `wrong` is true for them, `shown` names the columns to show."""

    reason: str
    wrong: pl.Expr
    shown: Sequence[str]


def find(table: BarTable, bars: pl.DataFrame, checks: Iterable[RowCheck]) -> pl.DataFrame:
    """Return FINDINGS of bars, which have `row`, the number of their row in the table."""
    checks = list(checks)
    counts = [check.wrong.sum().alias(f"count {n}") for n, check in enumerate(checks)]
    firsts = [
        pl.col(ROW).filter(check.wrong).min().alias(f"first {n}") for n, check in enumerate(checks)
    ]
    numbers = bars.lazy().select(*counts, *firsts).collect().row(0)
    found = []
    for check, count, first in zip(checks, numbers, numbers[len(checks) :], strict=False):
        if count:
            shown = _example(table, first, check.shown)
            found.append((check.reason, count, table.first_place + first, shown))
    return pl.DataFrame(found, FINDINGS, orient="row").sort("first_row", maintain_order=True)


def _example(table: BarTable, row: int, columns: Sequence[str]) -> str:
    """Return what the file holds in a row: the columns, after those that say which bar it is."""
    names = list(dict.fromkeys([*columns, "symbol", "timestamp"]))
    held = table.rows.filter(pl.col(ROW) == row).select(names)
    values = held.with_columns(cs.datetime().pipe(without_far_times)).row(0, named=True)
    told = ", ".join(f"{name} is {_text(values[name])}" for name in columns)
    rest = " ".join(_text(value) for name, value in values.items() if name not in columns)
    return f"{told} ({rest})" if rest else told


def _text(value: object) -> str:
    return "empty" if value is None else str(value)


def without_far_times(time: pl.Expr) -> pl.Expr:
    """Return the times, null where no calendar has such a year: Python cannot show them."""
    return pl.when(time.dt.epoch("us").is_between(_FIRST_TIME, _LAST_TIME)).then(time)


def refuse(table: BarTable, found: pl.DataFrame) -> None:
    """Raise FileError if anything was found, in one line with the first finding."""
    if found.is_empty():
        return
    reason, rows, first, example = found.row(0)
    more = f", and {rows - 1} more such rows" if rows > 1 else ""
    first_finding = f"{reason}: {example} in {table.place} {first}{more}"
    kinds = f"{found.height} kinds of faults in its rows; first " if found.height > 1 else ""
    raise FileError(f"{table.path}: {kinds}{first_finding}", found)


def price_checks() -> list[RowCheck]:
    """Return the checks of prices that no market can have had."""
    known = pl.all_horizontal(pl.col(name).is_finite().fill_null(value=False) for name in PRICES)
    lowest, highest = pl.min_horizontal(PRICES), pl.max_horizontal(PRICES)
    return [
        RowCheck("a price is not above 0", known & (lowest <= 0) & ~is_without_trade(), PRICES),
        RowCheck("high is not the highest price", known & (pl.col("high") < highest), PRICES),
        RowCheck("low is not the lowest price", known & (pl.col("low") > lowest), PRICES),
    ]


def is_without_trade() -> pl.Expr:
    """Say which rows are KIS's form of a minute without any trade yet: zeros all over."""
    return pl.all_horizontal(pl.col(name) == 0 for name in (*PRICES, "volume"))


def double_check(key: Sequence[str]) -> RowCheck:
    """Return the check of minutes that stand there twice with different values."""
    shown = [*PRICES, "volume"]
    return RowCheck(
        "a minute stands there again with other values", pl.struct(key).is_duplicated(), shown
    )
