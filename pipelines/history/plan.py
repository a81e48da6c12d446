"""The planner: which calls cover the missing stamps, as few of them as possible, newest first.

KIS counts its rows backwards from the label that is asked for and includes it, so a call is a
window over the bars that exist: 102 of a contract, 120 of a stock. Windows do not reach into the
session before: rows of another date than the asked one are never believed (KIS.md), although KIS
sends them. Laying each window at the newest stamp that is still missing gives the fewest (the
classic covering of points by intervals); each round of that does all sessions at once.

Where nothing older of the session is stored, the window begins one bar later than it must, at the
bar that is stored there: an answer without that bar is no answer about the others.
"""

from __future__ import annotations

import polars as pl

from engine.kis.endpoints import DerivativeMinutes, StockMinutes
from engine.market import instruments

CALLS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("until", pl.Datetime("us")),  # newest stamp of the window, to be asked for
        ("since", pl.Datetime("us")),  # oldest missing stamp that the window covers
        ("missing", pl.Int64()),  # how many missing stamps it covers
    ]
)
_SESSION = ["symbol", "session"]


def plan(
    missing: pl.DataFrame,
    owed: pl.DataFrame,
    stored: pl.DataFrame,
    absent: pl.DataFrame,
) -> pl.DataFrame:
    """Return CALLS that cover the missing stamps, newest session and newest window first.

    All four frames have symbol, session, stamp; `owed` is whole for every session with a missing
    stamp, `absent` are stamps that KIS is known not to have (they take no place in an answer).
    """
    ranked = _ranked(missing, owed, stored, absent)
    rounds = []
    left = ranked.filter("is_missing")
    while left.height:
        window = _windows(left, ranked)
        covered = left.join(window, on=_SESSION).with_columns(
            inside=pl.col("rank") > pl.col("newest") - pl.col("page")
        )
        rounds.append(
            covered.filter("inside")
            .group_by(*_SESSION, "until")
            .agg(pl.col("stamp").min().alias("since"), pl.len().alias("missing"))
        )
        left = covered.filter(~pl.col("inside")).select(left.columns)
    calls = pl.concat([pl.DataFrame(schema=CALLS), *(r.select(_typed()) for r in rounds)])
    return calls.sort("session", "symbol", "until", descending=[True, False, True])


def _typed() -> list[pl.Expr]:
    return [pl.col(name).cast(kind) for name, kind in CALLS.items()]


def _ranked(
    missing: pl.DataFrame,
    owed: pl.DataFrame,
    stored: pl.DataFrame,
    absent: pl.DataFrame,
) -> pl.DataFrame:
    """Return the stamps of sessions with something missing: rank among the bars KIS may have."""
    keys = [*_SESSION, "stamp"]
    concerned = owed.join(missing.select(_SESSION).unique(), on=_SESSION, how="semi")
    return (
        concerned.join(absent.join(missing, on=keys, how="anti"), on=keys, how="anti")
        .join(missing.select(*keys, is_missing=True), on=keys, how="left")
        .join(stored.select(*keys, is_stored=True), on=keys, how="left")
        .with_columns(pl.col("is_missing", "is_stored").fill_null(value=False))
        .sort(keys)
        .with_columns(pl.int_range(pl.len()).over(_SESSION).alias("rank"))
        .join(_pages(concerned), on=_SESSION)
    )


def _pages(concerned: pl.DataFrame) -> pl.DataFrame:
    sessions = concerned.select(_SESSION).unique()
    stocks = [symbol for symbol in sessions["symbol"].unique() if instruments.is_stock(symbol)]
    return sessions.with_columns(
        page=pl.when(pl.col("symbol").is_in(stocks))
        .then(StockMinutes.rows_per_call)
        .otherwise(DerivativeMinutes.rows_per_call)
    )


def _windows(left: pl.DataFrame, ranked: pl.DataFrame) -> pl.DataFrame:
    """Return one window a session: symbol, session, newest (rank), until (stamp)."""
    ends = left.group_by(_SESSION).agg(pl.col("rank").max().alias("top"))
    stored = ranked.filter("is_stored").join(ends, on=_SESSION)
    anchors = stored.group_by(_SESSION).agg(
        (pl.col("rank") < pl.col("top")).any().alias("older"),
        (pl.col("rank") == pl.col("top") + 1).any().alias("next"),
    )
    anchored = (~pl.col("older") & pl.col("next")).fill_null(value=False).cast(pl.Int64)
    pages = ranked.select(*_SESSION, "page").unique()
    return (
        ends.join(anchors, on=_SESSION, how="left")
        .join(pages, on=_SESSION)
        .with_columns(newest=pl.col("top") + anchored)
        .join(ranked.select(*_SESSION, newest="rank", until="stamp"), on=[*_SESSION, "newest"])
        .select(*_SESSION, "newest", "until")
    )
