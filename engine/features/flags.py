"""What is wrong with the rows and snapshots of a chain, and its text: `flags` of the summary."""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features.chain import (
    HOLE,
    IS_CALL,
    IS_CROSSED,
    IS_PUT,
    IS_SOUND,
    SNAPSHOT,
    is_stale_price,
    snapshot_measures,
    strikes_above_atm,
)
from engine.features.vendor import is_vendor_wrong
from engine.schemas import LEVELS

ROW_FLAGS = (
    "all_zero",
    "crossed",
    "duplicate",
    "no_strike",
    "old_vendor",
    "stale",
    "stale_price",
    "unknown_side",
    "wrong_side",
)
UNUSABLE = ("no_atm", "no_forward", "swapped")
SNAPSHOT_FLAGS = (*UNUSABLE, "incomplete", "no_calls", "no_puts")


def with_row_flags(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Add those of ROW_FLAGS that a chain with its forward lacks, and what follows from all.

    `above` is `strikes_above_atm`, `near_strike` the strike if it is within LEVELS of ATM (or there
    is no ATM), `sound` says that the row can be used and `quote` is its last price if that can.
    """
    flags, usable, quote = _row_columns()
    return chain.with_columns(**flags).with_columns(**usable).with_columns(**quote)


@cache
def _row_columns() -> tuple[dict[str, pl.Expr], ...]:
    """Return the columns of `with_row_flags`, in three steps."""
    claims = IS_SOUND.sum().over(*SNAPSHOT, "strike", "option_type")
    is_near = (pl.col("above").abs() <= LEVELS).fill_null(value=True)
    return (
        {
            "crossed": IS_CROSSED,
            "stale_price": is_stale_price().fill_null(value=False),
            "old_vendor": is_vendor_wrong(),
            "duplicate": IS_SOUND & (claims > 1),
            "above": strikes_above_atm().over(SNAPSHOT),
        },
        {
            "sound": IS_SOUND & ~pl.col("duplicate"),
            "near_strike": pl.when(is_near).then("strike"),
        },
        {"quote": pl.when(pl.col("sound") & ~pl.col("crossed")).then("price")},
    )


def flag_measures() -> dict[str, pl.Expr]:
    """Return what SNAPSHOT_FLAGS are told from, for a group of rows `with_row_flags`.

    The `snapshot_measures`, and those flags that `snapshot_findings` does not tell from them.
    """
    above = pl.when(pl.col("near_strike").is_not_null()).then("above")
    quote = pl.when(above.is_not_null()).then("quote")
    out = pl.when(quote.is_not_null()).then(pl.when(IS_CALL).then(above).when(IS_PUT).then(-above))
    widest = pl.col("strike").unique().sort().diff().max()
    return {
        **snapshot_measures(out, quote),
        "incomplete": (widest > HOLE * pl.col("forward").min()).fill_null(value=False),
        "no_calls": pl.col("quote").filter(IS_CALL).count() == 0,
        "no_puts": pl.col("quote").filter(IS_PUT).count() == 0,
    }


@cache
def flags_text() -> pl.Expr:
    """Return the names of all flags that are true, sorted, joined with commas; NULL without one.

    For a frame with a column for each of ROW_FLAGS and SNAPSHOT_FLAGS, one row a snapshot.
    """
    names = (
        pl.when(pl.col(flag)).then(pl.lit(flag)) for flag in sorted((*ROW_FLAGS, *SNAPSHOT_FLAGS))
    )
    text = pl.concat_str(*names, separator=",", ignore_nulls=True)
    return pl.when(text != "").then(text)
