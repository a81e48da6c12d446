"""Seeded damage to a table of bars, and the findings that a validation must report for it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from engine.store import Store
from engine.store.identifiers import literal

KINDS = ("deleted", "doubled", "shifted", "ohlc", "tick", "volume", "jump", "limit", "frozen")
STOCK_KINDS = tuple(kind for kind in KINDS if kind != "limit")  # days before are missing there
_FUTURES_STEPS = {
    "limit": ["high = 1999.95", "low = 50.05"],
    "ohlc": ["high = low - 0.05", "low = high + 0.05", "close = 0", "open = 'NaN'"],
    "tick": ["high = high + 0.02", "low = low - 0.01"],
}
_STOCK_STEPS = {
    "ohlc": ["high = low - 1", "low = high + 1", "close = 0", "open = 'NaN'"],
    "tick": ["high = high + 0.5", "low = low - 0.25"],
    "jump": ["+ round(low / 4)", "- round(high / 4)"],
}
STEPS = {
    "futures_1m": _FUTURES_STEPS
    | {"jump": ["+ 12.5", "- 9.5", "+ 25"], "limit": ["high = 999.95", "low = 50.05"]},
    "futures_night_1m": _FUTURES_STEPS | {"jump": ["+ 30", "- 40", "+ 55"]},
    "stocks_1m": _STOCK_STEPS,
    "stocks_venue_1m": _STOCK_STEPS,
}


@dataclass
class Damage:
    """Statements that do the damage, and (check, stamp) of every finding that must follow."""

    table: str = "futures_1m"
    statements: list[str] = field(default_factory=list)
    expected: set[tuple[str, str, datetime]] = field(default_factory=set)


def plan_damage(bars: pl.DataFrame, seed: int, of_each: int, table: str = "futures_1m") -> Damage:
    """Choose bars (columns.BARS) to damage, `of_each` for each kind, apart from each other."""
    chance = random.Random(seed)  # noqa: S311
    damage = Damage(table)
    kinds = STOCK_KINDS if table.startswith("stocks") else KINDS
    positions = chance.sample(range(20, bars.height - 20, 12), of_each * len(kinds))
    for number, position in enumerate(positions):
        _KINDS[kinds[number % len(kinds)]](damage, bars.slice(position, 3).to_dicts(), chance)
    return damage


async def apply_damage(store: Store, damage: Damage) -> None:
    """Damage the table; its primary key is dropped, so that a row can be stored twice."""
    table = damage.table
    await store.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    for statement in damage.statements:
        await store.execute(statement)


def _where(bar: dict) -> str:
    return f"WHERE symbol = {literal(bar['symbol'])} AND timestamp = {literal(bar['timestamp'])}"


def _set(damage: Damage, bar: dict, what: str) -> None:
    damage.statements.append(f"UPDATE {damage.table} SET {what} {_where(bar)}")


def _expect(damage: Damage, check: str, bar: dict, stamp: datetime | None = None) -> None:
    damage.expected.add((check, bar["symbol"], stamp or bar["timestamp"]))


def _deleted(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    for bar in bars[: chance.randint(1, 3)]:
        damage.statements.append(f"DELETE FROM {damage.table} {_where(bar)}")
        _expect(damage, "missing", bar)


def _doubled(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    times = chance.randint(1, 2)
    damage.statements.append(
        f"INSERT INTO {damage.table} SELECT t.* FROM {damage.table} AS t,"
        f" generate_series(1, {times}) {_where(bars[0])}"
    )
    _expect(damage, "doubled", bars[0])


def _shifted(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    by = chance.choice([timedelta(seconds=30), timedelta(hours=12), timedelta(hours=-12)])
    _set(damage, bars[0], f"timestamp = timestamp + interval '{by.total_seconds()} seconds'")
    _expect(damage, "missing", bars[0])
    _expect(damage, "unexpected", bars[0], bars[0]["timestamp"] + by)


def _ohlc(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    _set(damage, bars[0], chance.choice(STEPS[damage.table]["ohlc"]))
    _expect(damage, "ohlc", bars[0])


def _tick(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    _set(damage, bars[0], chance.choice(STEPS[damage.table]["tick"]))
    _expect(damage, "tick", bars[0])


def _volume(damage: Damage, bars: list[dict], _: random.Random) -> None:
    _set(damage, bars[0], "volume = -volume")
    _expect(damage, "volume", bars[0])


def _jump(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    by = chance.choice(STEPS[damage.table]["jump"])
    _set(damage, bars[0], ", ".join(f"{c} = {c} {by}" for c in ("open", "high", "low", "close")))
    _expect(damage, "jump", bars[0])


def _limit(damage: Damage, bars: list[dict], chance: random.Random) -> None:
    what = chance.choice(STEPS[damage.table]["limit"])
    _set(damage, bars[0], what)
    _expect(damage, "limit", bars[0])
    _expect(damage, "jump", bars[0])


def _frozen(damage: Damage, bars: list[dict], _: random.Random) -> None:
    columns = ("open", "high", "low", "close", "volume")
    first, last = bars[0], bars[-1]
    alike = first["high"] > first["low"] and first["symbol"] == last["symbol"]
    if not alike or first["timestamp"].date() != last["timestamp"].date():
        return  # a flat bar may repeat by chance, and the bars must be of one session and symbol
    for bar in bars[1:]:
        _set(damage, bar, ", ".join(f"{c} = {literal(bars[0][c])}" for c in columns))
        _expect(damage, "frozen", bar)


_KINDS = {
    "deleted": _deleted,
    "doubled": _doubled,
    "shifted": _shifted,
    "ohlc": _ohlc,
    "tick": _tick,
    "volume": _volume,
    "jump": _jump,
    "limit": _limit,
    "frozen": _frozen,
}
