"""Histories to try strategies on: random ones with every fault of a feed, and the real file."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from tests.paths import FUTURES_FILE as REAL_FILE
from tests.paths import needs

needs_real_file = needs(REAL_FILE)


def real_bars() -> pl.DataFrame:
    """The real file as stored bars: KIS labels turned into stamps."""
    auction = pl.col("timestamp").dt.time() == pl.time(15, 45)
    stamp = pl.when(auction).then("timestamp").otherwise(pl.col("timestamp").dt.offset_by("1m"))
    return pl.read_parquet(REAL_FILE).with_columns(stamp.alias("timestamp"))


def session_bars(
    rng: np.random.Generator, first: datetime, minutes: int, gaps: float
) -> pl.DataFrame:
    """One session: a random walk, some minutes missing, some without volume."""
    close = 400 * np.exp(np.cumsum(rng.normal(0, 0.002, minutes)))
    opens = np.concatenate([[400 * np.exp(rng.normal(0, 0.004))], close[:-1]])
    spread = rng.uniform(0, 0.4, (2, minutes))
    bars = pl.DataFrame(
        {
            "timestamp": [first + timedelta(minutes=n) for n in range(minutes)],
            "open": opens,
            "high": np.maximum(opens, close) + spread[0],
            "low": np.minimum(opens, close) - spread[1],
            "close": close,
            "volume": rng.integers(0, 3, minutes) * rng.integers(0, 900, minutes),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )
    return bars.filter(pl.Series(rng.random(minutes) >= gaps))


@st.composite
def histories(
    draw: st.DrawFn,
    *,
    symbols: tuple[str, ...] = ("X",),
    sessions: int = 9,
    fewest: int = 5,
    minutes: int = 24,
    gaps: tuple[float, ...] = (0.0, 0.1, 0.5),
) -> pl.DataFrame:
    """Bars of some symbols: gaps, late openings, whole sessions missing, volumes of zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    missing = draw(st.sampled_from(gaps))
    days = draw(st.lists(st.integers(0, 14), min_size=fewest, max_size=sessions, unique=True))
    late = draw(st.sampled_from([0, 0, 7]))
    frames = [
        session_bars(
            rng,
            datetime.combine(date(2025, 9, 1), datetime.min.time())
            + timedelta(days=day, hours=8, minutes=46 + late * int(rng.integers(0, 2))),
            minutes,
            missing,
        ).with_columns(pl.lit(symbol).alias("symbol"))
        for symbol in symbols
        for day in sorted(days)
    ]
    return pl.concat(frames)


def shuffled(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    return bars.sample(fraction=1, shuffle=True, seed=seed)
