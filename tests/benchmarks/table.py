"""The table of a run, as a person reads it on 120 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.benchmarks.rows import Row

WIDTH = 120  # columns
WHAT = 52  # columns for the name of a row


def console() -> Console:
    """Return the terminal; a file gets as many columns as the table wants."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH)


def table(rows: Sequence[Row], title: str) -> Table:
    """Draw the rows, a line between the parts."""
    drawn = Table(
        title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, caption=_caption(rows)
    )
    drawn.add_column("part", no_wrap=True)
    drawn.add_column("what", ratio=1)
    for name in ("median", "p99", "baseline", "ratio", "target"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("", no_wrap=True)
    parts = [row.part for row in rows]
    for row, part, following in zip(rows, parts, [*parts[1:], ""], strict=False):
        drawn.add_row(*cells(row), end_section=part != following)
    return drawn


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's texts: part, what, median, p99, baseline, ratio, target, whether it holds."""
    return (
        row.part,
        row.what,
        amount(row.median, row.unit),
        "" if row.p99 is None else amount(row.p99, row.unit),
        "" if row.baseline is None else amount(row.baseline, row.unit),
        "" if row.ratio is None else f"{number(row.ratio)} ×",
        _target(row),
        {True: "✅", False: "❌", None: ""}[row.holds],
    )


def _target(row: Row) -> str:
    parts = [f"≥ {number(row.least)} ×"] if row.least is not None else []
    return ", ".join([*parts, f"< {amount(row.most, row.unit)}"] if row.most else parts)


def _caption(rows: Sequence[Row]) -> str:
    aimed = [row for row in rows if row.holds is not None]
    held = sum(bool(row.holds) for row in aimed)
    note = "ratio: how many times as fast as the baseline, measured in turns with it in this run"
    return f"{note}\n{held} of {len(aimed)} targets hold" if aimed else note


def amount(value: float, unit: str) -> str:
    """Write an amount in the size that suits it: 1.23 s, 4.56 ms, 512 MB."""
    if unit != "s":
        return f"{value:,.0f} {unit}"
    if value == 0:
        return "0 s"
    units = ((1.0, "s"), (1e-3, "ms"))
    size, name = next((unit for unit in units if value >= unit[0]), (1e-6, "µs"))
    return f"{number(value / size)} {name}"


def number(value: float) -> str:
    """Write three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
