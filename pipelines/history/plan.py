"""The planner: which calls cover the missing stamps, as few of them as possible, newest first.

KIS counts its rows backwards from the requested label, which it includes, so a call is a
window over the bars that exist: 102 of a contract, 120 of a stock. Windows do not reach into the
session before: KIS sends rows of another date than the requested one, but they are never used
(docs/kis.md#futures-minute-bars). Putting the end of each window at the newest stamp that is still
missing gives the fewest windows (the classic covering of points by intervals); each round does
this for all sessions at once.

Where nothing older of the session is stored, the window begins one bar later than it must, at the
bar that is stored there: an answer that lacks that bar proves nothing about the others. So does
each window once an answer has settled nothing: a minute is proven empty by bars on both sides.
"""

from __future__ import annotations

import polars as pl

from engine.columns import SESSION, STAMP
from engine.kis.endpoints.bars import DerivativeMinutes, StockMinutes
from engine.market.symbols import Stock, parse

CALLS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("until", pl.Datetime("us")),  # newest stamp of the window, which the call names
        ("since", pl.Datetime("us")),  # oldest missing stamp that the window covers
        ("missing", pl.Int64()),  # how many missing stamps it covers
    ]
)


def plan_calls(
    missing: pl.DataFrame,
    expected: pl.DataFrame,
    stored: pl.DataFrame,
    absent: pl.DataFrame,
    *,
    anchor: bool = False,
) -> pl.DataFrame:
    """Return CALLS that cover the missing stamps, newest session and newest window first.

    All four frames have symbol, session, stamp. `expected` holds all stamps of every session with a
    missing one; `absent` are stamps at which KIS is known to have no bar (they fill no row of an
    answer). With `anchor` each window begins at a stored bar, where there is one next to it.
    """
    ranked = _ranked(missing, expected, stored, absent)
    rounds = []
    left = ranked.filter("is_missing")
    while left.height:
        window = _windows(left, ranked, anchor=anchor)
        covered = left.join(window, on=SESSION).with_columns(
            inside=pl.col("rank") > pl.col("newest") - pl.col("page")
        )
        rounds.append(
            covered.filter("inside")
            .group_by(*SESSION, "until")
            .agg(pl.col("stamp").min().alias("since"), pl.len().alias("missing"))
        )
        left = covered.filter(~pl.col("inside")).select(left.columns)
    calls = pl.concat([pl.DataFrame(schema=CALLS), *(r.select(_call_columns()) for r in rounds)])
    return calls.sort("session", "symbol", "until", descending=[True, False, True])


def _call_columns() -> list[pl.Expr]:
    return [pl.col(name).cast(kind) for name, kind in CALLS.items()]


def _ranked(
    missing: pl.DataFrame,
    expected: pl.DataFrame,
    stored: pl.DataFrame,
    absent: pl.DataFrame,
) -> pl.DataFrame:
    """Return the stamps of sessions with something missing, ranked among the bars KIS may have."""
    concerned = expected.join(missing.select(SESSION).unique(), on=SESSION, how="semi")
    return (
        concerned.join(absent.join(missing, on=STAMP, how="anti"), on=STAMP, how="anti")
        .join(missing.select(*STAMP, is_missing=True), on=STAMP, how="left")
        .join(stored.select(*STAMP, is_stored=True), on=STAMP, how="left")
        .with_columns(pl.col("is_missing", "is_stored").fill_null(value=False))
        .sort(STAMP)
        .with_columns(pl.int_range(pl.len()).over(SESSION).alias("rank"))
        .join(_rows_per_call(concerned), on=SESSION)
    )


def _rows_per_call(concerned: pl.DataFrame) -> pl.DataFrame:
    sessions = concerned.select(SESSION).unique()
    stocks = [symbol for symbol in sessions["symbol"].unique() if isinstance(parse(symbol), Stock)]
    return sessions.with_columns(
        page=pl.when(pl.col("symbol").is_in(stocks))
        .then(StockMinutes.rows_per_call)
        .otherwise(DerivativeMinutes.rows_per_call)
    )


def _windows(left: pl.DataFrame, ranked: pl.DataFrame, *, anchor: bool) -> pl.DataFrame:
    """Return one window a session: symbol, session, newest (rank), until (stamp)."""
    ends = left.group_by(SESSION).agg(pl.col("rank").max().alias("top"))
    stored = ranked.filter("is_stored").join(ends, on=SESSION)
    anchors = stored.group_by(SESSION).agg(
        (pl.col("rank") < pl.col("top")).any().alias("older"),
        (pl.col("rank") == pl.col("top") + 1).any().alias("next"),
    )
    wants_anchor = pl.lit(anchor) | ~pl.col("older")
    anchored = (wants_anchor & pl.col("next")).fill_null(value=False).cast(pl.Int64)
    pages = ranked.select(*SESSION, "page").unique()
    return (
        ends.join(anchors, on=SESSION, how="left")
        .join(pages, on=SESSION)
        .with_columns(newest=pl.col("top") + anchored)
        .join(ranked.select(*SESSION, newest="rank", until="stamp"), on=[*SESSION, "newest"])
        .select(*SESSION, "newest", "until")
    )
