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
    """
    flags = _NAMED_TWICE if shares else _AS_WRITTEN
    return plan.collect(engine="in-memory", optimizations=flags)
