"""When a frame of something that happened leaves the simulator.

Measured from the whole seconds of the exchange's time, KIS's frames are received after 0.5 s in the
median, 0.9 s (p90) and 1.0 s (p99): that is what truncation to seconds makes of a delay of a few
milliseconds. At worst 4.2 s were seen: for some seconds a day nothing comes, then all at once.
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
    """Return when the frames of these moments leave, never before one that happened earlier.

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
