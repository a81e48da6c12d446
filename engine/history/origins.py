"""Where a day's bars came from, and what REST changed of what the feed had given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from engine.columns import PRICES
from engine.history.queries import between_dates, symbols_by_table
from engine.store import Store
from engine.store.identifiers import literals


@dataclass(frozen=True)
class Origins:
    """Counts of a day's bars and signals.

    `by_feed` are the bars that the feed gave first: `confirmed` ones have the values that REST gave
    later, `replaced` ones had others, the rest is not confirmed yet. `restored` are replaced ones
    for which REST gave the feed's values in the end. `corrected_signals` are signals that changed
    after they had been given, by cause: feed (REST replaced a bar of the feed) and rest (KIS gave a
    bar late or corrected one).
    """

    by_feed: int
    confirmed: int
    replaced: int
    restored: int
    corrected_signals: dict[str, int]


async def read_origins(store: Store, symbols: Sequence[str], day: date) -> Origins:
    """Count what is stored of the symbols' bars and signals of a day."""
    tables = symbols_by_table(symbols)
    codes = literals([code for found in tables.values() for code in found] or [""])
    span = between_dates(day, day)
    if not tables:
        return Origins(0, 0, 0, 0, {"feed": 0, "rest": 0})
    bars = [
        "SELECT count(*) AS stored, count(confirmed_at) AS confirmed, 0 AS replaced,"  # noqa: S608 - quoted
        f" 0 AS restored FROM {table}"
        f" WHERE source = 'feed' AND symbol IN ({literals(found)}) AND {span}"
        for table, found in tables.items()
    ]
    is_restored = f"({_values('old')}) = ({_values('now')})"
    replaced = [
        "SELECT 0, 0, count(DISTINCT (symbol, timestamp)),"  # noqa: S608 - quoted
        f" count(DISTINCT (symbol, timestamp)) FILTER (WHERE {is_restored})"
        f" FROM replaced_bars AS old LEFT JOIN {table} AS now USING (symbol, timestamp)"
        " WHERE old.source = 'feed' AND new_source = 'rest'"
        f" AND symbol IN ({literals(found)}) AND {span}"
        for table, found in tables.items()
    ]
    counted = pl.DataFrame(await store.query(" UNION ALL ".join([*bars, *replaced])))
    stored, confirmed, gone, restored = counted.sum().row(0)
    changed = await store.query(
        "SELECT cause, count(DISTINCT (table_name, symbol, timestamp)) AS signals"  # noqa: S608 - quoted
        f" FROM signal_corrections WHERE symbol IN ({codes}) AND {span} GROUP BY cause"
    )
    causes = {"feed": 0, "rest": 0} | dict(pl.DataFrame(changed).iter_rows())
    return Origins(stored + gone, confirmed, gone, restored, causes)


def _values(row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in (*PRICES, "volume"))
