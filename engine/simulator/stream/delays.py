"""When the frame of an event leaves the simulator.

KIS's frames are received 0.5 s (p50), 0.9 s (p90) and 1.0 s (p99) after the exchange's time, which
is cut off to whole seconds: a true delay of a few milliseconds looks like that. At worst 4.2 s were
seen: for some seconds a day nothing comes, then all at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.simulator.market.dice import Ints, uniforms

LATENCY = (4.0, 12.0)  # milliseconds: at least, and the mean of what comes on top
LONGEST_LATENCY = 60.0
STALLS_AN_HOUR = 0.4
STALL = (500.0, 3_100.0)  # milliseconds, shortest and longest
_MINUTE = 60_000


def departures(happened_at: pl.Series, seed: int) -> pl.Series:
    """Return when the frames of these moments leave, none before that of an earlier moment.

    All symbols stall together, as they come from one server.
    """
    moment = happened_at.dt.epoch("ms").to_numpy()
    drawn = -np.log1p(-uniforms((seed, "latency"), moment))
    latency = np.minimum(LATENCY[0] + LATENCY[1] * drawn, LONGEST_LATENCY).astype("i8")
    leaves = _after_stalls(moment, seed) + latency
    return pl.Series(np.maximum.accumulate(leaves)).cast(pl.Datetime("ms")).cast(pl.Datetime("us"))


def _after_stalls(moment: Ints, seed: int) -> Ints:
    minute = moment // _MINUTE
    stalls = uniforms((seed, "stall"), minute) < STALLS_AN_HOUR / 60
    shortest, longest = STALL
    length = shortest + (longest - shortest) * uniforms((seed, "length"), minute)
    start = (_MINUTE - length) * uniforms((seed, "start"), minute)
    inside = moment - minute * _MINUTE
    held = stalls & (inside >= start) & (inside < start + length)
    return np.asarray(np.where(held, minute * _MINUTE + (start + length).astype("i8"), moment))
