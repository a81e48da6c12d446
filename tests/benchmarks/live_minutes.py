"""The minutes of a session live, after some that are known; in a process that needs no pandas."""

from __future__ import annotations

import json
import sys
from datetime import date

import numpy as np
import polars as pl

from engine.market import sessions
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1
from strategies.window import LiveWindow
from tests.benchmarks.rows import seconds_taken
from tests.stamps import stamps_between

STRATEGY = Dolpha1()
PARAMS = Dolpha1Params()


def bars(symbols: int, days: int) -> pl.DataFrame:
    """Return full sessions of so many stocks on the real calendar, a random walk each."""
    last = date(2026, 10, 30)
    start = sessions.previous_sessions(sessions.Market.DERIVATIVES, last, days - 1)[0]
    expected = stamps_between(["A01_FRONT"], start, last).rename({"stamp": "timestamp"})
    rng = np.random.default_rng(1)

    def bars_of(number: int) -> pl.DataFrame:
        close = 400 * np.exp(np.cumsum(rng.normal(0, 0.0008, expected.height)))
        opens = np.concatenate([[400.0], close[:-1]])
        return expected.select("timestamp").with_columns(
            pl.lit(f"{number:06d}").alias("symbol"),
            pl.Series("open", opens),
            pl.Series("high", np.maximum(opens, close) + 0.1),
            pl.Series("low", np.minimum(opens, close) - 0.1),
            pl.Series("close", close),
            pl.Series("volume", rng.integers(0, 500, expected.height)),
        )

    return pl.concat(bars_of(number) for number in range(symbols))


def live_minutes(days: int, most: int) -> list[float]:
    """Return the seconds that each minute of a session takes with so many sessions before it.

    Of so many minutes at most, from the first on.
    """
    frame = bars(1, days + 1)
    today = frame["timestamp"][-1].date()
    of_today = pl.col("timestamp").dt.date() == today
    window = LiveWindow(STRATEGY, PARAMS, "000000", frame.filter(~of_today), since=today)
    live, out = frame.filter(of_today), []
    for n in range(1, min(live.height, most) + 1):
        answer = live[max(0, n - 102) : n]
        out.append(seconds_taken(lambda answer=answer: window.push(answer)))
    return out


if __name__ == "__main__":
    known, lived = map(int, sys.argv[1:])
    sys.stdout.write(json.dumps({"minutes": live_minutes(known, lived)}))
