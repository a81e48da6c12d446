"""Checks that look at suspects alone, or at grids, find what their plain definitions find."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.columns import PRICES
from engine.history.checks import RELATIONS, all_checks, run_checks
from engine.market.expected import expected_sessions, expected_stamps, with_grids
from engine.market.trading_days import trading_days

FIRST, LAST = date(2026, 11, 11), date(2026, 11, 13)
NAMES = {
    "005930": ("stocks", 1.0),
    "A01612": ("derivatives", 0.05),
    "A01612_NIGHT": ("night", 0.05),
    "005930_NX": ("stocks", 1.0),
}
PLAIN = Path(__file__).with_name("plain_checks")
SESSIONS = expected_sessions(NAMES, FIRST, LAST)
STAMPS = expected_stamps(SESSIONS)
ODD_FACTORS = (1.005, 1.015, 0.98, 1.12, 0.85, 1.31, 0.69, 3.0, 0.0, -1.0, float("nan"))


def damaged_bars(random: np.random.Generator) -> pl.DataFrame:
    """Return bars with prices, times, halts and limits as no market has them."""
    kept = STAMPS.filter(pl.Series(random.random(STAMPS.height) < random.choice([0.2, 0.9, 1.0])))
    count = kept.height
    close = 1_000 * np.exp(np.cumsum(random.normal(0, random.choice([2e-4, 5e-3]), count)))
    frame = kept.select(
        "symbol",
        "session",
        timestamp="stamp",
        open=pl.Series(np.roll(close, 1)),
        close=pl.Series(close),
        volume=pl.lit(5),
        context=pl.col("session") == FIRST if random.random() < 0.5 else pl.lit(value=False),
        confirmed=pl.Series(random.random(count) < 0.02),
    ).with_columns(
        high=pl.max_horizontal("open", "close") * 1.0002,
        low=pl.min_horizontal("open", "close") * 0.9998,
    )
    for _ in range(random.integers(1, 12)):
        at, length = random.integers(0, count), random.choice([1, 1, 2, 3, 8, 60])
        factor = random.choice(ODD_FACTORS)
        place = pl.int_range(pl.len()).is_between(at, at + length - 1)
        names = [name for name in PRICES if random.random() < 0.7]
        damaged = [pl.when(place).then(pl.col(n) * factor).otherwise(n).alias(n) for n in names]
        frame = frame.with_columns(damaged)
    moved = frame.sample(5, seed=int(random.integers(1_000))).with_columns(
        pl.col("timestamp") + timedelta(seconds=int(random.choice([30, 7_200])))
    )
    # Which of two bars of one time is the neighbour of a third is left to the query.
    return pl.concat([frame, moved]).unique(["symbol", "timestamp"], keep="first")


@pytest.mark.parametrize("name", ["jump", "unexpected"])
def test_what_is_found_is_what_the_plain_definition_finds(name: str) -> None:
    targets, grids = with_grids(SESSIONS.filter(pl.col("session") > FIRST))
    days = trading_days(FIRST - timedelta(days=1), LAST + timedelta(days=1))
    rows = [(code, kind, tick, date(2026, 12, 10)) for code, (kind, tick) in NAMES.items()]
    (check,) = [check for check in all_checks() if check.name == name]
    plain = replace(check, query=(PLAIN / f"{name}.sql").read_text("utf-8"))
    numbers = []
    for seed in range(16):
        relations = {
            "targets": targets,
            "grids": grids,
            "bars": damaged_bars(np.random.default_rng(seed)).select(list(RELATIONS["bars"])),
            "trading_days": pl.DataFrame({"session": days}).with_row_index("number"),
            "instruments": pl.DataFrame(rows, RELATIONS["instruments"], orient="row"),
        }
        found = run_checks([check], relations)
        assert_frame_equal(found, run_checks([plain], relations))
        numbers.append(found.height)
    assert sum(number > 0 for number in numbers) > 4
