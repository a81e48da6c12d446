"""How long after its minute's end a bar was stored: the only definition of that delay.

What is said of the feed's delay (status, page, terminal, summary) is `feed_figures` of it.

Only bars that were collected live have one. A bar that a backfill or the comparison after the close
brought was not late, nor one whose minute was over before a collector set out: nobody had asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engine.columns import TIME
from engine.few_rows import collect_few
from engine.market.nights import session_of
from engine.market.symbols import parse

# Polls for a bar end a minute after it; the comparison after the close begins after four.
LIVE = timedelta(minutes=3)
DELAYS = pl.Schema([("symbol", pl.String()), ("timestamp", TIME), ("delay", pl.Float64())])

FEED_FIGURES = pl.Schema(  # of the bars of a day that came by the feed; delays in seconds
    [
        ("symbol", pl.String()),
        ("bars", pl.Int64()),
        ("p50", pl.Float64()),
        ("p99", pl.Float64()),
        ("last", pl.Float64()),
        ("last_bar", TIME),
    ]
)


def live_delays(bars: pl.DataFrame) -> pl.DataFrame:
    """Return DELAYS (in seconds) of the bars collected live, oldest first.

    `bars` has symbol, timestamp, fetched_at, committed_at and since, all by one clock; since is
    when a collector first set out for the session, null if nobody knows. A bar was collected live
    if it was the newest of the answer that brought it, came within LIVE of its end, and a collector
    was there at its end. `live_delay` is the same for a single bar.
    """
    known = _auctions(bars)
    plan = bars.lazy().join(known.lazy(), on=["symbol", "timestamp"], how="left")
    finished = pl.col("timestamp") + pl.duration(minutes=pl.col("is_auction").cast(pl.Int64))
    newest = pl.col("timestamp") == pl.col("timestamp").max().over("symbol", "fetched_at")
    waited = pl.col("fetched_at") - finished
    return collect_few(
        plan.with_columns(pl.col("is_auction").fill_null(value=False))
        .filter(
            newest,
            waited.is_between(timedelta(0), LIVE),
            (finished >= pl.col("since")).fill_null(value=True),
        )
        .select(
            "symbol",
            "timestamp",
            delay=(pl.col("committed_at") - finished).dt.total_seconds(fractional=True),
        )
        .cast(DELAYS)
        .sort("timestamp", "symbol")
    )


def live_delay(
    finished: datetime, fetched_at: datetime, committed_at: datetime, since: datetime | None
) -> float | None:
    """Return the delay of the newest bar of an answer, as in `live_delays`; None if not live.

    `finished` is the end of its minute.
    """
    in_time = timedelta() <= fetched_at - finished <= LIVE
    if in_time and (since is None or finished >= since):
        return (committed_at - finished).total_seconds()
    return None


def feed_figures(delays: pl.DataFrame) -> pl.DataFrame:
    """Return FEED_FIGURES of DELAYS, which are those of bars by the feed alone, by symbol."""
    delay = pl.col("delay")
    return (
        delays.sort("symbol", "timestamp")
        .group_by("symbol", maintain_order=True)
        .agg(
            bars=pl.len(), **_shares(delay), last=delay.last(), last_bar=pl.col("timestamp").last()
        )
        .cast(FEED_FIGURES)
    )


def feed_total(delays: pl.DataFrame) -> dict[str, Any]:
    """Return FEED_FIGURES, without the symbol, of all symbols together; `last` is the longest.

    Without any bar all but the count are None.
    """
    newest = pl.col("timestamp") == pl.col("timestamp").max()
    delay = pl.col("delay")
    return delays.select(
        bars=pl.len(),
        **_shares(delay),
        last=delay.filter(newest).max(),
        last_bar=pl.col("timestamp").max(),
    ).row(0, named=True)


def _shares(delay: pl.Expr) -> dict[str, pl.Expr]:
    return {f"p{n}": delay.quantile(n / 100, "linear") for n in (50, 99)}


def _auctions(bars: pl.DataFrame) -> pl.DataFrame:
    """Return symbol and stamp of the auctions in the bars' sessions: its minute begins with it."""
    day = session_of(pl.col("symbol"), pl.col("timestamp"))
    symbols_and_days = bars.select("symbol", day=day).unique().iter_rows()
    sessions = ((symbol, parse(symbol).session(date)) for symbol, date in symbols_and_days)
    rows = [(symbol, one.auction, True) for symbol, one in sessions if one and one.auction]
    schema = {"symbol": pl.String(), "timestamp": TIME, "is_auction": pl.Boolean()}
    return pl.DataFrame(rows, schema, orient="row")
