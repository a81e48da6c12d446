"""The findings about bad chains, as rows to be logged and as text for the summary."""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features import chain as board
from engine.features.chain import IS_CALL, IS_PUT, SNAPSHOT
from engine.schemas import LEVELS

ROW_FLAGS = ("all_zero", "crossed", "duplicate", "no_strike", "stale", "unknown_side", "wrong_side")
UNUSABLE = ("no_atm", "no_underlying", "swapped")
SNAPSHOT_FLAGS = (*UNUSABLE, "incomplete", "no_calls", "no_puts")


def chain_flags(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per finding: timestamp, underlying_symbol, flag, rows, example; in that order.

    The flags are those of `engine.features.chain`. `rows` says how many rows are concerned and
    `example` is the lowest code among them; both are NULL for a finding about the whole snapshot.
    A chain without fault gives no row.
    """
    rows = judged(chain)
    found = {"variable_name": "flag", "value_name": "found"}
    about_rows = (
        rows.unpivot(ROW_FLAGS, index=[*SNAPSHOT, "symbol"], **found)
        .filter("found")
        .group_by(*SNAPSHOT, "flag")
        .agg(rows=pl.len(), example=pl.col("symbol").min())
    )
    about_all = (
        rows.group_by(SNAPSHOT)
        .agg(**snapshot_flags())
        .unpivot(SNAPSHOT_FLAGS, index=SNAPSHOT, **found)
        .filter("found")
        .select(*SNAPSHOT, "flag", rows=pl.lit(None, pl.UInt32), example=pl.lit(None, pl.String))
    )
    return pl.concat([about_rows, about_all]).sort(*SNAPSHOT, "flag")


def judged(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return the chain with a column for each of ROW_FLAGS, and what rests on them.

    `above` is `strikes_above_atm`, `near_strike` the strike if it is within LEVELS of ATM (or there
    is no ATM), `sound` says that the row may be used and `quote` is its last price if that may be.
    """
    findings = {flag: found.fill_null(value=False) for flag, found in board.row_findings().items()}
    claims = board.is_sound().sum().over(*SNAPSHOT, "strike", "option_type")
    is_near = (pl.col("above").abs() <= LEVELS).fill_null(value=True)
    return (
        board.as_chain(chain)
        .with_columns(
            **findings,
            crossed=board.is_crossed(),
            duplicate=board.is_sound() & (claims > 1),
            above=board.strikes_above_atm().over(SNAPSHOT),
        )
        .with_columns(
            sound=~pl.any_horizontal(*findings, "duplicate"),
            near_strike=pl.when(is_near).then("strike"),
        )
        .with_columns(quote=pl.when(pl.col("sound") & ~pl.col("crossed")).then("price"))
    )


def snapshot_flags() -> dict[str, pl.Expr]:
    """Return, by flag of SNAPSHOT_FLAGS, whether it holds for a group of `judged` rows."""
    above = pl.when(pl.col("near_strike").is_not_null()).then("above")
    quote = pl.when(above.is_not_null()).then("quote")
    out = pl.when(quote.is_not_null()).then(pl.when(IS_CALL).then(above).when(IS_PUT).then(-above))
    widest = pl.col("strike").unique().sort().diff().max()
    return {
        **board.snapshot_findings(out, quote),
        "incomplete": (widest > board.HOLE * pl.col("underlying_price").min()).fill_null(
            value=False
        ),
        "no_calls": pl.col("quote").filter(IS_CALL).count() == 0,
        "no_puts": pl.col("quote").filter(IS_PUT).count() == 0,
    }


@cache
def as_text() -> pl.Expr:
    """Return the names of the true ones of all flags, sorted, with commas; NULL if there is none.

    For a frame with a column for each of ROW_FLAGS and SNAPSHOT_FLAGS, one row a snapshot.
    """
    names = (
        pl.when(pl.col(flag)).then(pl.lit(flag)) for flag in sorted((*ROW_FLAGS, *SNAPSHOT_FLAGS))
    )
    text = pl.concat_str(*names, separator=",", ignore_nulls=True)
    return pl.when(text != "").then(text)
