"""Plans over few rows in memory: run as they are written.

To rearrange a plan costs Polars about a millisecond, more than it saves with some hundred rows. It
imports nothing of ours, so that even features may use it.
"""

from __future__ import annotations

import polars as pl

_AS_WRITTEN = pl.QueryOptFlags.none()
_NAMED_TWICE = pl.QueryOptFlags.none(comm_subexpr_elim=True)


def collect_few(plan: pl.LazyFrame, *, shares: bool = False) -> pl.DataFrame:
    """Return what a plan gives, without any rearrangement of its steps.

    `shares`: what several of its columns need is computed once; worth it where that is much.

    The whole plan runs in Polars' pool: `LazyFrame.collect` hands over many a step by itself, and
    each time two threads wait for each other (a chain's minute: 235 times, and so 57).
    """
    flags = _NAMED_TWICE if shares else _AS_WRITTEN
    (found,) = pl.collect_all([plan], engine="in-memory", optimizations=flags)
    return found
