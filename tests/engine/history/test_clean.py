"""The quick look leaves nothing out that the checks would find, and leaves most of a market out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.columns import BARS, SESSION, STAMP
from engine.history.checks import RELATIONS, all_checks, run_checks
from engine.history.clean import look_quickly
from engine.history.completeness import SETTLED
from engine.market.expected import expected_sessions, expected_stamps, with_grids
from engine.market.trading_days import trading_days
from engine.store import ledger

FIRST, LAST = date(2025, 9, 1), date(2025, 9, 8)
BEFORE, AFTER = date(2025, 8, 29), date(2025, 9, 9)
NOW = datetime(2025, 9, 30)
STOCKS = [f"{n:06}" for n in range(1, 61)]
BUSY, THIN, SPARSE = 1.0, 0.3, 0.01  # bars in so many of the minutes

Random = np.random.Generator
Damage = Callable[[pl.DataFrame, Random], pl.DataFrame]


def history(random: Random) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the bars of a market with the sessions around, and the ledger's rows of the rest."""
    stamps = expected_stamps(expected_sessions(STOCKS, BEFORE, AFTER))
    step = 10.0 * pl.Series(random.integers(-1, 2, stamps.height))
    share = stamps["symbol"].replace_strict(dict(zip(STOCKS, shares(random), strict=True)))
    kept = pl.Series(random.random(stamps.height)) < share
    close = 50_000 + pl.col("step").cum_sum().over("symbol")
    bars = (
        stamps.with_columns(step=step, volume=pl.Series(random.integers(1, 9_999, stamps.height)))
        .with_columns(close=close, open=close - pl.col("step"))
        .with_columns(
            high=pl.max_horizontal("open", "close") + 10, low=pl.min_horizontal("open", "close")
        )
        .rename({"stamp": "timestamp"})
        .select(list(BARS))
    )
    empty = marks(stamps.filter(~kept), "no_trade")
    markets = pl.DataFrame({"symbol": STOCKS, "market": "stocks"})
    rows = ledger.rows_from_marks(empty, NOW, markets)
    return bars.filter(kept), rows.filter(pl.col("session").is_between(FIRST, LAST))


def shares(random: Random) -> list[float]:
    return random.choice([BUSY, THIN, SPARSE], len(STOCKS), p=[0.5, 0.3, 0.2]).tolist()


def marks(stamps: pl.DataFrame, state: str) -> pl.DataFrame:
    columns = {"state": pl.lit(state), "attempts": 1, "reason": pl.lit("nothing was traded")}
    frame = stamps.with_columns(**columns, opened_at=pl.lit(NOW), answered_at=pl.lit(NOW))
    return frame.select(pl.col(name).cast(kind) for name, kind in ledger.MARKS.items())


def some(frame: pl.DataFrame, random: Random, count: int = 3) -> pl.Series:
    """Return a mask of so many rows."""
    chosen = random.choice(frame.height, count, replace=False)
    return pl.Series(np.isin(np.arange(frame.height), chosen))


def changed(**values: pl.Expr) -> Damage:
    def damage(bars: pl.DataFrame, random: Random) -> pl.DataFrame:
        hit = some(bars, random)
        return bars.with_columns(
            pl.when(hit).then(value).otherwise(pl.col(name)).cast(BARS[name]).alias(name)
            for name, value in values.items()
        )

    return damage


def repeated(bars: pl.DataFrame, random: Random, *, flat: bool) -> pl.DataFrame:
    """Write one bar over the seven after it."""
    start = int(random.integers(bars.height - 8))
    within = pl.int_range(pl.len()).is_between(start, start + 7)
    same = ("open", "high", "low", "close", "volume")
    row = bars.row(start, named=True)
    values = [pl.lit(row["close"] if flat and name != "volume" else row[name]) for name in same]
    return bars.with_columns(
        pl.when(within).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in zip(same, values, strict=True)
    )


def moved_to_saturday(bars: pl.DataFrame, random: Random) -> pl.DataFrame:
    friday = pl.col("timestamp").dt.date() == date(2025, 9, 5)
    one = bars.filter(friday).sample(2, seed=int(random.integers(2**31)))
    later = one.with_columns(pl.col("timestamp") + timedelta(days=1))
    return pl.concat([bars.join(one, on=["symbol", "timestamp"], how="anti"), later])


DAMAGES: dict[str, Damage] = {
    "nothing": lambda bars, _: bars,
    "lost": lambda bars, random: bars.filter(~some(bars, random)),
    "doubled": lambda bars, random: pl.concat([bars, bars.filter(some(bars, random))]),
    "between minutes": changed(timestamp=pl.col("timestamp") + timedelta(seconds=30)),
    "at night": changed(timestamp=pl.col("timestamp").dt.truncate("1d") + timedelta(hours=3)),
    "on a Saturday": moved_to_saturday,
    "negative volume": changed(volume=pl.lit(-1)),
    "no volume": changed(volume=pl.lit(None)),
    "half a won": changed(close=pl.col("close") + 0.5, high=pl.col("high") + 1),
    "high below low": changed(high=pl.col("low") - 10),
    "zero": changed(open=pl.lit(0), high=pl.lit(0), low=pl.lit(0), close=pl.lit(0)),
    "not a number": changed(open=pl.lit(float("nan"))),
    "jump": changed(high=pl.col("high") * 1.2),
    "fall": changed(low=pl.col("low") * 0.85),
    "beyond the limit": changed(high=pl.col("high") * 1.6, close=pl.col("close") * 1.6),
    "frozen": lambda bars, random: repeated(bars, random, flat=False),
    "frozen and flat": lambda bars, random: repeated(bars, random, flat=True),
}


def ledger_damage(rows: pl.DataFrame, bars: pl.DataFrame, random: Random) -> pl.DataFrame:
    """Give some rows other states, take some away, add one over stored bars and one twice."""
    states = pl.Series(random.choice(["open", "refused", "unavailable", "filled"], rows.height))
    state = pl.when(some(rows, random, 5)).then(states).otherwise(pl.col("state"))
    kept = rows.with_columns(state=state).filter(~some(rows, random, 5))
    within = bars.filter(pl.col("timestamp").dt.date().is_between(FIRST, LAST))
    over = within.sample(3, seed=int(random.integers(2**31))).select(
        "symbol",
        session=pl.col("timestamp").dt.date(),
        first_stamp="timestamp",
        last_stamp="timestamp",
    )
    template = rows.head(1).drop("symbol", "session", "first_stamp", "last_stamp")
    filled = template.with_columns(state=pl.lit("filled"))
    added = [over.join(one, how="cross").select(rows.columns) for one in (template, filled)]
    twice = rows.filter(some(rows, random, 2))
    later = twice.with_columns(first_stamp=pl.col("last_stamp"), updated_at=NOW + timedelta(1))
    return pl.concat([kept, *added, later])


def findings(
    targets: pl.DataFrame, all_targets: pl.DataFrame, bars: pl.DataFrame, found: pl.DataFrame
) -> pl.DataFrame:
    """Run the checks as `just validate` does, over bars of which some sessions are targets."""
    day = pl.col("timestamp").dt.date()
    rows = bars.with_columns(session=day, confirmed=False)
    pairs = rows.group_by(SESSION).len()
    neighbour = pairs.filter(
        ~pl.col("session").is_between(FIRST, LAST)
        | pl.struct(SESSION).is_in(all_targets.select(pl.struct(SESSION)).to_series().implode())
    ).join(targets, on=SESSION, how="anti")
    rows = rows.join(neighbour.select(*SESSION, context=True), on=SESSION, how="left")
    numbered, grids = with_grids(targets)
    kinds = {"kind": "stocks", "tick": 1.0, "last_day": None}
    relations = {
        "targets": numbered,
        "grids": grids,
        "bars": rows.with_columns(pl.col("context").fill_null(value=False)),
        "excused": found.filter(pl.col("state").is_in(SETTLED)).select(STAMP),
        "unavailable": found.filter(pl.col("state") == "unavailable"),
        "refused": found.filter(pl.col("state") == "refused"),
        "instruments": pl.DataFrame({"symbol": STOCKS}).with_columns(
            pl.lit(value).alias(name) for name, value in kinds.items()
        ),
        "trading_days": pl.DataFrame({"session": trading_days(BEFORE, AFTER)}).with_row_index(
            "number"
        ),
    }
    frames = {name: frame.select(list(RELATIONS[name])) for name, frame in relations.items()}
    return run_checks(all_checks(), frames)


def surveyed(targets: pl.DataFrame, bars: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the marks after the ledger was compared with the bars."""
    expected = expected_stamps(targets)
    there = bars.select("symbol", stamp="timestamp").unique()
    stored = expected.join(there, on=["symbol", "stamp"], how="semi").select(STAMP)
    before = ledger.marks_from_rows(rows.join(targets, on=SESSION, how="semi"), expected)
    return ledger.mark_missing(before, expected, stored, NOW)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_quick_look_leaves_out_has_no_finding(seed: int) -> None:
    random = np.random.default_rng(seed)
    bars, rows = history(random)
    for _ in range(2):
        for damage in DAMAGES.values():
            bars = damage(bars.sort("symbol", "timestamp"), random)
    rows = ledger_damage(rows, bars, random)
    targets = expected_sessions(STOCKS, FIRST, LAST)
    look = look_quickly(targets, bars.sample(fraction=1, shuffle=True, seed=seed), rows, AFTER)
    others = targets.join(look.clean, on=SESSION, how="anti")
    assert 0.2 < look.clean.height / targets.height < 0.8
    of_all, of_others = surveyed(targets, bars, rows), surveyed(others, bars, rows)
    expected = findings(targets, targets, bars, of_all)
    assert len(set(expected["check"])) >= 10
    assert_frame_equal(findings(others, targets, look.bars, of_others), expected)
    # Nothing in the ledger of clean sessions would change, and their counts are those of a survey.
    clean = of_all.join(look.clean, on=SESSION, how="semi").filter(pl.col("state") != "filled")
    assert set(clean["state"]) <= {"no_trade"}
    assert clean.height == look.clean["no_trade"].sum()
    assert look.clean.filter(pl.col("owed") != pl.col("stored") + pl.col("no_trade")).is_empty()


def test_a_market_without_a_fault_is_clean() -> None:
    bars, rows = history(np.random.default_rng(9))
    targets = expected_sessions(STOCKS, FIRST, LAST)
    look = look_quickly(targets, bars, rows, AFTER)
    # A single bar on the day after may have been moved there.
    assert look.clean.height > 0.99 * targets.height
    assert look.bars.height < 0.05 * bars.height


@pytest.mark.parametrize("name", sorted(set(DAMAGES) - {"nothing"}))
def test_no_damage_passes_for_clean(name: str) -> None:
    random = np.random.default_rng(4)
    bars, rows = history(random)
    within = pl.col("timestamp").dt.date().is_between(FIRST, LAST) & (pl.col("symbol") < "000031")
    hit = DAMAGES[name](bars.filter(within), random)
    targets = expected_sessions(STOCKS, FIRST, LAST)
    whole = look_quickly(targets, bars, rows, AFTER).clean
    after = look_quickly(targets, pl.concat([hit, bars.filter(~within)]), rows, AFTER).clean
    assert after.height < whole.height
